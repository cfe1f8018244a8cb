"""`soma dead …` from its words to its exit code, on a hub of paper."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from consumers.runtime.dead_letters import unreadable
from consumers.runtime.view import view_of
from deploy.cli import replaying, talking
from deploy.cli.main import app
from deploy.cli.replaying import replay_id
from producers.headers import type_of
from tests.unit.consumers.runtime.small_saga import DESK, TILL, OrderExpired
from tests.unit.deploy.cli.paper import TOPICS, PaperHub, graph


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> PaperHub:
    """Three sagas are held, each with its dead letter."""
    hub = PaperHub()
    monkeypatch.setenv("SOMA_APPLICATION", "tests.unit.deploy.cli.paper:sagas")
    monkeypatch.setattr(talking, "Client", lambda settings, source: hub)
    monkeypatch.setattr(replaying, "ANSWER_WITHIN_SECONDS", 0.05)
    monkeypatch.setattr(replaying, "OUTCOME_WITHIN_SECONDS", 0.05)
    asyncio.run(hub.holds("o-1", "o-2", "o-3"))
    return hub


def soma(*words: str) -> Result:
    return CliRunner().invoke(app, ["dead", *words])


def told(*words: str, exit_code: int = 0) -> dict[str, Any]:
    """What the verb prints as JSON: one line."""
    said = soma(*words, "--json")
    assert said.exit_code == exit_code, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    assert said.stdout.count("\n") == 1
    return found


def written(hub: PaperHub) -> int:
    """How many records stand in all topics."""
    return sum(map(len, hub.topics.values()))


STEP = ("--step", "ship_parcel")


def test_letters_of_one_cause_are_listed_as_one_group(hub: PaperHub) -> None:
    (group,) = told("list")["groups"]
    assert (group["step"], group["error"], group["reason"]) == ("ship_parcel", "VanBroken", "no van")
    assert (group["count"], group["open"], group["example_saga_id"]) == (3, 3, "o-3")
    said = soma("list")
    assert said.exit_code == 0
    (row,) = [line for line in said.stdout.splitlines() if "ship_parcel" in line]
    assert group["fingerprint"] in row and "VanBroken: no van" in row


def test_each_letter_is_listed_where_that_is_asked_for(hub: PaperHub) -> None:
    said = soma("list", "--letters")
    assert [f"o-{n}/ship_parcel" in said.stdout for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert [letter["saga_id"] for letter in told("list")["dead_letters"]] == ["o-1", "o-2", "o-3"]


def test_a_filter_leaves_out_what_does_not_fit(hub: PaperHub) -> None:
    assert [one["saga_id"] for one in told("list", "--saga-id", "o-2")["dead_letters"]] == ["o-2"]
    assert told("list", "--step", "close_books")["groups"] == []


def test_a_letter_is_shown_whole(hub: PaperHub) -> None:
    letter_id = told("list")["dead_letters"][1]["id"]
    said = soma("show", letter_id)
    shown = json.loads(said.stdout)
    assert shown == told("show", letter_id)
    assert (shown["id"], shown["state"], shown["participant"]) == (letter_id, "open", TILL)


def test_a_rehearsal_tells_how_many_would_pass_and_writes_and_does_nothing(hub: PaperHub) -> None:
    before = written(hub)
    verdicts = told("replay", "--dry-run", *STEP, exit_code=1)
    assert {name: verdicts[name] for name in ("dry_run", "letters", "passes", "fails", "refused")} == {
        "dry_run": True,
        "letters": 3,
        "passes": 0,
        "fails": 3,
        "refused": 0,
    }
    assert {one["reason"] for one in verdicts["verdicts"]} == {"VanBroken: no van"}
    hub.broken = {"o-2"}
    verdicts = told("replay", "--dry-run", *STEP, exit_code=1)
    assert [one["verdict"] for one in verdicts["verdicts"]] == ["passes", "fails", "passes"]
    hub.broken = set()
    said = soma("replay", "--dry-run", *STEP)
    assert said.exit_code == 0
    assert said.stderr == (
        "of 3 dead letters 3 would pass now, 0 would fail again, 0 would be refused; nothing was changed\n"
    )
    assert (written(hub), hub.shipped) == (before, [])


def test_a_rehearsal_tells_of_a_saga_that_has_ended_and_of_one_that_is_forgotten(hub: PaperHub) -> None:
    asyncio.run(hub.says(OrderExpired(saga_id="o-1"), "expired"))
    for record in [one for one in hub.topics["order.till.state"] if one.key == b"saga/o-2"]:
        hub.topics["order.till.state"].append(record._replace(value=None))
    verdicts = told("replay", "--dry-run", *STEP, exit_code=1)["verdicts"]
    assert [(one["verdict"], one["reason"]) for one in verdicts] == [
        ("refused", "order o-1 has ended: order.expired"),
        ("refused", "order.till knows nothing of this saga"),
        ("fails", "VanBroken: no van"),
    ]


def test_a_replay_resumes_the_sagas_and_a_second_one_does_nothing_more(hub: PaperHub) -> None:
    hub.broken = set()
    replayed = told("replay", *STEP, "--rate", "1000/s")
    assert (replayed["letters"], replayed["passed"], replayed["stopped"]) == (3, 3, False)
    assert len(set(hub.shipped)) == len(hub.shipped) == 3
    assert [letter["state"] for letter in told("list")["dead_letters"]] == ["replayed"] * 3
    before = written(hub)
    again = told("replay", *STEP)
    assert (again["letters"], again["before"], again["passed"]) == (3, 3, 0)
    assert (written(hub), len(hub.shipped)) == (before, 3)


def test_a_replay_whose_note_was_lost_counts_once_all_the_same(hub: PaperHub) -> None:
    hub.broken = set()
    told("replay", "--saga-id", "o-1")
    hub.topics[TOPICS.dead] = [one for one in hub.topics[TOPICS.dead] if type_of(one.headers) == "order.dead.letter"]
    assert told("list")["groups"][0]["open"] == 3
    events = len(hub.topics[TOPICS.events])
    again = told("replay", "--saga-id", "o-1")
    assert (again["before"], again["outcomes"][0]["reason"]) == (1, "it was answered before, by order.item.resumed")
    assert (len(hub.topics[TOPICS.events]), len(hub.shipped)) == (events, 1)
    assert told("list")["groups"][0]["replayed"] == 1


def test_a_replay_stops_at_the_first_that_fails_again(hub: PaperHub) -> None:
    said = soma("replay", *STEP)
    assert said.exit_code == 1
    assert said.stderr == "1 failed\nstopped at the first that did not pass (no van); 2 were not tried\n"
    states = [letter["state"] for letter in told("list")["dead_letters"]]
    assert sorted(states) == ["open", "open", "open", "replayed"], "it has a new letter, which is open"


def test_a_saga_that_has_ended_is_refused_and_the_next_one_is_tried(hub: PaperHub) -> None:
    hub.broken = set()
    asyncio.run(hub.says(OrderExpired(saga_id="o-1"), "expired"))
    replayed = told("replay", *STEP, exit_code=1)
    assert (replayed["refused"], replayed["passed"], replayed["stopped"]) == (1, 2, False)
    assert replayed["outcomes"][0]["reason"].startswith("nothing stands still under order.till ship_parcel")
    assert told("list", "--saga-id", "o-1")["groups"][0]["open"] == 1
    again = told("replay", "--saga-id", "o-1", exit_code=1)
    assert again["outcomes"] == replayed["outcomes"][:1], "the door answers once, and the answer is found again"
    assert told("list", "--saga-id", "o-1")["groups"][0]["open"] == 1


def test_a_replay_that_nobody_hears_is_unknown_and_ends_with_3(hub: PaperHub) -> None:
    hub.is_deaf = True
    replayed = told("replay", *STEP, exit_code=3)
    assert (replayed["unknown"], replayed["not_tried"], replayed["stopped"]) == (1, 2, True)
    assert "it will be heard once a worker runs" in replayed["outcomes"][0]["reason"]


async def broken_command(hub: PaperHub, value: bytes = b"{}", **headers: bytes) -> None:
    named = {"ce_type": b"order.place"} | headers
    await hub.append(TOPICS.commands, 0, b"o-9", value, tuple(named.items()))


UNREADABLE = ("--kind", "unreadable")


def test_a_record_that_nobody_could_read_is_published_again_by_the_id_of_its_place(hub: PaperHub) -> None:
    asyncio.run(broken_command(hub))
    assert told("replay", "--dry-run", *UNREADABLE, exit_code=1)["fails"] == 1
    assert told("replay", *UNREADABLE, exit_code=1)["failed"] == 1
    first, again = hub.topics[TOPICS.commands]
    assert (again.key, again.value) == (first.key, first.value)
    assert again.headers == (("ce_type", b"order.place"), ("ce_id", b"order.commands/0/0"))
    # The one that is dead now knows by which id it was published; so it counts once, whoever replays whichever letter.
    assert told("replay", *UNREADABLE, exit_code=1)["failed"] == 1
    assert dict(hub.topics[TOPICS.commands][-1].headers)["ce_id"] == b"order.commands/0/0"


def test_a_record_that_can_be_read_by_now_starts_its_saga_once(hub: PaperHub) -> None:
    hub.is_deaf = True
    asyncio.run(broken_command(hub, b'{"item": "tulip"}', ce_id=b"mine"))
    hub.is_deaf = False
    asyncio.run(letter_of_an_old_build(hub))
    assert told("replay", "--dry-run", *UNREADABLE)["passes"] == 1
    (outcome,) = told("replay", *UNREADABLE)["outcomes"]
    assert outcome["reason"] == "it has led to order.opened"
    assert told("replay", *UNREADABLE)["before"] == 1
    assert [type_of(one.headers) for one in hub.topics[TOPICS.events]].count("order.opened") == 4


async def letter_of_an_old_build(hub: PaperHub) -> None:
    """Somebody could not read the last command."""
    record = hub.topics[TOPICS.commands][-1]
    said = unreadable(record, view_of(graph(), DESK), "no such command: 'order.place'", "order.place", hub.now)
    await hub.append(said.topic, said.partition, said.key, said.value, said.headers)


def test_a_record_without_a_key_is_refused_for_nobody_could_tell_whose_it_is(hub: PaperHub) -> None:
    asyncio.run(hub.append(TOPICS.commands, 0, None, b'{"item": "tulip"}', (("ce_type", b"order.place"),)))
    (outcome,) = told("replay", *UNREADABLE, exit_code=1)["outcomes"]
    assert (outcome["outcome"], outcome["reason"]) == ("refused", "the record has no key; the key is the saga id")
    assert len(hub.topics[TOPICS.commands]) == 1


def test_an_event_is_rehearsed_and_replayed_as_refused(hub: PaperHub) -> None:
    asyncio.run(hub.append(TOPICS.events, 0, b"o-9", b"{}", (("ce_type", b"order.imagined"),)))
    assert told("replay", "--dry-run", *UNREADABLE, exit_code=1)["refused"] == 1
    (outcome,) = told("replay", *UNREADABLE, exit_code=1)["outcomes"]
    assert outcome["outcome"] == "refused" and "mend the saga with a command" in outcome["reason"]
    assert hub.topics[TOPICS.commands] == []


def test_a_discard_is_kept_with_its_reason_and_a_second_one_does_nothing_more(hub: PaperHub) -> None:
    done = told("discard", "--saga-id", "o-2", "--reason", "  shipped by hand ")
    (letter_id,) = done["discarded"]
    assert done["discarded_before"] == 0
    shown = told("show", letter_id)
    assert (shown["state"], shown["decision"]["reason"]) == ("discarded", "shipped by hand")
    before = written(hub)
    assert told("discard", letter_id, "--reason", "again") == {"discarded": [], "discarded_before": 1}
    assert written(hub) == before
    assert [one["saga_id"] for one in told("list")["dead_letters"]] == ["o-1", "o-3"]
    assert len(told("list", "--all")["dead_letters"]) == 3
    said = soma("discard", "--step", "ship_parcel", "--reason", "shipped by hand")
    assert (said.exit_code, said.stdout, said.stderr) == (0, "", "2 discarded, 1 were before\n")


def test_what_was_discarded_is_neither_rehearsed_nor_replayed(hub: PaperHub) -> None:
    hub.broken = set()
    told("discard", "--saga-id", "o-2", "--reason", "shipped by hand")
    assert told("replay", "--dry-run", *STEP)["letters"] == 2
    replayed = told("replay", *STEP, exit_code=1)
    assert (replayed["passed"], replayed["refused"], len(hub.shipped)) == (2, 1, 2)
    assert replayed["outcomes"][0]["reason"].endswith(": shipped by hand")


@pytest.mark.parametrize("verb", [["show"], ["replay"], ["replay", "--dry-run"], ["discard", "--reason", "x"]])
def test_a_letter_that_is_not_there_is_told_with_2(hub: PaperHub, verb: list[str]) -> None:
    said = soma(*verb, "o-1/nothing/1")
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr == "there is no dead letter o-1/nothing/1; `soma dead list` lists them\n"


@pytest.mark.parametrize("verb", [["list"], ["replay"], ["replay", "--dry-run"], ["discard", "--reason", "x"]])
def test_a_saga_kind_that_is_not_there_is_told_with_2(hub: PaperHub, verb: list[str]) -> None:
    said = soma(*verb, "--saga", "weather")
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr == "there is no saga kind 'weather'; there are order\n"


def test_a_filter_that_fits_nothing_is_no_mistake(hub: PaperHub) -> None:
    assert told("replay", "--step", "close_books")["letters"] == 0
    assert told("replay", "--dry-run", "--step", "close_books")["letters"] == 0
    assert told("discard", "--step", "close_books", "--reason", "x") == {"discarded": [], "discarded_before": 0}


def test_a_letter_is_replayed_by_the_same_command_each_time() -> None:
    assert replay_id("a") == replay_id("a") != replay_id("b")
