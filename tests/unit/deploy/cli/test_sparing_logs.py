"""What a library says again and again is written now and then; what we say ourselves, always."""

import logging

from deploy.cli.logs import TELL_AGAIN_AFTER_SECONDS, Sparing


def record(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, arguments, None)


def test_a_flood_becomes_a_line_that_counts_it() -> None:
    now = [0.0]
    sparing = Sparing(lambda: now[0])
    written = [sparing.filter(record("aiokafka.conn", "no connection to %s", port)) for port in range(100)]
    assert written == [True] + [False] * 99
    assert sparing.filter(record("aiokafka.conn", "another kind"))
    now[0] = TELL_AGAIN_AFTER_SECONDS
    again = record("aiokafka.conn", "no connection to %s", 7)
    assert sparing.filter(again) and again.__dict__["left_out"] == 99


def test_our_own_events_are_all_written() -> None:
    sparing = Sparing(lambda: 0.0)
    assert all(sparing.filter(record("consumers.runtime.lane", "lane.lost")) for _ in range(100))
