"""One part under supervision, on a clock of the test's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.kafka import Launch
from deploy.local.parts import Part
from deploy.local.places import Places
from deploy.local.watched import Watched
from deploy.local.wiring import DEFAULT_PORTS, Wiring, wire
from producers.settings import Settings

SLEEP = Launch((sys.executable, "-c", "import time; time.sleep(60)"))


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    places = Places.of(tmp_path / "home")
    places.prepare()
    return wire(Settings(home=tmp_path / "home"), places, DEFAULT_PORTS)


@pytest.fixture
def watched(wiring: Wiring) -> Iterator[Watched]:
    found = Watched(Part("idler", lambda wiring: SLEEP, lambda wiring, pid: True, told=True))
    yield found
    found.end_at_once()


def broken() -> Watched:
    def refuse(wiring: Wiring) -> Launch:
        raise StackError("cannot be started")

    return Watched(Part("broken", refuse, lambda wiring, pid: False))


def test_what_fails_is_tried_again_later_and_later_but_at_least_every_five_seconds(wiring: Wiring) -> None:
    watched, now_seconds, delays = broken(), 0.0, []
    for _ in range(7):
        watched.start(wiring, now_seconds)
        began_seconds = now_seconds
        while not watched.due(True, now_seconds):
            now_seconds = round(now_seconds + 0.1, 1)
        delays.append(round(now_seconds - began_seconds, 1))
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.11)
    assert watched.report.state == "backing off" and watched.report.cause == "cannot be started"


def test_thirty_healthy_seconds_make_up_for_earlier_deaths(watched: Watched, wiring: Wiring) -> None:
    def die(now_seconds: float) -> float:
        """Let it die, and say how long it is left alone."""
        assert watched.child is not None
        watched.child.kill()
        watched.observe(wiring, now_seconds)
        waited_seconds = 0.0
        while not watched.due(True, now_seconds + waited_seconds):
            waited_seconds = round(waited_seconds + 0.1, 1)
        watched.start(wiring, now_seconds + waited_seconds)
        watched.observe(wiring, now_seconds + waited_seconds)
        return waited_seconds

    watched.start(wiring, 0.0)
    assert [die(0.0), die(1.0), die(2.0)] == pytest.approx([0.2, 0.4, 0.8], abs=0.11)
    watched.observe(wiring, 50.0)
    assert die(50.0) == pytest.approx(0.2, abs=0.11)


def test_a_part_waits_for_what_it_needs(watched: Watched) -> None:
    assert not watched.due(False, 0.0)
    assert watched.report.state == "waiting"
    assert watched.due(True, 0.0)


def test_a_part_that_was_told_an_address_which_changed_is_started_again(watched: Watched, wiring: Wiring) -> None:
    watched.start(wiring, 0.0)
    watched.observe(wiring, 0.0)
    first = watched.report.pid
    moved = wire(Settings(home=wiring.places.home), wiring.places, {**DEFAULT_PORTS, "smtp": 2526})
    watched.observe(moved, 1.0)
    assert watched.report.state == "waiting" and watched.due(True, 1.0)
    watched.start(moved, 1.0)
    watched.observe(moved, 1.0)
    assert watched.ready and watched.report.pid != first


def test_a_readiness_file_of_an_earlier_life_does_not_count(watched: Watched, wiring: Wiring) -> None:
    ready_file = wiring.places.ready_file("idler")
    ready_file.write_text('{"pid": 1}')
    watched.start(wiring, 0.0)
    assert not ready_file.exists()
