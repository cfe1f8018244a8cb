"""The catalogue of topics and types, derived from the classes."""

import pytest

from schemas import campaign
from schemas.engine import (
    ENGINE_COMMANDS,
    ENGINE_EVENTS,
    EngineEvent,
    ResolveItem,
    RetryItem,
    Settled,
    SkipItem,
    engine_messages,
)
from schemas.message import Command, CompensatingEvent, Completion, Event, FailingEnd, Message, Opening, Question
from schemas.status import FINAL_STATES
from schemas.topics import SagaTopics, catalogue, messages_in, schema_of, state_topic

SCHEMAS = catalogue()


def own_messages() -> list[type[Message]]:
    return [kind for module in (campaign,) for kind in messages_in(module).values()]


def test_every_saga_has_four_topics_and_every_participant_one() -> None:
    assert SagaTopics.of("order") == ("order.commands", "order.events", "order.status", "order.dead")
    assert state_topic("order.desk") == "order.desk.state"
    assert {name: schema.topics for name, schema in SCHEMAS.items()} == {name: SagaTopics.of(name) for name in SCHEMAS}


def test_the_campaign_is_in_the_catalogue() -> None:
    assert SCHEMAS["campaign"].saga == "campaign"


def test_a_saga_that_is_not_in_the_catalogue_is_told_with_what_makes_it_one() -> None:
    with pytest.raises(LookupError, match=r"no saga refund: schemas/refund\.py must declare an Opening.*campaign"):
        SCHEMAS["refund"]


def test_every_class_of_a_module_is_in_its_schema_and_no_two_have_one_type() -> None:
    declared = [
        kind
        for kind in vars(campaign).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind.__module__ == campaign.__name__
    ]
    assert len({kind.wire_type for kind in declared}) == len(declared) == len(messages_in(campaign))


def test_a_base_class_is_no_message_of_its_own() -> None:
    assert not {Message, Command, Event, Opening, Completion, FailingEnd, EngineEvent} & set(own_messages())


@pytest.mark.parametrize("kind", own_messages(), ids=lambda kind: kind.__name__)
def test_a_type_begins_with_its_saga_and_is_written_in_small_letters(kind: type[Message]) -> None:
    assert kind.saga() in SCHEMAS
    assert kind.wire_type == kind.wire_type.lower()
    assert SCHEMAS[kind.saga()].messages[kind.wire_type] is kind


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_engines_own_events_are_in_every_saga(name: str) -> None:
    messages = SCHEMAS[name].messages
    for kind in ENGINE_EVENTS:
        assert messages[kind.type_in(name)] is kind
    assert messages[f"{name}.item.retry"] is RetryItem
    assert messages[f"{name}.item.resolve"] is ResolveItem
    assert messages[f"{name}.item.skip"] is SkipItem


def test_the_engines_own_events_have_no_type_of_their_own() -> None:
    assert Settled.wire_type == ""
    assert Settled.type_in("order") == "order.participant.settled"
    assert len(engine_messages("order")) == len(ENGINE_EVENTS) + len(ENGINE_COMMANDS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_message_is_a_command_or_an_event(name: str) -> None:
    schema = SCHEMAS[name]
    assert set(schema.commands()) | set(schema.events()) == set(schema.messages)
    assert not set(schema.commands()) & set(schema.events())


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_failing_end_ends_in_a_state_that_is_final(name: str) -> None:
    ends = [kind for kind in SCHEMAS[name].events().values() if issubclass(kind, FailingEnd)]
    assert ends
    assert {kind.ends_as for kind in ends} <= FINAL_STATES - {"completed"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_compensating_event_takes_back_a_fact_of_its_own_saga(name: str) -> None:
    schema = SCHEMAS[name]
    for kind in schema.events().values():
        if issubclass(kind, CompensatingEvent):
            assert kind.undoes in schema.events().values()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_question_can_be_answered(name: str) -> None:
    events = SCHEMAS[name].events().values()
    answered = {kind.answers for kind in events if kind.answers is not None}
    assert answered == {kind for kind in events if issubclass(kind, Question)}


def test_a_schema_has_what_its_module_declares_and_the_engine_adds() -> None:
    schema = schema_of("campaign", campaign)
    assert set(schema.messages) == set(messages_in(campaign)) | set(engine_messages("campaign"))
