"""Where the embedded stack keeps what it has."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from deploy.local.errors import HomeUnusable, explained

# Kafka adds `kafka/log/<topic>-<partition>/<offset>.timeindex.deleted` to the folder; most systems end a path at 4,096
# bytes (1,024 on macOS), and what breaks first is a rename deep inside the broker.
LONGEST_HOME_BYTES = 600


@dataclass(frozen=True)
class Places:
    """The folders and files below one `SOMA_HOME`, as absolute paths. Creates nothing."""

    home: Path

    @classmethod
    def of(cls, home: Path) -> "Places":
        """The places of a home that may be given relative to the current folder."""
        with explained(home):
            return cls(home.expanduser().resolve())

    @property
    def kafka(self) -> Path:
        return self.home / "kafka"

    @property
    def mail(self) -> Path:
        return self.home / "mail"

    @property
    def site(self) -> Path:
        return self.home / "site"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def stack_file(self) -> Path:
        return self.home / "stack.json"

    @property
    def status_file(self) -> Path:
        return self.run / "status.json"

    @property
    def supervisor_lock(self) -> Path:
        return self.run / "supervisor.lock"

    @property
    def start_lock(self) -> Path:
        return self.run / "start.lock"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def record(self, name: str) -> Path:
        return self.run / f"{name}.json"

    def ready_file(self, name: str) -> Path:
        return self.run / f"{name}.ready"

    def prepare(self) -> None:
        """Make the folders, and try them by writing.

        Raises `HomeUnusable` or `DiskFull` with the remedy where that is not possible.
        """
        if len(os.fsencode(self.home)) > LONGEST_HOME_BYTES:
            raise HomeUnusable(
                f"the path of SOMA_HOME is longer than {LONGEST_HOME_BYTES} bytes, which leaves Kafka no room for its"
                " own file names; set SOMA_HOME to a shorter path"
            )
        for folder in (self.home, self.logs, self.run, self.mail, self.site, self.kafka):
            with explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
        probe = self.run / f"probe.{os.getpid()}"
        with explained(self.run):
            try:
                probe.write_bytes(b"0" * 65_536)
            finally:
                probe.unlink(missing_ok=True)


def cache_folder(home: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept: shared by all stacks of one person, so that each is fetched once.

    `SOMA_CACHE` names it; else it is the user's cache folder; where that cannot be written (an empty `HOME`, a
    container without one) it lies below `home`.
    """
    named = environment.get("SOMA_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    fallback = home.resolve() / "cache"
    if not (environment.get("HOME") or environment.get("XDG_CACHE_HOME")):
        return fallback
    users = Path(user_cache_dir("somaagenthub"))
    try:
        users.mkdir(parents=True, exist_ok=True)
    except OSError:
        return fallback
    return users if os.access(users, os.W_OK) else fallback
