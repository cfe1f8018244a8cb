"""The guardian: waits for the supervisor to die, and starts another.

The supervisor starts the guardian again when that dies, so that either may be killed at any time. Both at the same
instant is the one case that waits for a person: the next `soma up` or `soma run` puts everything right.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import filelock

from deploy.local.child import spawn
from deploy.local.errors import StackError
from deploy.local.kafka import Launch
from deploy.local.places import Places

POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0


def start_supervisor(
    places: Places, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a supervisor; it finds its parts, or starts them, and writes its own record once it holds the lock.

    Several may be started: the lock leaves one.
    """
    return spawn("supervisor", Launch(tuple(command), environment=environment or {}), places, uuid.uuid4().hex)


def guard(places: Places, command: Sequence[str]) -> None:
    """Start a supervisor whenever nobody holds the supervisor's lock; returns when the stack's folder is gone."""
    lock = filelock.FileLock(places.supervisor_lock)
    started: subprocess.Popen[bytes] | None = None
    while places.run.exists():
        try:
            # The system lets go of a dead holder's lock at once: to get it is to know that nobody supervises.
            with lock.acquire(timeout=0):
                pass
        except filelock.Timeout:
            time.sleep(POLL_SECONDS)
            continue
        except OSError:
            return
        if started is None or started.poll() is not None:
            try:
                started = start_supervisor(places, command)
            except (StackError, OSError) as error:
                print(error, file=sys.stderr, flush=True)
        time.sleep(GRACE_SECONDS)


if __name__ == "__main__":
    guard(Places(Path(sys.argv[1])), sys.argv[2:])
