"""Which steps are paused, as the log tells of it, and how they are resumed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from consumers.app import sagas
from deploy.cli import steps
from deploy.cli.steps import paused_in
from deploy.cli.talking import Invalid
from producers.answers import Answer, Published
from producers.headers import headers_for
from producers.records import Record
from producers.settings import Settings
from schemas.engine import StepPaused, StepResumed
from schemas.topics import SagaTopics

GRAPH = sagas()[0].graph
STUDIO, DRAFT = "campaign.studio", "draft_content"
NOON = 1_800_000_000.0


def told(event: StepPaused | StepResumed, partition: int = 0, value: bytes | None = None) -> Record:
    """The event as it stands in the log."""
    wire_type = event.type_in("campaign")
    headers = headers_for(wire_type=wire_type, message_id="m", source=STUDIO, saga_id=event.saga_id, at=NOON)
    body = event.model_dump_json().encode() if value is None else value
    return Record("campaign.events", partition, 0, NOON, event.saga_id.encode(), body, headers)


def paused(saga_id: str = "one", step: str = DRAFT, partition: int = 0, participant: str = STUDIO) -> Record:
    return told(StepPaused(saga_id=saga_id, participant=participant, step=step, cause="it failed"), partition)


def resumed(saga_id: str = "one", step: str = DRAFT, partition: int = 0, participant: str = STUDIO) -> Record:
    return told(StepResumed(saga_id=saga_id, participant=participant, step=step), partition)


def places(*records: Record) -> list[tuple[str, int, str]]:
    """The step, partition and saga of all that stands paused."""
    return [(one.step, one.partition, one.saga_id) for one in paused_in(GRAPH, records)]


def test_a_paused_step_is_told_with_its_cause_and_the_verb_that_frees_it() -> None:
    (one,) = paused_in(GRAPH, [paused()])
    assert (one.saga, one.participant, one.step, one.cause) == ("campaign", STUDIO, DRAFT, "it failed")
    assert one.since.timestamp() == NOON
    assert one.freed_by == "soma steps resume campaign.studio draft_content"


def test_a_step_that_was_resumed_is_not_paused_any_more_in_that_partition() -> None:
    assert places(paused(partition=0), paused("two", partition=1), resumed(partition=0)) == [(DRAFT, 1, "two")]


def test_a_resumption_closes_the_pause_of_no_other_step_or_participant() -> None:
    records = [paused(), resumed(step="design_assets"), resumed(participant="campaign.review")]
    assert places(*records) == [(DRAFT, 0, "one")]


def test_a_step_that_is_paused_again_is_told_with_its_newest_saga() -> None:
    assert places(paused("one"), resumed("one"), paused("two")) == [(DRAFT, 0, "two")]
    assert places(paused("one"), paused("two")) == [(DRAFT, 0, "two")]


def test_a_step_that_is_no_longer_deployed_is_left_out() -> None:
    assert places(paused(step="long_gone"), paused(participant="campaign.gone")) == []


@pytest.mark.parametrize("value", [b"no JSON", b"{}", b'{"participant": 7}', b"[]"])
def test_what_nobody_can_read_pauses_nothing(value: bytes) -> None:
    broken = told(StepPaused(saga_id="one", participant=STUDIO, step=DRAFT, cause="x"), value=value)
    assert places(broken) == []


class Recorded:
    """Stands in for Kafka: knows a log, and takes every command."""

    def __init__(self, log: list[Record], kind: str = "event") -> None:
        self.log, self.kind = log, kind
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    async def records(self, topic: str) -> AsyncIterator[Record]:
        assert topic == SagaTopics.of("campaign").events
        for record in self.log:
            yield record

    async def publish(self, saga: str, wire_type: str, saga_id: str, body: dict[str, Any]) -> Published:
        self.said.append((wire_type, saga_id, body))
        return Published(saga, saga_id, "c1", f"{saga}.commands", 0, 0, {})

    async def answer_to(self, published: Published) -> Answer:
        return Answer(self.kind, "campaign.step.resumed", "because", {})  # type: ignore[arg-type]


def talks_to(there: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "talk", lambda settings, work: asyncio.run(work(there)))


def resume(participant: str = STUDIO, step: str = DRAFT) -> int:
    return steps.steps_resume(Settings(), participant, step, "mended", as_json=False)


def test_a_step_is_resumed_once_for_every_partition_in_which_it_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Recorded([paused("old", partition=0), paused("a", partition=0), paused("b", partition=3)])
    talks_to(there, monkeypatch)
    assert resume() == 0
    body = {"participant": STUDIO, "step": DRAFT, "reason": "mended"}
    assert there.said == [("campaign.step.resume", "a", body), ("campaign.step.resume", "b", body)]


def test_a_refused_resumption_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    talks_to(Recorded([paused()], "refused"), monkeypatch)
    assert resume() == 1


@pytest.mark.parametrize(
    ("participant", "step", "words"),
    [
        (STUDIO, DRAFT, "is not paused"),
        (STUDIO, "draw_conclusions", "it has research_audience, draft_content, design_assets"),
        ("campaign.attic", DRAFT, "there are campaign.review"),
    ],
)
def test_what_is_not_paused_or_not_there_is_not_resumed(
    monkeypatch: pytest.MonkeyPatch, participant: str, step: str, words: str
) -> None:
    there = Recorded([paused(), resumed()])
    talks_to(there, monkeypatch)
    with pytest.raises(Invalid, match=words):
        resume(participant, step)
    assert there.said == []


def test_the_list_as_json_is_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    talks_to(Recorded([paused("a", partition=2)]), monkeypatch)
    assert steps.steps_list(Settings(), None, as_json=True) == 0
    (one,) = json.loads(capsys.readouterr().out)["paused"]
    assert (one["step"], one["partition"], one["saga_id"]) == (DRAFT, 2, "a")
    assert one["since"] == "2027-01-15T08:00:00+00:00"


def test_the_list_for_people_has_a_row_for_every_partition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talks_to(Recorded([paused("a", partition=2), paused("b", partition=3)]), monkeypatch)
    assert steps.steps_list(Settings(), "campaign", as_json=False) == 0
    assert capsys.readouterr().out.count("soma steps resume campaign.studio draft_content") == 2
