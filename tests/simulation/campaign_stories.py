"""The stories of a campaign: every way it ends, a cancellation at every stage, refusals, failures and repetitions."""

from schemas.message import Completion, FailingEnd
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.simulation.stories import APPROVE, REJECT, Story, Turn, after, in_state

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
