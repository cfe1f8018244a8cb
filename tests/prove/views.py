"""What every view and aggregate of ClickHouse must show, counted from Kafka's records by the witness alone."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from producers.headers import NOOP_TYPE

SAGA = "errand"
DECISIONS = (f"{SAGA}.dead.discarded", f"{SAGA}.dead.replayed")
# Views whose rows are counted under a name; the first column is the name, the second how many.
QUERIES = {
    "events": "SELECT type, count() FROM events GROUP BY type",
    "commands": "SELECT type, count() FROM commands GROUP BY type",
    "dead_letters": "SELECT type, count() FROM dead_letters GROUP BY type",
    "dead_letter_decisions": "SELECT decision, count() FROM dead_letter_decisions GROUP BY decision",
    "dead_rows": "SELECT toString(_topic), count() FROM dead_rows GROUP BY _topic",
    "message_counts_by_minute": "SELECT concat(formatDateTime(minute, '%H:%i'), ' ', channel, ' ', type, ' ', tenant)"
    " AS name, sum(messages) FROM message_counts_by_minute GROUP BY name",
    "step_durations_by_minute ended": "SELECT concat(participant, ' ', type) AS name, sum(ended)"
    " FROM step_durations_by_minute GROUP BY name",
    "step_durations_by_minute tried": "SELECT concat(participant, ' ', type) AS name, sum(tried)"
    " FROM step_durations_by_minute GROUP BY name",
    "sagas": "SELECT concat(saga_id, ' ', state), event_count FROM sagas",
    "statuses": "SELECT concat(saga_id, ' ', state), 1 FROM statuses",
    "steps": "SELECT saga_id, count() FROM steps GROUP BY saga_id",
    "skipped_batches": "SELECT toString(_topic), count() FROM skipped_batches GROUP BY _topic",
    "ledger_gaps": "SELECT toString(_topic), count() FROM ledger_gaps FINAL GROUP BY _topic",
}
SHOWN = 3


class Row(NamedTuple):
    """One committed record of a topic of errands; `channel` is the topic's last word, `at` the broker's time."""

    channel: str
    at: datetime
    key: str
    value: bytes | None
    headers: Mapping[str, str]


@dataclass
class Tally:
    """Hears every record once, each partition in its order; `expected` has what each query must answer."""

    counted: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in QUERIES})
    _events: Counter[str] = field(default_factory=Counter)
    _statuses: dict[str, tuple[str, int]] = field(default_factory=dict)

    def hear(self, row: Row) -> None:
        """Count one record."""
        wire_type = row.headers.get("ce_type", "")
        body = _json_of(row.value)
        if body is None:
            self.counted["dead_rows"][f"{SAGA}.{row.channel}"] += 1
        if wire_type == NOOP_TYPE or body is None:
            return
        self._count(row, wire_type)
        if row.channel == "status":
            self._statuses[row.key] = (body["state"], len(body.get("steps", ())))
        elif row.channel == "events":
            self._events[row.key] += 1

    def _count(self, row: Row, wire_type: str) -> None:
        counted, tenant = self.counted, row.headers.get("ce_tenant", "")
        if row.channel == "dead" and wire_type in DECISIONS:
            counted["dead_letter_decisions"][wire_type.rpartition(".")[2]] += 1
        elif row.channel != "status":
            counted[{"events": "events", "commands": "commands", "dead": "dead_letters"}[row.channel]][wire_type] += 1
        at = datetime.fromisoformat(row.headers["ce_time"]).astimezone(UTC) if "ce_time" in row.headers else row.at
        counted["message_counts_by_minute"][f"{at:%H:%M} {row.channel} {wire_type} {tenant}"] += 1
        if row.channel == "events" and "ce_startedat" in row.headers:
            name = f"{row.headers.get('ce_source', '')} {wire_type}"
            counted["step_durations_by_minute ended"][name] += 1
            counted["step_durations_by_minute tried"][name] += max(1, int(row.headers.get("ce_attempt", "0")))

    def expected(self) -> dict[str, Counter[str]]:
        """What each query must answer, where every saga's newest status has told the truth."""
        sagas = {f"{saga} {state}": self._events[saga] for saga, (state, _) in self._statuses.items()}
        statuses = {f"{saga} {state}": 1 for saga, (state, _) in self._statuses.items()}
        steps = {saga: count for saga, (_, count) in self._statuses.items() if count}
        return self.counted | {"sagas": Counter(sagas), "statuses": Counter(statuses), "steps": Counter(steps)}


def views_difference(client: Client, expected: Mapping[str, Counter[str]]) -> list[str]:
    """Which views show anything else, and what."""
    return [
        f"{name}: {words}"
        for name, query in QUERIES.items()
        for words in differing(expected[name], {str(key): int(count) for key, count in _rows(client, query)})
    ]


def differing(expected: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """The first few keys under which both do not have the same number, and how many there are."""
    wrong = sorted(key for key in {*expected, *found} if expected.get(key, 0) != found.get(key, 0))
    for key in wrong[:SHOWN]:
        yield f"{key}: {found.get(key, 0)}, not {expected.get(key, 0)}"
    if len(wrong) > SHOWN:
        yield f"and {len(wrong) - SHOWN} others"


def _rows(client: Client, query: str) -> Any:
    return client.query(query).result_rows


def _json_of(value: bytes | None) -> dict[str, Any] | None:
    try:
        body = json.loads(value or b"")
    except ValueError:
        return None
    return body if isinstance(body, dict) else {}
