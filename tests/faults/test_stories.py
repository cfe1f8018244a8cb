"""The campaign's endings on the real broker, with real files and real SMTP: what must be gone is gone."""

import mailbox
import time
from pathlib import Path

import pytest

from tests.faults.hub import BRIEF, TOPICS, Hub, eventually, names
from tests.faults.witness import said_twice

ASKED = BRIEF | {"review": "required"}


def traces(hub: Hub, saga: str) -> list[Path]:
    """Everything of the saga below the state folder that people could find: its folders bear its id."""
    shelves = ("drafts", "pictures", "outbox", "site")
    return [path for shelf in shelves for path in (hub.home / shelf).rglob(f"*{saga}*")]


def mails(hub: Hub, subject_part: str) -> list[str]:
    """The Message-IDs of all mail with this in it."""
    box = mailbox.Maildir(hub.stack.places.mail, create=False)
    return [mail["Message-ID"] for mail in box if subject_part in mail.as_string()]


def started(hub: Hub, brief: dict[str, object] | None = None) -> str:
    """A campaign that was just started, under a new id."""
    (saga,) = names(1, seed=time.time_ns())
    hub.publish("campaign.start", saga, ASKED | {"name": f"Name {saga}"} | (brief or {}), f"start-{saga}")
    return saga


def waiting(hub: Hub) -> str:
    """A campaign that waits for its review."""
    saga = started(hub)
    eventually(lambda: hub.states().get(saga) == "waiting", seconds=30, every=0.02)
    return saga


def ends_as(hub: Hub, saga: str, state: str) -> None:
    """Wait for the end."""
    eventually(lambda: hub.states().get(saga) == state, seconds=40)
    assert said_twice(hub.records(TOPICS.events)) == []


def test_an_approval_sent_the_moment_the_status_says_waiting_is_never_refused(hub: Hub) -> None:
    for _ in range(5):
        saga = waiting(hub)
        hub.publish("campaign.approve", saga, {"reviewer": "ada"}, f"approve-{saga}")
        eventually(lambda saga=saga: hub.answers(f"approve-{saga}"), seconds=20)  # type: ignore[misc]  # bound per loop
        assert hub.answers(f"approve-{saga}") == ["campaign.approved"]


def test_a_completed_campaign_leaves_a_page_an_entry_and_a_mail_per_recipient(hub: Hub) -> None:
    saga = waiting(hub)
    hub.publish("campaign.approve", saga, {"reviewer": "ada"}, f"approve-{saga}")
    ends_as(hub, saga, "completed")
    status = [one.body for one in hub.records(TOPICS.status) if one.key == saga][-1]
    assert status["outcome"]["delivered"] == {"blog": 1, "social": 1, "email": 2}
    assert status["progress_percent"] == 100
    assert [path for path in traces(hub, saga) if path.name == "index.html" or path.is_dir()]


def test_a_rejected_campaign_leaves_no_draft_and_no_picture(hub: Hub) -> None:
    saga = waiting(hub)
    assert traces(hub, saga) != []
    hub.publish("campaign.reject", saga, {"reviewer": "ada", "reason": "dull"}, f"reject-{saga}")
    ends_as(hub, saga, "rejected")
    assert traces(hub, saga) == []


def test_an_unanswered_review_expires(hub: Hub) -> None:
    saga = started(hub, {"review_timeout_hours": 2 / 3600})
    ends_as(hub, saga, "expired")
    assert traces(hub, saga) == []


def test_a_cancelled_campaign_leaves_nothing(hub: Hub) -> None:
    saga = waiting(hub)
    hub.publish("campaign.cancel", saga, {"reason": "no budget"}, f"cancel-{saga}")
    ends_as(hub, saga, "cancelled")
    assert traces(hub, saga) == []


@pytest.mark.parametrize(("channel", "call"), [("social", "SocialFeed.publish"), ("email", "Outbox.prepare")])
def test_a_channel_that_refuses_last_undoes_the_others_and_nobody_gets_mail(hub: Hub, channel: str, call: str) -> None:
    rules = hub.home / "rules" / f"{channel}.txt"
    rules.parent.mkdir(exist_ok=True)
    slow = hub.faults / f"slow {call}"
    rules.write_text("gobbledygook\n")
    slow.write_text("2")
    try:
        saga = started(hub, {"review": "none", "goal": "Sell gobbledygook", "sources": ["All about gobbledygook."]})
        eventually(lambda: "campaign.blog.published" in said_by(hub, saga), seconds=30)
        ends_as(hub, saga, "compensated")
    finally:
        rules.unlink()
        slow.unlink()
    assert "campaign.blog.unpublished" in said_by(hub, saga)
    assert traces(hub, saga) == []
    assert mails(hub, saga) == []


def said_by(hub: Hub, saga: str) -> list[str]:
    """The types of all events of the saga."""
    return [one.headers["ce_type"] for one in hub.records(TOPICS.events) if one.key == saga]
