"""Workers, sink and supervisor killed while campaigns run on the real broker; afterwards nothing is lost or doubled."""

import mailbox
import random
import time
from collections import Counter
from itertools import cycle

import pytest

from tests.faults.hub import BRIEF, FINAL, TOPICS, Hub, eventually, names
from tests.faults.witness import said_twice

TWO_CHANNELS = BRIEF | {"channels": ["email", "blog"]}
INSIDE = ("inside any", "sent", "committed", "inside Outbox.send")
INSIDE_KILLS, OTHER_KILLS = len(INSIDE), 3


@pytest.mark.timeout(500)
def test_seven_kills_during_sixty_campaigns_lose_and_double_nothing(hub: Hub) -> None:
    sagas = names(60, seed=time.time_ns())
    drawn = random.Random(7)
    moments = cycle(INSIDE)
    kills: Counter[str] = Counter()
    asked: str | None = None
    waiting = list(sagas)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        for saga in waiting[:10]:
            hub.publish_soon("campaign.start", saga, TWO_CHANNELS, f"start-{saga}")
        hub.flush()
        del waiting[:10]
        if asked is None and kills["worker, inside"] < INSIDE_KILLS and hub.pid("worker"):
            asked = next(moments)
            hub.ask_to_die(asked)
        if asked and hub.has_died(asked):
            kills["worker, inside"] += 1
            asked = None
        part = drawn.choice(("sink", "supervisor", "worker"))
        if kills.total() - kills["worker, inside"] < OTHER_KILLS and kills[part] < 2 and hub.kill(part):
            kills[part] += 1
        time.sleep(0.2)
        if not waiting and kills.total() >= INSIDE_KILLS + OTHER_KILLS:
            break
    assert kills.total() >= INSIDE_KILLS + OTHER_KILLS, kills
    assert len(hub.crash_points()) >= INSIDE_KILLS - 1

    def ended() -> bool:
        states = hub.states()
        return all(states.get(saga) in FINAL for saga in sagas)

    eventually(ended, seconds=180, every=1.0)
    states = hub.states()
    assert {saga: states[saga] for saga in sagas if states[saga] != "completed"} == {}
    records = hub.records()
    assert said_twice(records) == []
    mails = list(mailbox.Maildir(hub.stack.places.mail, create=False))
    recipients = Counter(mail["To"] for mail in {mail["Message-ID"]: mail for mail in mails}.values())
    assert set(recipients.values()) == {sum(recipients.values()) // 2} and sum(recipients.values()) >= 2 * len(sagas)
    eventually(lambda: hub.clickhouse_difference() == set(), seconds=60, every=1.0)
    print(f"kills: {dict(kills)}; crash points: {Counter(hub.crash_points())}; raw mails: {len(mails)}")


@pytest.mark.parametrize("moment", ["inside Blog.publish", "inside Outbox.send", "sent", "committed"])
def test_a_worker_killed_at_this_moment_says_nothing_twice(hub: Hub, moment: str) -> None:
    (saga,) = names(1, seed=time.time_ns())
    hub.ask_to_die(moment)
    hub.publish("campaign.start", saga, BRIEF, f"start-{saga}")
    eventually(lambda: hub.states().get(saga) == "completed", seconds=60)
    assert hub.has_died(moment)
    assert said_twice(hub.records(TOPICS.events)) == []
