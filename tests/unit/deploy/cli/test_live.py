"""Progress as people see it."""

from collections.abc import Callable
from datetime import timedelta

from rich.console import Console

from deploy.cli.live import changes_between, drawn, line_of
from deploy.cli.talking import printable
from schemas.status import SagaStatus

from .conftest import NOON

MakeStatus = Callable[..., SagaStatus]


def words(before: SagaStatus | None, after: SagaStatus) -> list[str]:
    """The lines without clock and progress."""
    return [line.split("%  ")[1] for line in changes_between(before, after)]


def test_only_what_changed_is_told(status: MakeStatus) -> None:
    before = status("running", {"research_audience": "done", "draft_content": "running"})
    after = status("waiting", {"research_audience": "done", "draft_content": "done"}, waiting_for="approve or reject")
    assert words(before, after) == ["draft_content: done in 0.5 s", "one is waiting: waits for approve or reject"]
    assert words(after, after) == []


def test_steps_are_told_in_the_order_in_which_they_began(status: MakeStatus) -> None:
    known = status("running", {"draft_content": "done", "send_email": "running"})
    known.steps.reverse()
    assert [line.split(":")[0] for line in words(None, known)][:2] == ["draft_content", "send_email"]


def test_a_line_of_watch_says_what_is_busy_or_why_it_stands(status: MakeStatus) -> None:
    assert line_of(status("running", {"draft_content": "running"})).endswith("one running 40 %: draft_content running")
    assert line_of(status("held", {"send_email": "held"}, cause="no mail")).endswith("one held 40 %: no mail")


def test_the_screen_shows_what_is_still_to_come_until_the_end(status: MakeStatus) -> None:
    console = Console(width=100, record=True, file=None, quiet=False)
    now = NOON + timedelta(seconds=3)
    with console.capture() as running:
        console.print(drawn(status("running", {"draft_content": "running"}), ["draft_content", "send_email"], now))
    assert "3.0 s" in running.get() and "send_email" in running.get()
    ended = status("rejected", {"draft_content": "undone"}, outcome={"type": "campaign.rejected"}, cause="no")
    with console.capture() as last:
        console.print(drawn(ended, ["draft_content", "send_email"], now))
    assert "send_email" not in last.get() and "undone" in last.get() and "no" in last.get()


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert printable("a\x1b[31mb\nc\u202e") == "a [31mb c "


def delayed_saga(status: MakeStatus, cause: str = "OSError: no", attempts: int = 2) -> SagaStatus:
    known = status("running", {"draft_content": "done", "publish_blog": "delayed"})
    step = known.steps[1]
    step.cause, step.next_at, step.attempts = cause, NOON + timedelta(seconds=30), attempts
    return known


def test_a_delayed_step_is_told_with_its_error_and_its_next_attempt(status: MakeStatus) -> None:
    known = delayed_saga(status)
    when = f"{(NOON + timedelta(seconds=30)).astimezone():%H:%M:%S}"
    assert words(status("running"), known)[1:] == [
        f"publish_blog: delayed at attempt 2: OSError: no; next attempt at {when}"
    ]
    assert line_of(known).endswith("publish_blog delayed (OSError: no)")
    console = Console(width=120, file=None)
    with console.capture() as screen:
        console.print(drawn(known, [], NOON))
    assert f"OSError: no; next attempt at {when}" in screen.get()


def test_another_cause_of_a_delay_is_told_and_the_same_one_is_not(status: MakeStatus) -> None:
    first = delayed_saga(status)
    assert words(first, delayed_saga(status, attempts=3)) == []
    (line,) = words(first, delayed_saga(status, "Blog is down; its breaker is open"))
    assert "Blog is down; its breaker is open" in line


def test_what_a_cause_brings_for_a_terminal_is_not_obeyed(status: MakeStatus) -> None:
    assert "\x1b" not in "".join(words(None, delayed_saga(status, "a\x1b[31mb")))
