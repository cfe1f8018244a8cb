"""What can go wrong with the embedded stack; every one says what to do about it.

StackError                  exit code 3: not reachable, not startable
├── HomeUnusable            exit code 2: SOMA_HOME or SOMA_CACHE cannot be written, is too long, is no folder
├── DiskFull                no space left; nothing was lost
├── JarsUnavailable         Apache Kafka could not be fetched
│   └── JarCorrupt          what came is not what the closed list names
├── JavaUnavailable         the Java runtime does not start
├── KafkaLogBroken          the broker's folder holds records but not its identity
├── PartNotReady            a part did not become ready in time
└── PortUnavailable         no free port on the loopback interface
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StackError(Exception):
    """The embedded stack cannot do what was asked; the message names the cause and the remedy."""

    exit_code = 3


class HomeUnusable(StackError):
    """A folder the stack needs cannot be used; another one must be named."""

    exit_code = 2


class DiskFull(StackError):
    """The disk is full; what was there before is still there."""


class JarsUnavailable(StackError):
    """Apache Kafka's jars could not be fetched."""


class JarCorrupt(JarsUnavailable):
    """A fetched jar is not the one that the closed list names."""


class JavaUnavailable(StackError):
    """The Java runtime is missing or does not start."""


class KafkaLogBroken(StackError):
    """The broker's folder holds records, but the file that says whose they are is gone."""


class PartNotReady(StackError):
    """A part of the stack did not become ready in time."""


class PortUnavailable(StackError):
    """No free port was found on the loopback interface."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals about `path` into an error that names the remedy.

    Raises `DiskFull` for a full disk or a spent quota, `HomeUnusable` for a path that cannot be used, `StackError` for
    the rest; what is no refusal of the system's passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(
                f"no space left to write {shortened(path)}; nothing was lost: free some space and run the command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise HomeUnusable(
                f"{shortened(path)} cannot be written ({error.strerror});"
                " set SOMA_HOME (or SOMA_CACHE) to a folder of yours"
            ) from error
        if error.errno in (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EISDIR):
            raise HomeUnusable(
                f"{shortened(path)} cannot be used ({error.strerror}); set SOMA_HOME (or SOMA_CACHE) to another folder"
            ) from error
        if error.errno is None:  # no refusal of the system's: a time-out, say
            raise
        raise StackError(f"{shortened(path)}: {error.strerror}") from error


def shortened(path: Path, length: int = 120) -> str:
    """The path as people can read it: the middle of a very long one is left out."""
    text = str(path)
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 :]}"
