"""Who a daemon is in its consumer groups: a name that stays over restarts, and that a lock gives to one program."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from deploy.local.errors import StackError, explained


class AlreadyRuns(StackError):
    """A program of this name runs in this home already; two would fence each other for as long as both run."""

    exit_code = 2


@contextmanager
def member_name(run: Path, program: str) -> Iterator[str]:
    """Hold the name `program` in this home, on this host; the member's name in its groups.

    The lock's file lies below `run` and holds the pid. The system releases it when the process ends, however it ends.
    Hosts that share a home (containers on one volume) have a lock and a name each. Raises `AlreadyRuns` with the pid
    of the holder.
    """
    host = socket.gethostname()
    with explained(run):
        run.mkdir(parents=True, exist_ok=True)
        file = (run / f"{program}@{_digest(host)}.lock").open("a+")
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise AlreadyRuns(
                f"{program} runs already in {run.parent} (pid {holder}); stop it first, or give this one another --name"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield f"{_digest(f'{host}:{run.parent}')}.{program}"


def worker_program(only: list[str], name: str | None) -> str:
    """What a worker is called: by its own name, by the participants it carries, or just "worker".

    Raises ValueError for a name that cannot be one. PURE.
    """
    if name is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name):
            raise ValueError("--name takes 1 to 60 letters, digits, dots, dashes and underscores")
        return f"worker-{name}"
    carried = "-".join(sorted(set(only)))
    # A file's name ends at 255 bytes, a member's in Kafka at 249.
    return f"worker-{carried if len(carried) <= 60 else _digest(carried)}" if carried else "worker"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=6).hexdigest()
