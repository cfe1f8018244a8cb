"""What stands still, how it is freed, and what a state means to whoever called us."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deploy.cli import stuck
from deploy.cli.stuck import standing_in
from deploy.cli.talking import Invalid, exit_code_of
from producers.answers import Answer, Published
from producers.settings import Settings
from schemas.status import SagaState, SagaStatus

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


def test_a_saga_that_moves_has_nothing_to_free(status: MakeStatus) -> None:
    assert standing_in(status("running", {"draft_content": "delayed"})) == []
    assert standing_in(status("compensated", {"draft_content": "held"})) == []


class Recorded:
    """Stands in for Kafka: knows one status, and takes every command."""

    def __init__(self, known: SagaStatus, kind: str) -> None:
        self.known, self.kind = known, kind
        self.said: list[tuple[str, dict[str, Any]]] = []

    async def watch_status(self, saga: str, saga_id: str) -> Any:
        if saga == self.known.saga:
            yield self.known

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
