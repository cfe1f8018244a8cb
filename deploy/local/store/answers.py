"""What the store answers: results with ClickHouse's headers, and errors with ClickHouse's codes."""

import json
import re
from typing import NamedTuple

ERROR = re.compile(r"Code: (?P<code>\d+)\. DB::Exception: (?P<text>.*)", re.DOTALL)
UNKNOWN_EXCEPTION = 1002

BAD_REQUEST = {6, 25, 26, 27, 36, 38, 41, 43, 53, 62, 69, 72, 117, 130, 131, 167, 168, 188, 191, 271, 441, 457, 636}
NOT_FOUND = {16, 46, 47, 50, 51, 52, 56, 60, 63, 72, 73, 78, 81, 115, 372}
HTTP_STATUS = {
    **dict.fromkeys(BAD_REQUEST, 400),
    **dict.fromkeys(NOT_FOUND, 404),
    48: 501,
    159: 408,
    164: 403,
    192: 403,
    193: 403,
    194: 401,
    202: 503,
    209: 503,
    223: 413,
    439: 503,
    497: 403,
    516: 403,
}


class Refused(Exception):
    """A statement that failed, as ClickHouse would say it; the engine's own errors have this shape too."""

    def __init__(self, code: int, text: str, name: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = f"{text} ({name})" if name else text

    @classmethod
    def from_engine(cls, error: Exception) -> "Refused":
        """Read the engine's error; what carries no code becomes code 1002 (UNKNOWN_EXCEPTION)."""
        found = ERROR.search(str(error))
        if found is None:
            return cls(UNKNOWN_EXCEPTION, str(error) or type(error).__name__, "UNKNOWN_EXCEPTION")
        return cls(int(found["code"]), re.sub(r" \(version [^)]*\)\s*$", "", found["text"].strip()))

    @property
    def status(self) -> int:
        """The HTTP status that a ClickHouse server gives this error."""
        return HTTP_STATUS.get(self.code, 500)

    def body(self, version: str) -> str:
        """The error as ClickHouse writes it into the answer."""
        return f"Code: {self.code}. DB::Exception: {self.text} (version {version})\n"


class Answer(NamedTuple):
    """What a statement gave: its result, and what it cost."""

    body: bytes = b""
    output_format: str | None = None
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0
    elapsed_seconds: float = 0.0

    def headers(self, query_id: str, timezone: str) -> dict[str, str]:
        """ClickHouse's headers. The format is named only when there is a result: else clients would decode nothing."""
        summary = {
            "read_rows": self.rows_read,
            "read_bytes": self.bytes_read,
            "written_rows": self.rows_written,
            "written_bytes": self.bytes_written,
            "total_rows_to_read": 0,
            "result_rows": 0,
            "result_bytes": len(self.body),
            "elapsed_ns": int(self.elapsed_seconds * 1e9),
        }
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": timezone,
            "X-ClickHouse-Summary": json.dumps({name: str(figure) for name, figure in summary.items()}),
        }
        if self.output_format is not None:
            headers["X-ClickHouse-Format"] = self.output_format
        return headers
