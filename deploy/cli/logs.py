"""Logs of the long-running verbs: one JSON object a line on stderr, with the event's name and its fields."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

# Every attribute a bare record has; what else stands on one was given as `extra`.
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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


def configure_logs(level: int) -> None:
    """Send all logs to stderr; libraries only from errors on: aiokafka tells of every retry."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(StructuredFormatter())
    logging.basicConfig(level=level, handlers=[shown], force=True)
    for library in ("aiokafka", "faststream", "urllib3", "asyncio", "aiohttp"):
        logging.getLogger(library).setLevel(logging.ERROR)
