"""What the witness expects of the views, counted from records; and what differs is named."""

import json
from collections import Counter
from datetime import UTC, datetime

from tests.prove.views import QUERIES, Row, Tally, differing

AT = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


def row(channel: str, wire_type: str, body: object = None, key: str = "e-1", **headers: str) -> Row:
    named = {"ce_type": wire_type, "ce_time": "2026-01-01T12:34:56.7+00:00"} | headers
    return Row(channel, AT, key, json.dumps(body or {}).encode(), {k: v for k, v in named.items() if v})


def expected(*rows: Row) -> dict[str, Counter[str]]:
    tally = Tally()
    for one in rows:
        tally.hear(one)
    return tally.expected()


def test_events_count_in_their_view_their_minute_and_their_steps_duration() -> None:
    found = expected(row("events", "errand.goods.bought", ce_startedat="x", ce_source="errand.shop", ce_attempt="3"))
    assert found["events"] == {"errand.goods.bought": 1}
    assert found["message_counts_by_minute"] == {"12:34 events errand.goods.bought ": 1}
    assert found["step_durations_by_minute ended"] == {"errand.shop errand.goods.bought": 1}
    assert found["step_durations_by_minute tried"] == {"errand.shop errand.goods.bought": 3}


def test_a_command_without_a_time_counts_in_the_minute_of_the_broker() -> None:
    found = expected(row("commands", "errand.start", ce_time=""))
    assert (found["commands"], found["message_counts_by_minute"]) == (
        {"errand.start": 1},
        {"12:30 commands errand.start ": 1},
    )


def test_the_newest_status_and_all_events_make_the_row_of_a_saga() -> None:
    found = expected(
        row("events", "errand.opened"),
        row("status", "errand.status", {"state": "running", "steps": [{}]}),
        row("events", "errand.completed"),
        row("status", "errand.status", {"state": "completed", "steps": [{}, {}]}),
    )
    assert (found["sagas"], found["statuses"], found["steps"]) == (
        {"e-1 completed": 2},
        {"e-1 completed": 1},
        {"e-1": 2},
    )


def test_what_is_no_json_is_a_dead_row_and_a_noop_is_nothing_else() -> None:
    found = expected(Row("events", AT, "e-1", None, {"ce_type": "soma.noop"}), Row("commands", AT, "e-1", b"{", {}))
    assert found["dead_rows"] == {"errand.events": 1, "errand.commands": 1}
    assert found["message_counts_by_minute"] == {}


def test_decisions_are_no_dead_letters() -> None:
    found = expected(row("dead", "errand.dead.discarded"), row("dead", "errand.command"))
    assert (found["dead_letter_decisions"], found["dead_letters"]) == ({"discarded": 1}, {"errand.command": 1})


def test_the_first_keys_that_differ_are_named_and_the_others_counted() -> None:
    assert list(differing({"a": 1}, {"a": 1, "b": 0})) == []
    assert list(differing({"a": 1}, {"b": 2})) == ["a: 0, not 1", "b: 2, not 0"]
    assert list(differing(dict.fromkeys("abcde", 1), {}))[-1] == "and 2 others"


def test_every_figure_that_is_counted_has_its_query() -> None:
    assert set(expected()) == set(QUERIES)
