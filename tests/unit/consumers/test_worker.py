"""What a worker is made of, before it connects to anything."""

import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from consumers.runtime.lane import Host
from consumers.runtime.metrics import ItemFigures
from consumers.worker import roles
from producers.settings import Settings
from tests.benchmarks.relay.application import sagas


def test_only_the_tracker_waits_until_everybody_can_read_what_it_tells_of(tmp_path: Path) -> None:
    (kind,) = sagas()
    found = roles(kind, Settings(home=tmp_path), Host("life", time.time), {}, ItemFigures(CollectorRegistry()))
    assert [role.name for role in found if not role.told_early] == ["relay.tracker"]
    assert len(found) == 5
