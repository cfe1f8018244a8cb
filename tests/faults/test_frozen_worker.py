"""A worker that is frozen, replaced and wakes up makes no effect that its successor has taken back already."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from schemas.topics import SagaTopics
from tests.faults.application import FOLDER
from tests.faults.hub import Hub, eventually, names

APPLICATION = "tests.faults.parcels:sagas"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    running = Hub(tmp_path / "home", APPLICATION, SagaTopics.of("parcel"))
    yield running
    running.stop()


@pytest.fixture
def successor(hub: Hub, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second worker, with a home of its own, on the same Kafka."""
    environment = os.environ | {
        FOLDER: str(hub.faults),
        "SOMA_HOME": str(tmp_path / "other"),
        "SOMA_APPLICATION": APPLICATION,
        "KAFKA_BOOTSTRAP_SERVERS": hub.addresses["kafka"],
        "CLICKHOUSE_URL": hub.addresses["clickhouse"],
    }
    command = [sys.executable, "-m", "deploy.cli.main", "worker"]
    with (tmp_path / "successor.log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stderr=log)
    eventually((tmp_path / "other" / "run" / "worker.ready").exists, seconds=60)
    yield running
    running.terminate()
    assert running.wait(30) == 0


def waiting_in(hub: Hub, saga: str) -> int | None:
    """The process in which an attempt of the saga's step waits for its moment."""
    found = [path.name.rpartition(" ")[2] for path in hub.faults.glob(f"{saga} waits in *")]
    return int(found[-1]) if found else None


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_frozen_worker_that_wakes_up_makes_no_effect_after_its_undo(
    hub: Hub, successor: subprocess.Popen[bytes]
) -> None:
    sagas = names(8, seed=3)
    for number, saga in enumerate(sagas):
        hub.publish("parcel.start", saga, {"heavy": number % 2 == 1}, f"start-{saga}")
    eventually(lambda: all(waiting_in(hub, saga) for saga in sagas), seconds=30)
    # One of the two workers has at least one of them; either may be frozen.
    frozen = psutil.Process(waiting_in(hub, sagas[0]))
    hit = [saga for saga in sagas if waiting_in(hub, saga) == frozen.pid]
    frozen.send_signal(signal.SIGSTOP)
    try:
        for saga in hit:
            hub.publish("parcel.stop", saga, {}, f"stop-{saga}")
        # Longer than the session, the successor's opening and the step's timeout together.
        eventually(lambda: all(hub.states().get(saga) == "cancelled" for saga in hit), seconds=90)
        undone = effects(hub)
        assert {saga for sign, saga, _ in undone if sign == "-"} >= set(hit)
        (hub.faults / "go").touch()
    finally:
        frozen.send_signal(signal.SIGCONT)
    # It has woken up and joined again when it makes an effect of a later parcel.
    later = iter(names(200, seed=4))

    def works_again() -> bool:
        hub.publish("parcel.start", next(later), {})
        return any(pid == str(frozen.pid) for sign, saga, pid in effects(hub) if saga not in sagas)

    eventually(works_again, seconds=60, every=0.5)
    last = {saga: sign for sign, saga, _ in effects(hub) if saga in hit}
    assert last == dict.fromkeys(hit, "-"), effects(hub)


def effects(hub: Hub) -> list[tuple[str, str, str]]:
    """Each effect and each undo: its sign, the saga, the process."""
    log = hub.faults / "effects.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(sign, saga, pid) for sign, saga, pid in (line.split(" ") for line in lines)]
