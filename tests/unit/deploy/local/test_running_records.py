"""Records of running programs: ours are recognised, strangers are not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.child import adopt_child, start_child
from deploy.local.errors import DiskFull
from deploy.local.kafka import Launch
from deploy.local.places import Places
from deploy.local.records import TOKEN_VARIABLE, Record, living, read_record, strays

SLEEP = Launch((sys.executable, "-c", "import time; time.sleep(60)"))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places.of(tmp_path / "home")
    found.prepare()
    return found


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP.command) as started:
        yield started
        started.kill()


def test_a_program_of_ours_is_found_by_its_record(places: Places) -> None:
    child = start_child("idler", SLEEP, places, {"smtp": 2525}, "wired")
    try:
        adopted = adopt_child("idler", places)
        assert adopted is not None and adopted.pid == child.pid
        assert adopted.record == child.record
    finally:
        child.kill()
    assert adopt_child("idler", places) is None


def test_a_pid_that_now_belongs_to_a_stranger_is_not_ours(places: Places, stranger: subprocess.Popen[bytes]) -> None:
    started_at = psutil.Process(stranger.pid).create_time()
    Record("idler", stranger.pid, started_at, "the token of a dead one").write(places.record("idler"))
    assert living(read_record(places.record("idler"))) is None


def test_a_program_whose_environment_is_not_shown_is_known_by_when_it_was_started(
    stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_at = psutil.Process(stranger.pid).create_time()
    monkeypatch.setattr(psutil.Process, "environ", lambda process: {})
    assert living(Record("idler", stranger.pid, started_at, "token")) is not None
    assert living(Record("idler", stranger.pid, started_at - 60, "token")) is None


def test_a_stranger_that_has_just_been_started_is_left_alone(
    stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter([{}, {}, {TOKEN_VARIABLE: "another token"}])
    monkeypatch.setattr(psutil.Process, "environ", lambda process: next(shown))
    assert living(Record("idler", stranger.pid, psutil.Process(stranger.pid).create_time(), "token")) is None


def test_a_pid_that_nobody_has_is_dead() -> None:
    assert living(Record("idler", 2**22 + 1, 0.0, "token")) is None
    assert living(None) is None


def test_a_program_without_record_is_a_stray_of_its_own_home_only(places: Places, tmp_path: Path) -> None:
    child = start_child("idler", SLEEP, places, {}, "")
    try:
        assert [found.pid for found in strays(places.home, set())] == [child.pid]
        assert list(strays(places.home, {child.record.token})) == []
        assert list(strays(tmp_path / "another", set())) == []
    finally:
        child.kill()


@pytest.mark.parametrize("content", ["", "{half", "[]", '{"name": "idler"}', '{"pid": "x"}', "\x00\xff"])
def test_a_corrupt_record_is_none(places: Places, content: str) -> None:
    places.record("idler").write_text(content)
    assert read_record(places.record("idler")) is None


def test_a_program_whose_record_cannot_be_written_does_not_stay(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Record, path: Path) -> None:
        raise DiskFull("no space left")

    monkeypatch.setattr(Record, "write", full)
    with pytest.raises(DiskFull):
        start_child("idler", SLEEP, places, {}, "")
    assert list(strays(places.home, set())) == []
