"""A worker that cannot go on ends within its time, and says why."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.worker import FAREWELL_SECONDS, REACHABLE_WITHIN_SECONDS

# The name of a worker that finds no way on: what it meets at its start, and whether its end hangs.
STUCK = """
import asyncio, sys
from pathlib import Path
from deploy.cli import worker
from producers.settings import Settings

class Stuck(worker.Worker):
    stopped = 0

    async def start(self):
        if "hangs" in sys.argv[2]:
            asyncio.create_task(swallows_its_cancellation())
        raise ValueError("it stands nowhere")

    async def stop(self):
        print("stopped", flush=True)

async def swallows_its_cancellation():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

worker.Worker = Stuck
worker.FAREWELL_SECONDS = 0.5
sys.exit(worker.worker(Settings(home=Path(sys.argv[1]), drain_seconds=0.5, kafka_bootstrap_servers="127.0.0.1:9"), []))
"""


def stuck(home: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STUCK, str(home), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_worker_that_cannot_go_on_leaves_its_groups_and_says_why(tmp_path: Path) -> None:
    ended = stuck(tmp_path, "ends")
    assert (ended.returncode, ended.stdout) == (2, "stopped\n")
    assert "it stands nowhere" in ended.stderr


def test_a_worker_whose_end_hangs_is_ended_and_tells_where_it_stood(tmp_path: Path) -> None:
    ended = stuck(tmp_path, "hangs")
    assert (ended.returncode, ended.stdout) == (1, "stopped\n")
    assert "Timeout" in ended.stderr and "_cancel_all_tasks" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_start_that_cannot_join(tmp_path: Path, number: signal.Signals) -> None:
    assert FAREWELL_SECONDS + 1 + 20 < REACHABLE_WITHIN_SECONDS, "or the start would have ended by itself"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = os.environ | {
            "SOMA_HOME": str(tmp_path),
            "SOMA_DRAIN_SECONDS": "1",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
        }
        starting = subprocess.Popen(
            [sys.executable, "-P", "-m", "deploy.cli.main", "worker"],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # It has come as far as the broker, which never answers.
        silent.settimeout(30)
        connection, _ = silent.accept()
        starting.send_signal(number)
        out, err = starting.communicate(timeout=FAREWELL_SECONDS + 1 + 20)
        connection.close()
    assert (starting.returncode, out) == (0, "")
    assert "worker.stopping" in err and "Traceback" not in err
