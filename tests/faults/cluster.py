"""Three combined KRaft nodes on loopback, from the same jars as the embedded Kafka, that can be killed and frozen.

Replication 3, `min.insync.replicas` 2. The brokers' timeouts are Kafka's own defaults (a dead broker is replaced after
a session of 9 s), unless a test sets others.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local.errors import PartNotReady
from deploy.local.files import read_object
from deploy.local.jars import class_path, listed_jars
from deploy.local.java import java_environment, java_executable
from deploy.local.kafka import prepare_kafka
from deploy.local.kafka_format import IDENTITY, LOG_FOLDER
from deploy.local.places import cache_folder
from deploy.local.ports import choose_port

NODES = (1, 2, 3)
READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 60.0
QUORUM_STATE = "__cluster_metadata-0/quorum-state"
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "12",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "12",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "10000",
    "share.coordinator.state.topic.replication.factor": "3",
    "broker.session.timeout.ms": "9000",
    "broker.heartbeat.interval.ms": "2000",
    # An election is asked for by the test.
    "auto.leader.rebalance.enable": "false",
}


class Cluster:
    """A context manager that stops what it started; `settings` are added to every broker's."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self._settings = REPLICATED | dict(settings or {})
        ports: list[int] = []
        for _ in range(2 * len(NODES)):
            ports.append(choose_port([], avoid=ports))
        self.ports = dict(zip(NODES, ports[: len(NODES)], strict=True))
        self._controllers = dict(zip(NODES, ports[len(NODES) :], strict=True))
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    def __enter__(self) -> Self:
        self._prepare()
        try:
            for node in NODES:
                self.start(node)
            self.wait_until_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every node at once; what they wrote is not needed any more."""
        for running in self._running.values():
            running.kill()
        for running in self._running.values():
            running.wait()
        self._running.clear()

    def pid(self, node: int) -> int:
        """The process of a node that runs."""
        return self._running[node].pid

    def start(self, node: int) -> None:
        """Start a node, or start it again on what it wrote; returns before it answers."""
        home = self._home(node)
        command = (
            str(java_executable()),
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-Djava.net.preferIPv4Stack=true",
            "--enable-native-access=ALL-UNNAMED",
            f"-Djava.io.tmpdir={home / 'unpacked'}",
            "-Dorg.apache.logging.log4j.level=WARN",
            "-cp",
            class_path(cache_folder(self.folder), listed_jars()),
            "kafka.Kafka",
            "server.properties",
        )
        with (home / "kafka.log").open("ab") as log:
            self._running[node] = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, **java_environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, node: int) -> None:
        """End a node in good order (SIGTERM): it hands its partitions over first."""
        running = self._running.pop(node)
        running.terminate()
        running.wait(STOP_SECONDS_MAX)

    def kill(self, node: int) -> None:
        """End a node as a power cut would."""
        running = self._running.pop(node)
        running.kill()
        running.wait()

    def freeze(self, node: int) -> None:
        """SIGSTOP: it holds its connections, accepts new ones and answers nothing."""
        os.kill(self.pid(node), signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        """SIGCONT."""
        os.kill(self.pid(node), signal.SIGCONT)

    def roll(self) -> None:
        """Restart the nodes one after the other, each when the one before is back in every replica set."""
        for node in NODES:
            self.stop(node)
            self.start(node)
            self.wait_until_whole()

    def create(self, topic: str, partitions: int, configuration: dict[str, str]) -> None:
        """A topic whose partition p is led by node p mod 3 + 1, where nothing else was elected."""
        rotated = [[(index + step) % len(NODES) + 1 for step in range(len(NODES))] for index in range(partitions)]
        admin = self.admin()
        new = NewTopic(topic, partitions, replica_assignment=rotated, config=configuration)
        admin.create_topics([new])[topic].result(30)

    def elect_preferred(self) -> None:
        """Give each partition back to the first of its replicas, as the controller does every five minutes."""
        admin = self.admin()
        # Partitions that are led so already are errors in the result, which are not raised.
        admin.elect_leaders(ElectionType.PREFERRED, None).result(30)

    def leaders(self, topic: str) -> dict[int, int]:
        """Which node leads which partition."""
        return {index: part.leader for index, part in self._metadata().topics[topic].partitions.items()}

    def controller(self) -> int:
        """The node that leads the quorum, as the nodes that run have last written it."""
        states = [read_object(self._home(node) / LOG_FOLDER / QUORUM_STATE) for node in self._running]
        newest = max(states, key=lambda state: state.get("leaderEpoch", -1))
        return int(newest["leaderId"])

    def wait_until_whole(self) -> None:
        """Wait until all nodes are there, and every replica of every partition is in sync."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._is_whole():
            dead = [node for node, running in self._running.items() if running.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = ", ".join(str(self._home(node) / "kafka.log") for node in dead or NODES)
                raise PartNotReady(f"the cluster is not whole (ended: {dead or 'none'}); see {logs}")
            time.sleep(0.2)

    def _is_whole(self) -> bool:
        try:
            metadata = self._metadata()
        except Exception:
            # Not one of them answers yet.
            return False
        parts = [part for topic in metadata.topics.values() for part in topic.partitions.values()]
        in_sync = all(len(part.isrs) == len(part.replicas) and part.leader > 0 for part in parts)
        return len(metadata.brokers) == len(NODES) and in_sync

    def _metadata(self) -> Any:
        # Its thread ends with it.
        admin = self.admin()
        return admin.list_topics(timeout=5)

    def admin(self) -> AdminClient:
        """A client that is not held up for long by a frozen node."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "socket.timeout.ms": 3_000, "log_level": 0})

    def _home(self, node: int) -> Path:
        return self.folder / f"node-{node}"

    def _prepare(self) -> None:
        """Format the first node's folder; the others' are copies with a name of their own."""
        cache = cache_folder(self.folder)
        first = self._home(NODES[0])
        prepare_kafka(first, self.ports[NODES[0]], self._controllers[NODES[0]], cache)
        for node in NODES[1:]:
            shutil.copytree(first, self._home(node))
        for node in NODES:
            identity = self._home(node) / LOG_FOLDER / IDENTITY
            kept = [
                line for line in identity.read_text().splitlines() if not line.startswith(("node.id", "directory.id"))
            ]
            # A folder without an id of its own is given one at the start.
            identity.write_text("\n".join([*kept, f"node.id={node}", ""]))
            self._write_settings(node)

    def _write_settings(self, node: int) -> None:
        voters = ",".join(f"{other}@127.0.0.1:{port}" for other, port in self._controllers.items())
        own = {
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": f"CLIENT://127.0.0.1:{self.ports[node]},CONTROLLER://127.0.0.1:{self._controllers[node]}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self.ports[node]}",
        }
        # Of a property that is set twice the last one counts.
        with (self._home(node) / "server.properties").open("a") as properties:
            properties.writelines(f"{name}={value}\n" for name, value in (self._settings | own).items())
