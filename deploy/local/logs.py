"""The parts' logs: kept, but never without bound."""

import os
from pathlib import Path

MOST_LOG_BYTES = 50 * 1024 * 1024
KEPT_TAIL_BYTES = 1024 * 1024


def bound(log: Path, most_bytes: int = MOST_LOG_BYTES) -> None:
    """Empty a log that has grown too long, keeping its end beside it as `<name>.log.1`.

    May be done while a program writes: all our logs are opened for appending, so it goes on at the new end.
    """
    try:
        if log.stat().st_size <= most_bytes:
            return
        # The order matters on a full disk: what is freed first makes room for what is kept.
        end = tail(log, KEPT_TAIL_BYTES)
        os.truncate(log, 0)
        log.with_name(f"{log.name}.1").write_bytes(end)
    except OSError:
        return


def tail(log: Path, most_bytes: int = 4_000) -> bytes:
    """The end of a log; empty where there is none."""
    try:
        with log.open("rb") as content:
            content.seek(max(0, log.stat().st_size - most_bytes))
            return content.read(most_bytes)
    except OSError:
        return b""
