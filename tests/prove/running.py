"""The stack of the proof, and what a fault needs to know of it: who runs where, and how to ask a worker to die."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from deploy.local.files import read_object
from deploy.local.ports import choose_port
from deploy.local.stack import Stack
from producers.settings import Settings
from tests.faults.application import FOLDER
from tests.prove.errand.world import WORLD_FILE
from tests.prove.stack import COMMAND, PROXY_PORT

APPLICATION = "tests.prove.errand.application:sagas"


class RunningStack:
    """Broker, store, sink, proxy, two workers; `stop` it in the end. This program's environment is changed by it."""

    def __init__(self, home: Path) -> None:
        self.home, self.faults = home, home / "faults"
        self.faults.mkdir(parents=True)
        named = {FOLDER: str(self.faults), "SOMA_HOME": str(home), "SOMA_APPLICATION": APPLICATION}
        os.environ.update(named | {PROXY_PORT: str(choose_port([], set()))})
        self.stack = Stack(Settings(home=home), COMMAND)
        self.stack.fetch()
        self.stack.up()

    def kafka(self) -> str:
        """Where the broker is now: after a restart it may be at another port."""
        return self._address("kafka")

    def clickhouse(self) -> str:
        """Where the store is now."""
        return self._address("clickhouse")

    def _address(self, name: str) -> str:
        return str(read_object(self.stack.places.stack_file).get(name, ""))

    @property
    def world(self) -> Path:
        """The file in which every effect has left its line."""
        return self.faults / WORLD_FILE

    def process(self, part: str) -> psutil.Process | None:
        """The running process of a part, the supervisor's included."""
        if part == "supervisor":
            return self.stack.supervisor()
        parts = self.stack.status().get("parts", [])
        pid = next((one["pid"] for one in parts if one["name"] == part and one["state"] == "running"), None)
        try:
            return None if pid is None else psutil.Process(pid)
        except psutil.NoSuchProcess:
            return None

    def ask_to_die(self, moment: str) -> None:
        """The next worker that comes to this moment dies there."""
        (self.faults / moment).touch()

    def has_died(self, moment: str) -> bool:
        """Whether a worker has died there since it was asked to."""
        return not (self.faults / moment).exists()

    def extra_worker(self, name: str) -> "subprocess.Popen[bytes]":
        """One more worker, which joins the groups; whoever asked for it ends it."""
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.prove.carrier", name, self.kafka()], stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Stop all of it."""
        self.stack.down()
