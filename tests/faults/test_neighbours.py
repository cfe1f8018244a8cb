"""One slow, failing or poisonous saga holds back no other one, in the same partition neither; on the real broker."""

import time

import pytest

from producers.records import partition_of
from tests.faults.hub import BRIEF, FINAL, TOPICS, Hub, eventually, names

FAILING_SAGAS = 1_000


def of_partition_zero(prefix: str, count: int) -> list[str]:
    """Saga ids with this prefix that all belong to one partition."""
    drawn = (f"{prefix}-{name}" for name in names(count * 12 + 100, seed=time.time_ns()))
    return [name for name in drawn if partition_of(name.encode(), 4) == 0][:count]


def completed(hub: Hub) -> set[str]:
    """The sagas that are completed."""
    return {saga for saga, state in hub.states().items() if state == "completed"}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_sleeping_failing_and_killing_sagas_hold_back_no_other_of_their_partition(hub: Hub) -> None:
    down = of_partition_zero("down", FAILING_SAGAS)
    (sleeper,), (killer,) = of_partition_zero("sleeps", 1), of_partition_zero("kills", 1)
    others = of_partition_zero("other", 5)
    assert len(down) == FAILING_SAGAS
    (hub.faults / "down").touch()
    for saga in down:
        hub.publish_soon("campaign.start", saga, BRIEF | {"channels": ["blog"]}, f"start-{saga}")
    hub.flush()
    hub.publish("campaign.start", sleeper, BRIEF | {"channels": ["email"]}, f"start-{sleeper}")
    for saga in (killer, *others):
        hub.publish("campaign.start", saga, BRIEF | {"channels": ["social"]}, f"start-{saga}")
    eventually(lambda: set(others) <= completed(hub), seconds=120, every=0.5)
    assert hub.states().get(sleeper) not in FINAL
    (hub.faults / "down").unlink()
    for saga in down:
        hub.publish_soon("campaign.cancel", saga, {"reason": "the blog is down"}, f"cancel-{saga}")
    hub.flush()
    everybody = (*down, sleeper, killer)

    def all_have_ended() -> bool:
        states = hub.states()
        return all(states.get(saga) in FINAL for saga in everybody)

    eventually(all_have_ended, seconds=250, every=1.0)
    states = hub.states()
    assert (states[sleeper], states[killer]) == ("completed", "compensated")
    causes = [
        one.body["cause"]
        for one in hub.records(TOPICS.events)
        if one.headers.get("ce_type") == "campaign.step.failed" and one.key == killer
    ]
    assert causes == ["the worker died each time while this ran"]
