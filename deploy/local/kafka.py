"""The embedded Apache Kafka: one KRaft node in a folder of its own, without Docker and without an installed Java."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.errors import PartNotReady, explained
from deploy.local.jars import Report, class_path, fetch_jars, jars_folder, listed_jars, wrong_jars
from deploy.local.java import JVM_FLAGS, ClassArchive, java_environment, java_executable
from deploy.local.kafka_format import LOG_FOLDER, ensure_formatted
from deploy.local.kafka_settings import server_properties
from deploy.local.places import cache_folder
from deploy.local.ports import answers, choose_port

READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Launch:
    """How to start a program: its command, its folder (`None`: the current one), what to add to the environment."""

    command: tuple[str, ...]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def prepare_kafka(folder: Path, port: int, controller_port: int, cache: Path, report: Report | None = None) -> Launch:
    """Make everything that a broker in `folder` needs, and say how to start it.

    May be called any number of times, and after a kill at any moment. Raises a `StackError` that names the remedy.
    """
    jars = listed_jars()
    if wrong_jars(cache, jars, thorough=False):
        fetch_jars(cache, report)
    archive = ClassArchive(jars_folder(cache))
    archive.prepare()
    path = class_path(cache, jars)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Native libraries are unpacked here, not in a /tmp that may forbid running code; a killed broker leaves its
        # own.
        unpacked = folder / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(exist_ok=True)
        unfinished_archive(folder).unlink(missing_ok=True)
        (folder / "server.properties").write_text(server_properties(port, controller_port, LOG_FOLDER))
    ensure_formatted(folder, path)
    command = (
        str(java_executable()),
        *JVM_FLAGS,
        *archive.flags(unfinished_archive(folder)),
        f"-Djava.io.tmpdir={unpacked}",
        "-Dorg.apache.logging.log4j.level=WARN",
        "-cp",
        path,
        "kafka.Kafka",
        "server.properties",
    )
    return Launch(command, folder, java_environment())


def unfinished_archive(folder: Path) -> Path:
    """Where the first broker writes its class archive when it ends."""
    return folder / "classes.unfinished"


def keep_archive(folder: Path, cache: Path) -> None:
    """To be called after a broker has ended in good order: what it has learnt makes the next one start faster."""
    unfinished = unfinished_archive(folder)
    if unfinished.exists():
        moved = jars_folder(cache) / f"kafka-{os.getpid()}.unfinished"
        try:
            # The cache may be another file system: copy beside the target first, so that it appears whole.
            shutil.move(unfinished, moved)
        except OSError:
            moved.unlink(missing_ok=True)
            return
        ClassArchive(jars_folder(cache)).accept(moved)


def kafka_answers(bootstrap_servers: str, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> bool:
    """Whether a client gets an answer without logging in: a broker is there, and its controller has let it serve."""
    return listens(bootstrap_servers) and asyncio.run(_lists_brokers(bootstrap_servers, timeout_seconds))


def listens(addresses: str) -> bool:
    """Whether one of `host:port[,host:port]` accepts connections."""
    pairs = (address.rpartition(":") for address in addresses.split(","))
    return any(answers(int(port), timeout_seconds=1.0, host=host.strip("[]")) for host, _, port in pairs)


async def _lists_brokers(bootstrap_servers: str, timeout_seconds: float) -> bool:
    from aiokafka.client import AIOKafkaClient  # 0.2 s of imports that a broker's start need not wait for
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=int(timeout_seconds * 1_000))
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.bootstrap()
            return bool(client.cluster.brokers())
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()


class EmbeddedKafka:
    """A broker for a test or a program, owned by the one who starts it.

    `with EmbeddedKafka(folder) as kafka:` gives a broker that answers at `kafka.bootstrap_servers`. It can be stopped,
    killed and started again on the same folder and port; what was written stays. Not for two owners at once: the
    stack's own broker is the supervisor's.
    """

    def __init__(self, folder: Path, port: int | None = None, cache: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.cache = cache or cache_folder(self.folder)
        self.port = port or choose_port([])
        self.controller_port = choose_port([], avoid=[self.port])
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id, for tests that freeze or kill it."""
        if self._running is None:
            raise RuntimeError("the broker is not running")
        return self._running.pid

    @property
    def log_file(self) -> Path:
        return self.folder / "kafka.log"

    def start(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Start the broker and return when it answers; does nothing when it runs."""
        if self._running is not None and self._running.poll() is None:
            return
        launch = prepare_kafka(self.folder, self.port, self.controller_port, self.cache)
        with explained(self.log_file), self.log_file.open("ab") as log:
            self._running = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env={**os.environ, **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_seconds
        while not kafka_answers(self.bootstrap_servers):
            if self._running.poll() is not None:
                raise PartNotReady(f"Kafka ended with {self._running.returncode}; see {self.log_file}")
            if time.monotonic() > deadline:
                self.kill()
                raise PartNotReady(f"Kafka did not answer within {timeout_seconds:.0f} s; see {self.log_file}")
            time.sleep(0.05)

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """End the broker in good order; kill it when that takes too long."""
        running = self._running
        if running is None:
            return
        running.terminate()
        try:
            running.wait(timeout_seconds)
            keep_archive(self.folder, self.cache)
        except subprocess.TimeoutExpired:
            self.kill()
        self._running = None

    def kill(self) -> None:
        """End the broker as a power cut would (`kill -9`)."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_kafka(home: Path, port: int | None = None) -> EmbeddedKafka:
    """Start a broker that keeps its records below `home/kafka`, and return it when it answers."""
    kafka = EmbeddedKafka(home / "kafka", port)
    kafka.start()
    return kafka


if __name__ == "__main__":
    with start_kafka(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None) as broker:
        print(broker.bootstrap_servers, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            broker._running.wait()  # type: ignore[union-attr]
