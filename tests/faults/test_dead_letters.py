"""Dead letters are grouped, rehearsed, replayed in canary order and discarded; on the real broker."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.topics import SagaTopics
from tests.faults.hub import Hub, eventually, names
from tests.faults.witness import said_twice
from tests.prove.errand.world import WORLD_FILE

TOPICS = SagaTopics.of("ticket")
DRY, TORN, LARGE = names(6, seed=1), names(2, seed=2), names(2, seed=3)


@pytest.fixture
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A stack of its own, for tickets; its code is broken."""
    hub = Hub(tmp_path_factory.mktemp("tickets"), "tests.faults.tickets:sagas", TOPICS)
    (hub.faults / "broken").touch()
    (hub.faults / "strict").touch()
    yield hub
    hub.stop()


def told(hub: Hub, *words: str, exit_code: int = 0) -> dict[str, Any]:
    """What `soma dead …` prints as JSON."""
    found: dict[str, Any] = json.loads(hub.soma("dead", *words, "--json", exit_code=exit_code).stdout)
    return found


def groups(hub: Hub) -> dict[str, dict[str, Any]]:
    """The groups by their error."""
    return {group["error"]: group for group in told(hub, "list")["groups"]}


def prints(hub: Hub) -> Counter[str]:
    """How often each saga has printed."""
    path = hub.faults / WORLD_FILE
    return Counter(line.split()[1] for line in path.read_text().splitlines()) if path.exists() else Counter()


def said(hub: Hub, wire_type: str) -> int:
    """How often this was said."""
    return sum(record.headers.get("ce_type") == wire_type for record in hub.records(TOPICS.events))


def ends(hub: Hub) -> dict[int, int]:
    """How many events stand in each partition."""
    return Counter(record.partition for record in hub.records(TOPICS.events))


def states(hub: Hub, sagas: list[str]) -> set[str | None]:
    """Where these sagas stand."""
    return {hub.states().get(saga) for saga in sagas}


@pytest.mark.timeout(180)
def test_dead_letters_are_grouped_rehearsed_replayed_once_and_discarded(tickets: Hub) -> None:
    hub = tickets
    for saga in DRY:
        hub.publish_soon("ticket.start", saga, {"seats": 2}, f"start-{saga}")
    for saga in TORN:
        hub.publish_soon("ticket.start", saga, {"torn": True}, f"start-{saga}")
    for saga in LARGE:
        # Without an id of its own: the place where it first stood is its identity.
        hub.publish_soon("ticket.start", saga, {"seats": 9})
    hub.flush()
    eventually(lambda: len(hub.records(TOPICS.dead)) == 10, seconds=30)
    eventually(lambda: states(hub, DRY + TORN) == {"held"}, seconds=30)

    # They are in three groups, each with its cause.
    found = groups(hub)
    assert {error: (group["count"], group["open"]) for error, group in found.items()} == {
        "InkDried": (6, 6),
        "PaperTorn": (2, 2),
        "Unreadable": (2, 2),
    }
    assert (found["InkDried"]["step"], found["InkDried"]["reason"]) == ("print_ticket", "the ink is dry")
    dry = ("--fingerprint", found["InkDried"]["fingerprint"])
    large = ("--kind", "unreadable")

    # As the code is now, none would pass.
    rehearsed = told(hub, "replay", "--dry-run", *dry, exit_code=1)
    assert (rehearsed["letters"], rehearsed["passes"], rehearsed["fails"]) == (6, 0, 6)
    assert told(hub, "replay", "--dry-run", *large, exit_code=1)["fails"] == 2

    # One is tried, fails again, and the others are left alone.
    tried = told(hub, "replay", *dry, "--rate", "100/s", exit_code=1)
    assert (tried["stopped"], tried["failed"], tried["not_tried"]) == (True, 1, 5)
    assert tried["outcomes"][0]["reason"] == "the ink is dry"
    assert said(hub, "ticket.item.resumed") == 1

    # The code is mended: all would pass, and asking has done nothing.
    (hub.faults / "broken").unlink()
    (hub.faults / "strict").unlink()
    rehearsed = told(hub, "replay", "--dry-run", *dry)
    assert (rehearsed["letters"], rehearsed["passes"]) == (6, 6)
    assert {verdict["reason"] for verdict in rehearsed["verdicts"]} == {"passes as far as its first effect World.do"}
    assert told(hub, "replay", "--dry-run", *large)["passes"] == 2
    assert (prints(hub), states(hub, DRY)) == (Counter(), {"held"})

    # The worker goes on with the sagas where they stood.
    replayed = told(hub, "replay", *dry, "--rate", "100/s")
    assert (replayed["passed"], replayed["before"], replayed["not_tried"]) == (6, 1, 0)
    assert told(hub, "replay", *large, "--rate", "100/s")["passed"] == 2
    eventually(lambda: states(hub, DRY + LARGE) == {"completed"}, seconds=30)
    assert prints(hub) == Counter(DRY + LARGE)

    # Once more, and nothing more is done or said.
    before = ends(hub)
    again = told(hub, "replay", *dry)
    assert (again["letters"], again["before"], again["passed"]) == (7, 7, 0)
    assert told(hub, "replay", *large)["before"] == 2
    assert (ends(hub), prints(hub)) == (before, Counter(DRY + LARGE))
    assert said_twice(hub.records(TOPICS.events)) == []

    # What cannot be mended fails again, the other one is not tried; both are given up, with a reason.
    torn = ("--step", "print_ticket", "--fingerprint", found["PaperTorn"]["fingerprint"])
    tried = told(hub, "replay", *torn, exit_code=1)
    assert (tried["failed"], tried["not_tried"]) == (1, 1)
    discarded = told(hub, "discard", *torn, "--reason", "printed by hand")
    assert (len(discarded["discarded"]), discarded["discarded_before"]) == (3, 0)
    assert told(hub, "discard", *torn, "--reason", "twice")["discarded_before"] == 3
    assert groups(hub).keys() == {"InkDried", "Unreadable"}
    shown = told(hub, "show", discarded["discarded"][0])
    assert (shown["state"], shown["decision"]["reason"]) == ("discarded", "printed by hand")
    refused = told(hub, "replay", *torn, exit_code=1)
    assert (refused["refused"], "printed by hand" in refused["outcomes"][0]["reason"]) == (3, True)
    assert states(hub, TORN) == {"held"}
