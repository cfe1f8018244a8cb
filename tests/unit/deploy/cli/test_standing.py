"""What stands still, how it is freed, and what a state means to whoever called us."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deploy.cli import stuck
from deploy.cli.live import ways_on
from deploy.cli.status import print_status, row_of
from deploy.cli.stuck import standing_in
from deploy.cli.talking import Invalid, exit_code_of
from producers.answers import Answer, Published
from producers.dead_letters import kept_in
from producers.headers import headers_for
from producers.records import Headers, Record
from producers.settings import Settings
from schemas.dead_letter import DeadLetter, LetterDiscarded
from schemas.status import SagaState, SagaStatus

from .conftest import NOON

MakeStatus = Callable[..., SagaStatus]


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [
        ("running", 0),
        ("waiting", 0),
        ("compensating", 0),
        ("completed", 0),
        ("rejected", 1),
        ("expired", 1),
        ("cancelled", 1),
        ("compensated", 1),
        ("stuck", 1),
        ("held", 1),
    ],
)
def test_the_exit_code_is_1_for_what_ended_otherwise_or_stands_still(state: SagaState, exit_code: int) -> None:
    assert exit_code_of(state) == exit_code


def test_a_held_step_is_freed_by_its_own_name(status: MakeStatus) -> None:
    (item,) = standing_in(status("held", {"draft_content": "done", "send_email": "held"}, cause="send_email: no"))
    assert (item.step, item.item) == ("send_email", "send_email/m1")
    assert item.freed_by == "soma stuck retry one --item send_email/m1"


def test_a_stuck_compensation_is_freed_by_the_undos_name(status: MakeStatus) -> None:
    known = status("stuck", {"draft_content": "stuck"})
    known.steps[0].item = "discard_content/m1"
    (item,) = standing_in(known)
    assert (item.participant, item.step, item.item) == ("campaign.studio", "discard_content", "discard_content/m1")


def test_a_stuck_compensation_is_listed_with_every_verb_that_frees_it(status: MakeStatus) -> None:
    (item,) = standing_in(status("stuck", {"draft_content": "stuck"}, outcome={"type": "campaign.rejected"}))
    assert item.freed_by.split(" | ") == [
        "soma stuck retry one --item draft_content/m1",
        "soma stuck resolve one --item draft_content/m1 --evidence TEXT",
        "soma stuck skip one --item draft_content/m1 --reason TEXT",
    ]


def test_a_step_that_is_stuck_before_any_end_can_only_be_retried(status: MakeStatus) -> None:
    (item,) = standing_in(status("stuck", {"draft_content": "stuck"}))
    assert item.freed_by == "soma stuck retry one --item draft_content/m1"


def test_an_item_whose_flow_has_changed_can_also_be_given_up(status: MakeStatus) -> None:
    known = status("held", {"draft_content": "held"})
    known.steps[0].cause = "flow changed: no step of campaign.studio is called draft_content"
    (item,) = standing_in(known)
    assert item.freed_by.split(" | ") == [
        "soma stuck retry one --item draft_content/m1",
        "soma stuck skip one --item draft_content/m1 --reason TEXT",
    ]


def test_a_saga_that_only_another_build_can_free_is_listed_with_its_cause_and_no_verb(status: MakeStatus) -> None:
    known = status("held", {"draft_content": "running"}, cause="flow changed: this build has no step x")
    (item,) = standing_in(known)
    assert (item.saga_id, item.state, item.cause) == ("one", "held", "flow changed: this build has no step x")
    assert (item.item, item.freed_by) == ("", "")


def test_who_retries_such_a_saga_is_told_the_cause(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    known = status("held", {"draft_content": "running"}, cause="flow changed: this build has no step x")
    told: list[str] = []

    def talk(settings: Settings, work: Callable[[Any], Any]) -> int:
        with pytest.raises(Invalid) as invalid:
            asyncio.run(work(Recorded(known, "event")))
        told.extend(invalid.value.lines)
        return 2

    monkeypatch.setattr(stuck, "talk", talk)
    assert stuck.stuck_retry(Settings(), "one", None, "", False) == 2
    assert told == ["one has no item that could be freed: flow changed: this build has no step x"]


def test_a_saga_that_moves_has_nothing_to_free(status: MakeStatus) -> None:
    assert standing_in(status("running", {"draft_content": "delayed"})) == []
    assert standing_in(status("compensated", {"draft_content": "held"})) == []


class Recorded:
    """Stands in for Kafka: knows one status and the dead letters, and takes every command."""

    source = "test"

    def __init__(self, known: SagaStatus, kind: str) -> None:
        self.known, self.kind = known, kind
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.dead: list[Record] = []

    async def records(self, topic: str) -> AsyncIterator[Record]:
        assert topic == "campaign.dead"
        for record in list(self.dead):
            yield record

    async def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        self.dead.append(Record(topic, partition, len(self.dead), 0.0, key, value, headers))
        return len(self.dead)

    async def status_of(self, saga: str, saga_id: str, patience_seconds: float) -> SagaStatus | None:
        return self.known if saga == self.known.saga else None

    async def publish(self, saga: str, wire_type: str, saga_id: str, body: dict[str, Any]) -> Published:
        self.said.append((wire_type, body))
        return Published(saga, saga_id, "c1", f"{saga}.commands", 0, 0, {})

    async def answer_to(self, published: Published) -> Answer:
        return Answer(self.kind, "campaign.item.resumed", "because", {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "exit_code"), [("event", 0), ("refused", 1)])
def test_all_that_stands_still_is_retried(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch, kind: str, exit_code: int
) -> None:
    there = Recorded(status("held", {"publish_blog": "held", "send_email": "held"}), kind)
    assert retried(there, monkeypatch, None) == exit_code
    assert there.said == [
        ("campaign.item.retry", body_for("publish_blog")),
        ("campaign.item.retry", body_for("send_email")),
    ]


def test_one_item_is_retried_where_it_is_named(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Recorded(status("held", {"publish_blog": "held", "send_email": "held"}), "event")
    assert retried(there, monkeypatch, "send_email/m1") == 0
    assert there.said == [("campaign.item.retry", body_for("send_email"))]


def test_what_does_not_stand_still_is_not_retried(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="does not stand still"):
        retried(Recorded(status("running"), "event"), monkeypatch, None)


def test_a_compensation_done_by_hand_is_told_with_its_evidence(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Recorded(status("stuck", {"draft_content": "stuck"}), "event")
    talks_to(there, monkeypatch)
    assert stuck.stuck_resolve(Settings(), "one", None, "ticket 7", as_json=False) == 0
    named = {"participant": "campaign.studio", "step": "draft_content", "item": "draft_content/m1"}
    assert there.said == [("campaign.item.resolve", named | {"evidence": "ticket 7"})]


def test_a_compensation_given_up_is_told_with_its_reason(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Recorded(status("stuck", {"draft_content": "stuck"}), "refused")
    talks_to(there, monkeypatch)
    assert stuck.stuck_skip(Settings(), "one", "draft_content/m1", "it may stay", as_json=False) == 1
    named = {"participant": "campaign.studio", "step": "draft_content", "item": "draft_content/m1"}
    assert there.said == [("campaign.item.skip", named | {"reason": "it may stay"})]


@pytest.mark.parametrize("verb", [stuck.stuck_resolve, stuck.stuck_skip])
def test_nothing_is_resolved_or_skipped_without_a_word(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., int]
) -> None:
    there = Recorded(status("stuck", {"draft_content": "stuck"}), "event")
    talks_to(there, monkeypatch)
    with pytest.raises(Invalid, match="is empty"):
        verb(Settings(), "one", None, "  ", as_json=False)
    assert there.said == []


def body_for(step: str) -> dict[str, str]:
    return {"participant": "campaign.studio", "step": step, "item": f"{step}/m1", "reason": "mended"}


def retried(there: Recorded, monkeypatch: pytest.MonkeyPatch, item: str | None) -> int:
    talks_to(there, monkeypatch)
    return stuck.stuck_retry(Settings(), "one", item, "mended", as_json=False)


def talks_to(there: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck, "talk", lambda settings, work: asyncio.run(work(there)))


RESUME = "soma steps resume campaign.studio draft_content"


def paused(status: MakeStatus, **steps: str) -> SagaStatus:
    """A saga that waits at a paused step, perhaps beside others that stand still."""
    known = status("held", {"draft_content": "held"} | steps, cause=f"draft_content is paused: it failed; `{RESUME}`")
    known.steps[0].item, known.steps[0].cause, known.steps[0].freed_by = None, "paused: it failed", RESUME
    return known


def test_a_saga_at_a_paused_step_is_listed_with_the_pause_and_the_verb_that_ends_it(status: MakeStatus) -> None:
    (item,) = standing_in(paused(status))
    assert (item.step, item.item, item.state) == ("draft_content", "", "held")
    assert (item.cause, item.freed_by) == ("paused: it failed", RESUME)


def test_each_item_is_listed_with_its_own_cause(status: MakeStatus) -> None:
    known = status("held", {"draft_content": "held", "send_email": "held"}, cause="send_email: no mail")
    known.steps[0].cause = "no ink"
    assert [item.cause for item in standing_in(known)] == ["no ink", "send_email: no mail"]


def test_the_way_on_from_a_pause_is_to_resume_the_step(status: MakeStatus) -> None:
    assert ways_on(paused(status)) == [f"`{RESUME}` lets the paused step go on, for every saga"]
    both = ways_on(paused(status, send_email="held"))
    assert len(both) == 2 and both[1].startswith("`soma stuck retry one`")
    assert ways_on(status("running", {"draft_content": "running"})) == []


def test_a_status_for_people_names_the_pause_and_the_verb(
    status: MakeStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    print_status(paused(status))
    told = capsys.readouterr().out
    assert "held      draft_content: paused: it failed" in told
    assert f"`{RESUME}` lets the paused step go on" in told
    assert "soma stuck retry" not in told


def test_a_stalled_saga_is_told_with_its_cause_first(status: MakeStatus, capsys: pytest.CaptureFixture[str]) -> None:
    stalled = {"participant": "campaign.studio", "missing": ["campaign.content.drafted"], "since": NOON}
    known = status("running", {}, stalled=stalled | {"found": "nobody runs campaign.studio"})
    print_status(known)
    told = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(told) if "stalled" in line)
    assert told[place] == "  stalled: nobody runs campaign.studio"
    assert told[place + 1].startswith("  campaign.studio owes campaign.content.drafted since 2026-04-01")


def test_the_list_of_sagas_tells_why_a_step_is_delayed(status: MakeStatus) -> None:
    known = status("running", {"draft_content": "delayed"})
    known.steps[0].cause = "OSError: no"
    assert row_of(known)[4] == "draft_content delayed: OSError: no"


def test_retrying_a_saga_that_waits_at_a_paused_step_is_refused_with_the_right_verb(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Recorded(paused(status), "event")
    with pytest.raises(Invalid, match=f"waits at a paused step: `{RESUME}`"):
        retried(there, monkeypatch, None)
    assert there.said == []
    # What stands still beside it is retried.
    beside = Recorded(paused(status, send_email="held"), "event")
    assert retried(beside, monkeypatch, None) == 0
    assert beside.said == [("campaign.item.retry", body_for("send_email"))]


def letter(attempt: int, **changes: Any) -> Record:
    """The dead letter of an attempt of `send_email`, as its participant writes it."""
    named: dict[str, Any] = {
        "id": f"one/send_email/m1/{attempt}",
        "kind": "failed",
        "saga": "campaign",
        "saga_id": "one",
        "participant": "campaign.studio",
        "step": "send_email",
        "item": "send_email/m1",
        "error": "OSError",
        "reason": "no",
        "fingerprint": "f",
        "at": NOON,
    }
    one = DeadLetter.model_validate(named | changes)
    headers = headers_for(
        wire_type="campaign.dead.letter", message_id=one.id, source="campaign.studio", saga_id="one", at=0
    )
    return Record("campaign.dead", 0, attempt, 0.0, b"one", one.model_dump_json().encode(), headers)


def states(there: Recorded) -> dict[str, str]:
    return {kept.letter.id: kept.state for kept in kept_in("campaign", there.dead)}


def test_the_letters_of_an_item_that_was_retried_are_no_longer_open(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Recorded(status("held", {"publish_blog": "held", "send_email": "held"}), "event")
    others = [
        letter(3, id="another saga", saga_id="two"),
        letter(3, id="another item", item="send_email/m2"),
        letter(3, id="another participant", participant="campaign.review"),
        letter(3, id="unreadable", kind="unreadable", item=None),
    ]
    there.dead = [letter(5), letter(10), *others]
    assert retried(there, monkeypatch, "send_email/m1") == 0
    expected = {"one/send_email/m1/5": "replayed", "one/send_email/m1/10": "replayed"}
    assert states(there) == expected | {json.loads(one.value or b"")["id"]: "open" for one in others}
    # It fails again: that letter is another one.
    there.dead.append(letter(15))
    assert states(there)["one/send_email/m1/15"] == "open"


def test_the_letter_of_an_attempt_that_fails_while_it_is_retried_stays_open(
    status: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsAgain(Recorded):
        async def answer_to(self, published: Published) -> Answer:
            self.dead.append(letter(10))
            return await super().answer_to(published)

    there = FailsAgain(status("held", {"send_email": "held"}), "event")
    there.dead = [letter(5)]
    assert retried(there, monkeypatch, None) == 0
    assert states(there) == {"one/send_email/m1/5": "replayed", "one/send_email/m1/10": "open"}


def test_a_letter_that_was_discarded_is_not_noted_again(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Recorded(status("held", {"send_email": "held"}), "event")
    decision = LetterDiscarded(letter_id="one/send_email/m1/5", reason="no", by="me", at=NOON)
    headers = headers_for(wire_type="campaign.dead.discarded", message_id="d", source="test", saga_id="one", at=0)
    there.dead = [letter(5), Record("campaign.dead", 0, 1, 0.0, b"one", decision.model_dump_json().encode(), headers)]
    assert retried(there, monkeypatch, None) == 0
    assert len(there.dead) == 2


def test_a_retry_that_is_refused_leaves_the_letters_open(status: MakeStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Recorded(status("held", {"send_email": "held"}), "refused")
    there.dead = [letter(5)]
    assert retried(there, monkeypatch, None) == 1
    assert states(there) == {"one/send_email/m1/5": "open"}
