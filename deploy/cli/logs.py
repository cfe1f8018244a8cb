"""Logs of the long-running verbs: one JSON object a line on stderr, with the event's name and its fields."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

# Every attribute a bare record has; what else stands on one was given as `extra`.
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


LIBRARIES = ("aiokafka", "faststream", "urllib3", "asyncio", "aiohttp")
TELL_AGAIN_AFTER_SECONDS = 10.0
KINDS_MAX = 1_000


class StructuredFormatter(logging.Formatter):
    """`{"at", "level", "logger", "event", …extra fields…}`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        } | {name: value for name, value in vars(record).items() if name not in PLAIN}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields, enc_hook=repr).decode()


class Sparing(logging.Filter):
    """Lets one line of each kind of a library's through in ten seconds; that line tells how many were left out.

    aiokafka logs every attempt of every connection: with a server away or a wrong password, hundreds of lines a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name.partition(".")[0] not in LIBRARIES:
            return True
        kind, now = (record.name, str(record.msg)), self._clock()
        at, left_out = self._told.get(kind, (float("-inf"), 0))
        if now - at < TELL_AGAIN_AFTER_SECONDS:
            self._told[kind] = (at, left_out + 1)
            return False
        if len(self._told) >= KINDS_MAX:
            self._told.clear()
        self._told[kind] = (now, 0)
        if left_out:
            record.left_out = left_out
        return True


def configure_logs(level: int) -> None:
    """Send all logs to stderr; libraries only from errors on, and sparingly."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(StructuredFormatter())
    shown.addFilter(Sparing())
    logging.basicConfig(level=level, handlers=[shown], force=True)
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
