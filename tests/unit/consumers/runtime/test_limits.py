"""Whatever anyone writes, the records of state, status and position fit into their topics, by their encoded size."""

import json
from typing import Any

import msgspec
import pytest

from consumers.app import sagas
from consumers.runtime.finishing import Broke
from consumers.runtime.hearing import STANDING_MAX
from consumers.runtime.limits import COMMANDS_WAITING_MAX, ITEMS_MAX, JOURNAL_BYTES_MAX, SMALL_BYTES
from consumers.runtime.pausing import Pauses
from consumers.runtime.transport import Position
from consumers.topic_rules import BATCH_BYTES_MAX
from consumers.topics import wanted_topics
from consumers.tracker.ledger import TrackerLedger
from consumers.tracker.standing import UNKNOWN_STEPS_MAX
from consumers.tracker.telling import STATUS_BYTES_MAX as CUT_BYTES
from producers.headers import COMMAND_BYTES_MAX, HEARD_BYTES_MAX
from producers.records import Outgoing, Record
from producers.settings import Settings
from schemas.engine import Settled
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL, StockReserved

STATE_BYTES_MAX, STATUS_BYTES_MAX = BATCH_BYTES_MAX["state"], BATCH_BYTES_MAX["status"]
# The longest a character becomes: in MessagePack, and in JSON.
WIDEST = {"wide": "\U0001f600", "control": "\x01"}


def test_forty_large_commands_fit_and_what_does_not_is_refused_with_the_reason() -> None:
    desk = Bench(DESK)
    desk.opens()
    for number in range(40):
        headers = (("ce_type", b"order.place"), ("ce_id", f"p{number}".encode()))
        body = {"item": "r" * 250_000}
        desk.hears_record("order.commands", SAGA.encode(), json.dumps(body).encode(), headers)
    desk.commit()
    assert len(desk.state[SAGA]) < JOURNAL_BYTES_MAX + COMMAND_BYTES_MAX
    refused = desk.bodies("order.command.refused")
    assert 20 < len(refused) < 30 and all(f"may have {JOURNAL_BYTES_MAX}" in one["reason"] for one in refused)
    for _ in range(20):
        desk.starts()
        for step in list(desk.running):
            desk.says(step, None)
    # Each is answered once; when the others are answered, what was refused can be published again.
    headers = (("ce_type", b"order.place"), ("ce_id", b"again"))
    desk.hears_record("order.commands", SAGA.encode(), json.dumps({"item": "r" * 250_000}).encode(), headers)
    desk.starts()
    desk.commit()
    answers = desk.bodies("order.command.refused")
    assert len(answers) == len({one["command_id"] for one in answers}) == 41
    assert (answers[-1]["command_id"], "was started before" in answers[-1]["reason"]) == ("again", True)


def test_so_many_small_commands_wait_for_one_saga_and_no_more() -> None:
    desk = Bench(DESK)
    desk.opens()
    # Those that find no room are published twice, and answered once.
    for number in (*range(COMMANDS_WAITING_MAX + 5), *range(COMMANDS_WAITING_MAX, COMMANDS_WAITING_MAX + 5)):
        headers = (("ce_type", b"order.cancel"), ("ce_id", f"c{number}".encode()))
        desk.hears_record("order.commands", SAGA.encode(), b"{}", headers)
    assert desk.commit() == ["order.command.refused"] * 5
    assert sum(item.command for item in desk.items) == COMMANDS_WAITING_MAX


def test_what_outsiders_put_into_a_saga_starts_no_more_steps_than_its_journal_has_room_for() -> None:
    till = Bench(TILL)
    till.opens()
    for number in range(ITEMS_MAX + 5):
        till.hears(StockReserved(saga_id=SAGA), f"forged {number}")
    assert len(till.items) == ITEMS_MAX
    till.commit()
    assert [letter["origin"]["offset"] for letter in till.dead_letters()] == [ITEMS_MAX + 1 + n for n in range(5)]
    till.expires()
    assert till.journal.is_failing


@pytest.mark.parametrize("participant", EVERYBODY)
@pytest.mark.parametrize("character", WIDEST.values(), ids=WIDEST)
def test_a_journal_that_outsiders_fill_to_the_brim_fits_into_its_topic(participant: str, character: str) -> None:
    bench = Bench(participant)
    fill(bench, character)
    assert len(bench.journal.standing) == STANDING_MAX
    bench.starts()
    for step in list(bench.running):
        bench.ends(step, Broke(character * 300, character * 5_000))
    for number in range(1_010):
        headers = (("ce_type", b"order.cancel"), ("ce_id", (f"{number:05}" + character * 495).encode()))
        if participant == DESK:
            bench.hears_record("order.commands", SAGA.encode(), b"{}", headers)
            bench.starts()
            bench.breaks("cancel_order", permanent=True) if "cancel_order" in bench.running else None
    bench.commit()
    assert JOURNAL_BYTES_MAX / 4 < len(bench.state[SAGA]) < STATE_BYTES_MAX - 64 * 1024
    assert max([size_of(one) for one in bench.said if one.topic == "order.events"] + [0]) < BATCH_BYTES_MAX["events"]
    assert max([size_of(one) for one in bench.said if one.topic == "order.dead"] + [0]) < BATCH_BYTES_MAX["dead"]


def fill(bench: Bench, character: str) -> None:
    """Write whatever an outsider can: openings, facts, engine events, all of them as large as they may be."""
    wide = (
        ("ce_source", (character * 1_200).encode()),
        ("ce_causationid", (character * 1_200).encode()),
        ("ce_tenant", (character * 1_200).encode()),
    )

    def hears(wire_type: str, number: int, body: dict[str, Any]) -> None:
        value = json.dumps({"saga_id": SAGA} | body, ensure_ascii=False).encode()
        assert len(value) <= HEARD_BYTES_MAX
        headers = (("ce_type", wire_type.encode()), ("ce_id", (f"{number:05}" + character * 495).encode()), *wide)
        bench.hears_record("order.events", SAGA.encode(), value, headers)

    large = character * (600_000 // len(json.dumps(character, ensure_ascii=False).encode()))
    hears("order.opened", 0, {"participants": [*EVERYBODY, character * 300], "item": large})
    for number in range(1, 250):
        stuck = {"participant": character * 300, "step": character * 300, "item": f"{number:04}" + character * 996}
        hears("order.compensation.stuck", number, stuck | {"attempts": 1, "cause": character * 20_000})
    for number in range(1_000, 1_030):
        hears("order.stock.reserved", number, {"shelf": large})
        hears("order.card.charged", number + 1_000, {"note": large})


def size_of(one: Outgoing) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in one.headers)
    return len(one.key or b"") + len(one.value or b"") + headers


@pytest.mark.parametrize("character", WIDEST.values(), ids=WIDEST)
def test_state_and_status_of_a_saga_that_outsiders_fill_to_the_brim_fit_into_their_topics(character: str) -> None:
    tracker = TrackerLedger(ORDER, 0)
    said: list[Outgoing] = []

    def hears(wire_type: str, number: int, body: dict[str, Any]) -> None:
        value = json.dumps({"saga_id": SAGA} | body, ensure_ascii=False).encode()
        identity = f"{number:05}" + character * 495
        headers = (("ce_type", wire_type.encode()), ("ce_id", identity.encode()), ("ce_source", STORE.encode()))
        tracker.hear(Record("order.events", 0, number, BEGIN, SAGA.encode(), value, headers), BEGIN)

    hears("order.opened", 0, {"participants": [*EVERYBODY, *(f"{n:03}" + character * 297 for n in range(190))]})
    for number in range(1, 1_050):
        participant = STORE if number % 4 < 2 else f"{number % 190:03}" + character * 297
        named = {"participant": participant, "item": f"{number:04}" + character * 996, "attempts": 1}
        steps = ("reserve_stock", "print_label", "ship_parcel", f"{number:04}" + character * 296)
        for step in steps[number % 4 :: 4]:
            hears("order.compensation.stuck", number, named | {"step": step, "cause": character * 20_000})
        hears("order.stock.reserved", number + 2_000, {})
    snapshot = tracker.take()
    said += snapshot.said
    reason = character * (600_000 // (len(json.dumps(character, ensure_ascii=False).encode()) - 2))
    hears("order.cancelled", 9_000, {"reason": reason})
    last = tracker.take()
    said += last.said
    assert len(said) == 2
    assert json.loads(said[0].value or b"")["state"] == "stuck"
    assert max(len(one.value or b"") for one in said) <= CUT_BYTES
    assert max(size_of(one) for one in said) < STATUS_BYTES_MAX - 64 * 1024
    sizes = [len(value or b"") for one in (snapshot, last) for value in one.state.values()]
    assert 500_000 < max(sizes) < STATE_BYTES_MAX - 64 * 1024
    status = json.loads(said[-1].value or b"")
    assert status["state"] == "compensating" and status["outcome"]
    assert max(len(one["name"]) for one in status["steps"]) <= 300
    assert len(status["steps"]) <= len(ORDER.steps) + UNKNOWN_STEPS_MAX


def test_an_outcome_that_is_kept_to_be_undone_is_a_failure_where_the_journal_has_no_room_for_it() -> None:
    store = Bench(STORE)
    store.opens()
    store.starts()
    for number in range(9):
        store.journal.seen.append("x" * 690_000 + str(number))
    store.commit()
    store.hears(Settled(saga_id=SAGA, participant=STORE, undone=0), "settled")
    store.commit()
    store.says("reserve_stock", StockReserved(saga_id=SAGA, shelf="x" * 300_000))
    assert store.commit() == ["order.step.failed"]
    assert store.dead_letters()[0]["error"] == "JournalFull"
    assert [done.fact for done in store.journal.done] == [None]


def test_a_position_with_every_step_paused_is_small() -> None:
    pauses = Pauses()
    for number in range(200):
        for _ in range(50):
            pauses.note(f"{number:03}" + "s" * 97, failed=True, cause="\U0001f600" * 30_000)
    position = msgspec.msgpack.encode(Position({}, paused=pauses.causes, ends=pauses.ends))
    assert len(position) < 1024 * 1024


def test_every_topic_says_what_it_takes_in_one_batch() -> None:
    for topic in wanted_topics(sagas(), Settings()):
        (kind,) = [kind for kind in BATCH_BYTES_MAX if topic.name.endswith(f".{kind}")]
        assert topic.configuration["max.message.bytes"] == str(BATCH_BYTES_MAX[kind])
    assert BATCH_BYTES_MAX["commands"] > COMMAND_BYTES_MAX and BATCH_BYTES_MAX["events"] > HEARD_BYTES_MAX


def test_of_sagas_that_never_began_no_size_is_kept() -> None:
    till = Bench(TILL)
    for number in range(50):
        till.hears(StockReserved(saga_id=f"unknown {number}"), f"reserved {number}")
        till.hears(StockReserved(saga_id=SAGA), f"forged {number}")
    till.commit()
    sizes = till.ledger._kept.sizes
    assert {sizes.bytes_at_most(f"unknown {number}") for number in range(50)} == {SMALL_BYTES}
