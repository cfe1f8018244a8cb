"""What a message takes and what it does not."""

import pytest
from pydantic import ValidationError

from schemas.campaign import CampaignOpened, StartCampaign
from schemas.engine import Settled, StepFailed
from schemas.message import CompensatingEvent, Event, FailingEnd, Opening, Question, Refusal

BRIEF = {
    "name": "Spring",
    "goal": "Sell tulips",
    "audience": {"description": "gardeners"},
    "channels": ["blog"],
}


class Planted(Event, type="garden.planted"):
    tulips: int = 0


class Dug(CompensatingEvent, type="garden.dug", undoes=Planted):
    pass


class Asked(Question, type="garden.asked", waiting_for="water or sun"):
    pass


class Watered(Event, type="garden.watered", answers=Asked):
    pass


class Withered(FailingEnd, type="garden.withered", ends_as="expired"):
    pass


def test_a_class_knows_its_type_and_its_saga() -> None:
    assert (Planted.wire_type, Planted.saga()) == ("garden.planted", "garden")


def test_a_type_is_not_inherited() -> None:
    class Replanted(Planted):
        pass

    assert Replanted.wire_type == ""


def test_what_a_class_says_of_itself_is_known_without_an_instance() -> None:
    assert Dug.undoes is Planted
    assert Watered.answers is Asked
    assert Planted.answers is None
    assert Asked.waiting_for == "water or sun"
    assert (Withered.ends_as, Refusal.ends_as) == ("expired", "compensated")


def test_an_event_ignores_the_fields_of_a_newer_speaker() -> None:
    body = {"saga_id": "g", "tulips": 3, "colour": "red"}
    assert Planted.model_validate(body) == Planted(saga_id="g", tulips=3)


def test_a_commands_unknown_fields_are_a_mistake() -> None:
    with pytest.raises(ValidationError, match="chanels"):
        StartCampaign.model_validate(BRIEF | {"saga_id": "c", "chanels": ["blog"]})


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Planted(saga_id="g").tulips = 5


@pytest.mark.parametrize("saga_id", ["", "  ", "x" * 201])
def test_a_saga_id_has_1_to_200_characters(saga_id: str) -> None:
    with pytest.raises(ValidationError):
        Planted(saga_id=saga_id)


def test_an_opening_begins_without_participants_which_the_engine_fills_in() -> None:
    opening = CampaignOpened.model_validate(BRIEF | {"saga_id": "c"})
    assert isinstance(opening, Opening)
    assert (opening.participants, opening.graph) == ((), "")


def test_a_command_and_the_fact_it_leads_to_share_the_brief() -> None:
    start = StartCampaign.model_validate(BRIEF | {"saga_id": "c"})
    assert CampaignOpened(**start.model_dump()).model_dump(exclude={"participants", "graph"}) == start.model_dump()


def test_numbers_and_names_of_the_engines_events_are_bounded() -> None:
    with pytest.raises(ValidationError):
        Settled(saga_id="g", participant="p", undone=-1)
    body = {"saga_id": "g", "participant": "p", "step": "s", "item": "i", "attempts": 1, "cause": "c", "policy": "end"}
    assert StepFailed.model_validate(body)
    for wrong in ({"attempts": 2**70}, {"participant": "x" * 100_000}, {"policy": "shrug"}):
        with pytest.raises(ValidationError):
            StepFailed.model_validate(body | wrong)
