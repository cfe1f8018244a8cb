"""The status record is what pydantic's own class would write, and the short way of reading accepts no more."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.engine import CompensationStuck, ItemResumed, Settled, StepDelayed, StepFailed
from schemas.message import Event
from schemas.status import SagaStatus
from tests.unit.consumers.runtime.bench import BEGIN, EVERYBODY, SAGA
from tests.unit.consumers.runtime.small_saga import ORDER
from tests.unit.consumers.tracker.test_stalling import Watched

ENGINE = (Settled, StepFailed, StepDelayed, CompensationStuck, ItemResumed)
KINDS = [kind for kind in ORDER.schema.messages.values() if issubclass(kind, Event)]
TEXT = st.text(max_size=20)
STEPS = st.sampled_from([*ORDER.steps, *ORDER.undos, "no_such_step"])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "participant": st.sampled_from(EVERYBODY),
    "participants": st.just(EVERYBODY),
    "step": STEPS,
    "item": TEXT,
    "attempt": st.integers(0, 9),
    "attempts": st.integers(0, 9),
    "undone": st.integers(0, 9),
    "cents": st.integers(-(2**80), 2**80),
    "cause": TEXT,
    "reason": TEXT.map(lambda text: f"because {text}"),
    "evidence": TEXT.map(lambda text: f"see {text}"),
    "policy": st.sampled_from(["end", "hold", "ignore"]),
    "next_at": st.floats(BEGIN, BEGIN + 100),
    "command_id": TEXT,
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(KINDS))
    wanted = {name: FIELDS[name] for name in kind.model_fields if name in FIELDS}
    return kind.model_validate({"saga_id": SAGA} | draw(st.fixed_dictionaries(wanted)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(events(), st.sampled_from(EVERYBODY), st.booleans()), max_size=15))
def test_the_status_is_byte_for_byte_what_its_class_would_write(story: list[tuple[Event, str, bool]]) -> None:
    log = Watched()
    log.opens()
    for number, (event, source, wakes) in enumerate(story):
        log.hears(event, source, "order.opened", f"event {number}", attempt=number)
        if wakes:
            log.wakes(number * 100)
    for body in log.bodies:
        assert SagaStatus.model_validate_json(body).model_dump_json().encode() == body


def test_a_body_that_names_another_saga_is_not_heard() -> None:
    log = Watched()
    log.opens()
    count = len(log.statuses)
    for saga_id in ("another", None, 7):
        log.hears_raw("order.cancelled", {"saga_id": saga_id, "reason": "x"})
    assert len(log.statuses) == count
    log.hears_raw("order.cancelled", {"reason": "x"})
    assert log.statuses[-1]["state"] == "compensating"


def test_a_body_its_class_refuses_is_not_heard() -> None:
    log = Watched()
    log.opens()
    count = len(log.statuses)
    refused: list[Any] = [{"reason": 7}, {"reason": None}, []]
    for body in refused:
        log.hears_raw("order.stock.refused", body)
    assert len(log.statuses) == count
