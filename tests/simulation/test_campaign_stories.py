"""Every story of the campaign, told once as it is, and once for every moment at which its worker can die."""

from dataclasses import replace

import pytest

from schemas.message import Completion, FailingEnd
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.simulation.stories import APPROVE, REJECT, Story, Turn, after, crash_points, in_state, told, violations

ENDED = frozenset({"completed", "rejected", "expired", "cancelled", "compensated"})
CANCEL = {"reason": "changed our mind"}


def stages() -> list[str]:
    """Every event a campaign says on its way to completion, from the graph."""
    graph = campaign_graph()
    return [
        kind
        for kind in graph.sayers
        if not graph.is_a(kind, FailingEnd) and not graph.is_a(kind, Completion) and "not_wanted" not in kind
    ]


def cancelled_at(stage: str) -> Story:
    """A campaign that somebody cancels when `stage` stands in the log; too late, it goes on."""
    cancel = Turn(after(stage), "campaign.cancel", CANCEL, "cancel")
    early = stage in ("campaign.opened", "campaign.audience.researched", "campaign.content.drafted",
                      "campaign.assets.designed", "campaign.review.requested")  # fmt: skip
    brief = BRIEF if stage == "campaign.review.requested" else BRIEF | {"review": "none"}
    late = stage in ("campaign.delivery.cleared", "campaign.email.sent")
    ends = frozenset({"cancelled"}) if early and brief is BRIEF else frozenset({"cancelled", "completed"})
    return Story(f"cancelled at {stage}", frozenset({"completed"}) if late else ends, (cancel,), brief)


STORIES = [
    Story("completed", frozenset({"completed"}), (APPROVE,)),
    Story("completed without review", frozenset({"completed"}), brief=BRIEF | {"review": "none"}),
    Story("rejected", frozenset({"rejected"}), (REJECT,)),
    Story("expired", frozenset({"expired"})),
    *(cancelled_at(stage) for stage in stages() if "skipped" not in stage),
    *(
        Story(f"{channel} refuses", frozenset({"compensated"}), (APPROVE,), refuse=frozenset({channel}))
        for channel in ("page", "entry", "outbox")
    ),
    *(
        Story(f"{channel} fails until its budget is spent", frozenset({"compensated"}), (APPROVE,), fail={channel: 99})
        for channel in ("page", "entry", "outbox")
    ),
    Story("studio fails", frozenset({"compensated"}), fail={"picture": 99}),
    Story("compensations fail for a while", frozenset({"rejected"}), (REJECT,), fail={"-picture": 3, "-draft": 2}),
    Story(
        "started, approved and rejected twice",
        ENDED - {"expired", "cancelled", "compensated"},
        (
            Turn(in_state("waiting"), "campaign.start", BRIEF, "start"),
            Turn(in_state("waiting"), "campaign.approve", {"reviewer": "ada"}, "approve"),
            Turn(in_state("waiting"), "campaign.approve", {"reviewer": "ada"}, "approve"),
            Turn(in_state("waiting"), "campaign.reject", {"reviewer": "bob", "reason": "no"}, "reject"),
        ),
    ),
    Story(
        "commands after the end",
        frozenset({"rejected"}),
        (
            REJECT,
            Turn(in_state("rejected"), "campaign.approve", {"reviewer": "ada"}, "late"),
            Turn(in_state("rejected"), "campaign.start", BRIEF, "again"),
        ),
    ),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_story_keeps_the_promises_however_its_worker_dies(story: Story) -> None:
    calm = told(story)
    assert list(violations(story, calm)) == []
    points = crash_points(story)
    assert len(points) > 50
    broken = [
        (point, found) for point in points if (found := list(violations(story, told(story, kill_at=point)))) != []
    ]
    assert broken == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_interleavings_keep_the_promises_as_well(seed: int) -> None:
    for story in STORIES:
        assert list(violations(story, told(replace(story), seed=seed))) == []
