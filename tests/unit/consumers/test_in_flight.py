"""What `soma worker --check` finds in the state records: which open sagas this build could not carry, and why."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec
import pytest

from consumers.in_flight import KindInFlight
from consumers.runtime import in_flight
from consumers.runtime.graph import Graph
from consumers.tracker.records import VERSION
from deploy.cli.in_flight import Compared, as_json, lines_of
from producers.records import Record
from tests.unit.consumers.runtime import small_saga as order
from tests.unit.consumers.runtime.bench import SAGA, Bench
from tests.unit.consumers.runtime.small_saga import DESK, ORDER, STORE, TILL
from tests.unit.consumers.runtime.test_carrying import (
    LEG_ADDED,
    LEGS_SWAPPED,
    PAINTED,
    desk_joining,
    says,
    step,
    store_at_work,
    with_type,
    without,
)
from tests.unit.consumers.tracker.test_stalling import opened

NO_LABEL = f"{STORE}: no step of {STORE} is called print_label"


class StampedLabel(order.LabelPrinted, type="order.label.printed"):
    stamp: str


def renamed(formerly: tuple[str, ...] = ()) -> Graph:
    """The label's step has another name."""
    label = replace(ORDER.steps["print_label"], name="print_sticker", formerly=formerly)
    steps = [label if one.name == "print_label" else one for one in ORDER.steps.values()]
    return replace(ORDER, steps={one.name: one for one in steps})


def records_of(bench: Bench, partition: int = 0, with_flow: bool = True) -> list[Record]:
    """The state records that the participant has left, as they stand in its topic."""
    flows = bench.others if with_flow else {}
    keyed = [*flows.items(), *((f"saga/{saga_id}", value) for saga_id, value in bench.state.items())]
    return [
        Record(f"{bench.participant}.state", partition, offset, 0.0, key.encode(), value, ())
        for offset, (key, value) in enumerate([("position", b"\x80"), *keyed])
    ]


def compared(records: Iterable[Record], graph: Graph = ORDER, only: tuple[str, ...] = ()) -> KindInFlight:
    kind = KindInFlight(graph, only)
    kind.begin()
    for record in records:
        if record.topic in kind.topics:
            kind.take(record)
    kind.end()
    return kind


def told(kind: KindInFlight) -> dict[str, int]:
    """How many sagas each difference concerns, by participant and sentence."""
    return {f"{one.participant}: {one.sentence}": count for one, count in kind.differences.items()}


def without_former_builds_flow(bench: Bench) -> Bench:
    """As a build left it that stored no flow."""
    for saga_id in bench.state:
        journal = msgspec.msgpack.decode(bench.state[saga_id])
        journal.pop("flow", None)
        bench.state[saga_id] = msgspec.msgpack.encode(journal)
    bench.others = {}
    return bench


def test_a_build_that_has_not_changed_carries_all() -> None:
    kind = compared([*records_of(desk_joining()), *records_of(store_at_work())])
    assert (kind.open, kind.concerned, kind.unknown, told(kind)) == (1, 0, 0, {})
    assert lines_of(kind) == ["order: 0 of 1 open sagas cannot be carried by this build"]


def test_a_change_that_concerns_no_saga_is_not_counted() -> None:
    records = records_of(desk_joining())
    assert compared(records, LEGS_SWAPPED).concerned == 0
    # No saga has a card to refund.
    assert compared(records, step("charge_card", undo=None)).concerned == 0


@pytest.mark.parametrize(
    ("bench", "graph", "sentence"),
    [
        (store_at_work, without("print_label"), NO_LABEL),
        (store_at_work, renamed(), NO_LABEL),
        (desk_joining, LEG_ADDED, f"{DESK}: clear_order waits for"),
        (desk_joining, PAINTED, f"{DESK}: order.opened has a new required field colour"),
    ],
    ids=["step gone", "renamed without formerly", "leg added", "required field"],
)
def test_what_a_build_cannot_carry_is_counted_by_saga_and_difference(
    bench: Callable[[], Bench], graph: Graph, sentence: str
) -> None:
    kind = compared(records_of(bench()), graph)
    ((found, count),) = told(kind).items()
    assert found.startswith(sentence) and count == 1
    assert (kind.open, kind.concerned) == (1, 1)


def test_a_step_that_was_renamed_with_formerly_is_carried() -> None:
    assert compared(records_of(store_at_work()), renamed(formerly=("print_label",))).concerned == 0


def test_sagas_of_a_former_build_without_a_stored_flow_are_compared_by_the_names_of_their_steps() -> None:
    records = records_of(without_former_builds_flow(store_at_work()))
    same = compared(records)
    assert (same.open, same.unknown, same.concerned) == (1, 1, 0)
    assert lines_of(same)[1].startswith("order: 1 of 1 open sagas have an unknown flow")
    gone = compared(records, without("print_label"))
    assert (gone.unknown, gone.concerned, told(gone)) == (1, 1, {NO_LABEL: 1})


def test_a_flow_that_is_stored_and_cannot_be_read_is_unknown_as_well() -> None:
    bench = store_at_work()
    bench.others = dict.fromkeys(bench.others, b"\xff")
    later = compared(records_of(bench), without("print_label", "reserve_stock"))
    assert (later.unknown, later.concerned, len(later.differences)) == (1, 1, 2)


def test_the_flow_may_stand_behind_the_journal_that_names_it() -> None:
    flow_first = records_of(desk_joining())
    for records in (flow_first, [*flow_first[2:], *flow_first[:2]]):
        kind = compared(records, LEG_ADDED)
        assert (kind.unknown, kind.concerned) == (0, 1)


def test_of_flows_that_were_never_stored_only_so_many_journals_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WAITING_BYTES_MAX", 10)
    flow_first = records_of(desk_joining())
    kind = compared([*flow_first[2:], *flow_first[:2]], LEG_ADDED)
    assert kind.unknown == 1


def test_the_last_record_of_a_saga_counts() -> None:
    records = records_of(store_at_work())
    gone = [record._replace(value=None) for record in records if record.key == f"saga/{SAGA}".encode()]
    kind = compared([*records, *gone], without("print_label"))
    assert (kind.open, kind.concerned) == (0, 0)


def test_a_saga_that_has_ended_is_not_in_flight() -> None:
    desk = desk_joining()
    desk.hears(order.OrderCompleted(saga_id=SAGA), "end", TILL)
    desk.commit()
    assert compared(records_of(desk), without("clear_order", "expire_order")).open == 0


def test_a_record_that_cannot_be_decoded_concerns_its_saga() -> None:
    records = records_of(store_at_work())
    garbage = [one._replace(value=b"\xff") if one.key == f"saga/{SAGA}".encode() else one for one in records]
    kind = compared(garbage)
    (sentence,) = told(kind)
    assert sentence.startswith(f"{STORE}: its state record cannot be decoded")
    assert kind.concerned == 1


def test_a_tracker_s_record_that_cannot_be_decoded_concerns_the_status() -> None:
    record = opened().state[SAGA] or b""
    topic = "order.tracker.state"
    known = Record(topic, 0, 0, 0.0, f"saga/{SAGA}".encode(), record, ())
    assert (compared([known]).open, compared([known]).concerned) == (1, 0)
    newer = known._replace(value=bytes((VERSION + 1,)) + record[1:])
    pauses = known._replace(key=b"saga/", value=b"\xff")
    ((difference, count),) = compared([newer, pauses]).differences.items()
    assert (difference.participant, count) == ("order.tracker", 1)
    assert difference.follows == "is held in its status only"


def test_a_saga_that_fails_is_concerned_by_what_it_has_to_undo_only() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.says("reserve_stock", order.StockRefused(saga_id=SAGA, reason="sold out"))
    store.hears_itself()
    records = records_of(store)
    assert compared(records, without("reserve_stock")).concerned == 0
    kind = compared(records, step("print_label", undo=None))
    assert told(kind) == {f"{STORE}: no compensation of print_label is deployed": 1}
    assert {one.follows for one in kind.differences} == {"goes on, and stands stuck if it fails"}


def test_what_a_failing_end_gives_up_is_to_be_undone_by_a_build_that_has_its_compensation() -> None:
    store = store_at_work()
    store.expires()
    store.commit()
    records = records_of(store)
    assert compared(records).concerned == 0
    kind = compared(records, without("print_label"))
    assert told(kind) == {f"{STORE}: no compensation of print_label is deployed": 1}
    plain = Bench(STORE, step("print_label", undo=None))
    plain.opens()
    plain.starts()
    plain.expires()
    plain.commit()
    assert compared(records_of(plain), without("print_label")).concerned == 0


def test_what_a_saga_of_unknown_flow_may_have_to_undo_is_looked_for_in_this_build() -> None:
    store = store_at_work()
    store.says("print_label", order.LabelPrinted(saga_id=SAGA))
    store.hears_itself()
    records = records_of(without_former_builds_flow(store))
    assert compared(records).concerned == 0
    assert told(compared(records, step("print_label", undo=None))) == {
        f"{STORE}: no compensation of print_label is deployed": 1
    }


def test_a_saga_that_this_build_holds_already_is_concerned() -> None:
    graph = with_type(StampedLabel)
    desk = Bench(DESK, graph)
    desk.opens()
    desk.commit()
    says(desk, order.LabelPrinted(saga_id=SAGA), STORE)
    desk.commit()
    kind = compared(records_of(desk), graph)
    assert (kind.unknown, told(kind)) == (0, {f"{DESK}: order.label.printed cannot be read": 1})
    assert compared(records_of(desk)).concerned == 0


@pytest.mark.parametrize("is_failing", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_participant_that_is_gone_concerns_every_saga_that_it_has_not_settled(
    is_failing: bool, is_known: bool
) -> None:
    desk = desk_joining()
    if is_failing:
        desk.expires()
        desk.commit()
    if not is_known:
        desk = without_former_builds_flow(desk)
    steps = {name: one for name, one in ORDER.steps.items() if one.participant != TILL}
    graph = replace(ORDER, steps=steps, participants=(DESK, STORE))
    kind = compared(records_of(desk), graph)
    gone = [one for one in kind.differences if one.rule == "participant"]
    follows = "stands stuck until it is answered for" if is_failing else "is held"
    named = f"no participant is called {TILL}"
    assert [(one.sentence[: len(named)], one.follows) for one in gone] == [(named, follows)]


def test_a_saga_that_several_participants_cannot_carry_is_one_saga() -> None:
    graph = replace(LEG_ADDED, steps={name: one for name, one in LEG_ADDED.steps.items() if name != "print_label"})
    kind = compared([*records_of(desk_joining()), *records_of(store_at_work())], graph)
    assert (kind.open, kind.concerned, len(kind.differences)) == (1, 1, 2)


def test_sagas_of_all_partitions_are_counted() -> None:
    kind = KindInFlight(without("print_label"))
    for partition in range(3):
        kind.begin()
        for record in records_of(store_at_work(), partition):
            kind.take(record)
        kind.end()
    assert (kind.open, kind.concerned, told(kind)) == (3, 3, {NO_LABEL: 3})


def test_only_the_participants_that_are_named_are_looked_at() -> None:
    records = [*records_of(desk_joining()), *records_of(store_at_work())]
    kind = compared(records, without("print_label"), only=(DESK,))
    assert kind.topics == (f"{DESK}.state",)
    assert (kind.open, kind.concerned) == (1, 0)


def test_what_is_held_already_and_goes_on_with_this_build_is_not_concerned() -> None:
    held = store_at_work().reopened(graph=without("print_label"))
    held.starts()
    held.commit()
    records = records_of(held)
    assert compared(records).concerned == 0
    assert told(compared(records, without("print_label"))) == {NO_LABEL: 1}


def test_the_lines_and_the_object_say_how_many_sagas_of_which_kind_and_what_becomes_of_them() -> None:
    kind = compared(records_of(store_at_work()), without("print_label"))
    assert lines_of(kind) == [
        "order: 1 of 1 open sagas cannot be carried by this build",
        f"order: 1 of 1 open sagas: {NO_LABEL}; such a saga is held at that step",
    ]
    found = as_json((), Compared((kind,)))
    assert (found["compared"], found["concerned"]) == (True, 1)
    ((difference,),) = (one["differences"] for one in found["in_flight"])
    assert (difference["participant"], difference["rule"], difference["sagas"]) == (STORE, "step", 1)
