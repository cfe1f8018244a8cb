"""`soma topics apply --reset`: what is skipped is said first, and nothing is written without a yes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consumers.runtime.positions import identity_of
from consumers.runtime.resetting import BeginFrom, Reset, reset_of
from consumers.runtime.transport import Log, Logs, Position
from deploy.cli import resetting
from deploy.cli.resetting import topics_reset
from producers.errors import PositionLost
from producers.settings import Settings

STUDIO, EVENTS = "campaign.studio", "campaign.events"
BEFORE = Logs("c", {EVENTS: Log("e", 0, 90)}, "campaign.studio.state", Log("s", 0, 9))
LOGS = BEFORE._replace(inputs={EVENTS: Log("e", 60, 100)})
FORMER = Position({EVENTS: 50}, True, "", 0, {}, {}, *identity_of(BEFORE))


class Lane:
    """A lane of which ten records were deleted unread; `written` is what was written."""

    def __init__(self) -> None:
        self.written: list[Reset] = []
        self.lost = ""

    async def plan(self, begin_from: BeginFrom) -> Reset:
        if self.lost:
            raise PositionLost(self.lost)
        return reset_of(STUDIO, 3, FORMER, True, LOGS, begin_from)

    async def write(self, begin_from: BeginFrom) -> Reset:
        self.written.append(await self.plan(begin_from))
        return self.written[-1]


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Lane:
    made = Lane()

    @asynccontextmanager
    async def lane_reset(settings: Settings, kind: Any, participant: str, partition: int) -> AsyncIterator[Lane]:
        assert (participant, partition) == (STUDIO, 3)
        yield made

    monkeypatch.setattr(resetting, "lane_reset", lane_reset)
    monkeypatch.setattr(resetting, "talk", lambda settings, work: asyncio.run(work(None)))
    return made


def reset(home: Path, yes: bool, as_json: bool = False, confirm: Callable[[str], bool] | None = None) -> int:
    return topics_reset(Settings(home=home), STUDIO, 3, "now", yes, as_json, confirm)


def test_without_a_terminal_nothing_is_written_unless_it_is_said_so(
    lane: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reset(tmp_path, yes=False) == 2
    said = capsys.readouterr()
    assert "campaign.studio.3 has position 50 in campaign.events, which begins at 60" in said.err
    assert "up to 10 records were deleted unread" in said.err
    assert "up to 40 records from 60 to 99 are skipped" in said.err
    assert "nothing is changed: repeat the command with --yes" in said.err
    assert lane.written == []
    assert reset(tmp_path, yes=True) == 0
    assert [one.position.offsets for one in lane.written] == [{EVENTS: 100}]
    # It is said before it is done then, too.
    assert "are skipped" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [(False, 1), (True, 0)])
def test_at_a_terminal_a_person_is_asked(lane: Lane, tmp_path: Path, answer: bool, code: int) -> None:
    asked: list[int] = []

    def confirm(question: str) -> bool:
        asked.append(len(lane.written))
        return answer

    assert reset(tmp_path, yes=False, confirm=confirm) == code
    assert asked == [0] and len(lane.written) == answer


@pytest.mark.parametrize(("yes", "code"), [(False, 2), (True, 0)])
def test_a_program_gets_one_object(
    lane: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str], yes: bool, code: int
) -> None:
    assert reset(tmp_path, yes, as_json=True, confirm=lambda _: True) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["participant"], said["partition"], said["from"], said["reset"]) == (STUDIO, 3, "now", yes)
    assert said["inputs"] == [
        {
            "topic": EVENTS,
            "position": 50,
            "log_start": 60,
            "log_end": 100,
            "begins_at": 100,
            "deleted": 10,
            "skipped": 40,
            "repeated": 0,
        }
    ]
    assert len(lane.written) == yes


def test_a_partition_that_does_not_exist_is_refused(
    lane: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lane.lost = "campaign.events does not exist, or has no such partition"
    assert reset(tmp_path, yes=True) == 2
    assert "has no such partition" in capsys.readouterr().err and lane.written == []
