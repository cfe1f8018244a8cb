"""A seeded generator of hostile records: valid ones of every kind, with something wrong in body, headers, key or place.

Same seed, same records. It knows nothing of Kafka, so that it serves the memories of the lanes and a real stack alike.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from consumers.runtime.graph import Graph
from producers.headers import headers_for
from schemas.message import Command, Message
from schemas.topics import SagaTopics

BEGIN = 1_800_000_000.0
# A saga that has ended takes nothing any more, so that others come in its place.
RECORDS_EACH = 40
# Placed into a body as they are, where JSON has no such word or Python no such value.
RAW = ("NaN", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5_000, '"\\ud800"', '"\\udc00x"', "01", "+1", "'a'", "")
DATES = (
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59Z",
    "3000-12-31T23:59:59Z",
    "2027-01-15",
    "2027-01-15T08:00:00+23:59",
    -1,
    1e18,
)
TEXTS = ("", " ", "\x00", "\x01" * 300, "\u2028", "\U0001f600" * 250, "x" * 301, "x" * 21_000, "'; DROP", "{{", "../..")
NUMBERS = (0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 2**70, 0.1, -0.0, 1e308, 5e-324, True)


class Hostile(NamedTuple):
    """One record to publish, and what was done to it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    done: str


def records(graph: Graph, seed: int, count: int, sagas: int = 5, large_share: float = 1.0) -> Iterator[Hostile]:
    """So many hostile records for a saga kind; they speak of so many sagas at once, `evil-0` and on.

    Of what may be large only that share is: a few thousand records with all of it are a gigabyte.
    """
    maker = Maker(graph, random.Random(seed), sagas, large_share)
    for number in range(count):
        yield maker.record(number)


class Maker:
    """Makes them; its bodies are valid."""

    def __init__(self, graph: Graph, rng: random.Random, sagas: int, large_share: float = 1.0) -> None:
        self._graph, self._rng, self._sagas, self._large_share = graph, rng, sagas, large_share
        self._topics: SagaTopics = graph.schema.topics
        self._kinds = list(graph.schema.messages.items())
        self._openings = [name for name, kind in self._kinds if any(one.opens for one in graph.sayers.get(name, ()))]
        self._starts = [name for name, kind in self._kinds if any(one.opens for one in graph.hearers.get(name, ()))]
        self._schemas = {name: kind.model_json_schema() for name, kind in self._kinds}
        self._ids: list[str] = ["none"]
        self._damages: tuple[Callable[[_Draft], None], ...] = (
            lambda draft: None,
            lambda draft: None,
            self._change_a_field,
            self._change_a_field,
            self._change_a_field,
            self._add_a_field,
            self._drop_a_field,
            self._raw_value,
            self._double_a_key,
            self._nest,
            self._bytes,
            self._no_object,
            self._header,
            self._header,
            self._no_headers,
            self._structured,
            self._key,
            self._swap,
            self._huge,
        )

    def record(self, number: int) -> Hostile:
        rng = self._rng
        wire_type, kind = rng.choice(self._kinds)
        if rng.random() < 0.2:
            # Without open sagas the rest says nothing to anyone.
            wire_type = rng.choice(self._starts + self._openings)
            kind = self._graph.schema.messages[wire_type]
        saga = f"evil-{number // RECORDS_EACH + rng.randrange(self._sagas)}"
        draft = _Draft(self, wire_type, kind, saga, number)
        for damage in rng.sample(self._damages, rng.choice((1, 1, 1, 2, 3))):
            damage(draft)
            draft.done.append(getattr(damage, "__name__", "?"))
        return draft.finished()

    def body(self, wire_type: str, saga: str) -> dict[str, Any]:
        """A valid body, with names that mean something here where they can."""
        schema = self._schemas[wire_type]
        body: dict[str, Any] = self._value(schema, schema, "")
        named = {"saga_id": saga, "participants": list(self._graph.participants)}
        step = self._rng.choice(list(self._graph.steps.values()))
        if self._rng.random() < 0.7:
            named |= {"participant": step.participant, "step": step.name, "item": f"{step.name}/{self.message_id()}"}
        return body | {name: value for name, value in named.items() if name in schema["properties"]}

    def message_id(self) -> str:
        """One that was said before."""
        return self._rng.choice(self._ids[-50:])

    def note(self, message_id: str) -> None:
        """It is said now."""
        self._ids.append(message_id)

    @property
    def rng(self) -> random.Random:
        """The one source of chance."""
        return self._rng

    def _value(self, schema: dict[str, Any], root: dict[str, Any], name: str) -> Any:
        rng = self._rng
        if "$ref" in schema:
            return self._value(root["$defs"][schema["$ref"].rpartition("/")[2]], root, name)
        if "anyOf" in schema:
            return self._value(rng.choice(schema["anyOf"]), root, name)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        match schema.get("type"):
            case "string" if schema.get("format") == "date-time":
                return "2027-01-15T08:00:00Z"
            case "string" if "pattern" in schema:
                return "a@example.org"
            case "string":
                return "x" * max(schema.get("minLength", 0), min(schema.get("maxLength", 50), rng.choice((1, 5, 200))))
            case "integer":
                return rng.choice((schema.get("minimum", 0), min(schema.get("maximum", 7), 7)))
            case "number":
                return 1.5
            case "boolean":
                return rng.random() < 0.5
            case "array":
                least = schema.get("minItems", 0)
                return [self._value(schema["items"], root, name) for _ in range(max(least, rng.randrange(3)))]
            case "object" if "properties" in schema:
                required = set(schema.get("required", ()))
                wanted = [one for one in schema["properties"] if one in required or rng.random() < 0.5]
                return {one: self._value(schema["properties"][one], root, one) for one in wanted}
            case "object":
                keys = schema.get("propertyNames", {}).get("enum", ["x"])
                values = schema.get("additionalProperties")
                return {rng.choice(keys): self._value(values, root, name) if isinstance(values, dict) else 1}
        return None

    def _odd(self) -> Any:
        rng = self._rng
        odd: tuple[Any, ...] = (
            None,
            rng.choice(DATES),
            rng.choice(TEXTS),
            rng.choice(TEXTS),
            rng.choice(NUMBERS),
            rng.choice(NUMBERS),
            [],
            {},
            [rng.choice(TEXTS)] * self._large(rng.choice((1, 3_000))),
            {"x": {"y": rng.choice(NUMBERS)}},
            [None],
        )
        return rng.choice(odd)

    def _change_a_field(self, draft: "_Draft") -> None:
        if draft.body:
            draft.body[self._rng.choice(list(draft.body))] = self._odd()

    def _add_a_field(self, draft: "_Draft") -> None:
        draft.body[self._rng.choice(("colour", "type", "saga", "", "x" * 5_000, "\x00", "wire_type"))] = self._odd()

    def _drop_a_field(self, draft: "_Draft") -> None:
        if draft.body:
            del draft.body[self._rng.choice(list(draft.body))]

    def _raw_value(self, draft: "_Draft") -> None:
        name = self._rng.choice([*draft.body, "colour"])
        draft.body.pop(name, None)
        draft.raw.append(f"{json.dumps(name)}:{self._rng.choice(RAW)}")

    def _double_a_key(self, draft: "_Draft") -> None:
        name = self._rng.choice([*draft.body, "saga_id"])
        draft.raw.append(f"{json.dumps(name)}:{json.dumps(self._odd())}")

    def _nest(self, draft: "_Draft") -> None:
        depth = self._rng.choice((50, 190, 250, 5_000))
        opening, closing = self._rng.choice((("[", "]"), ('{"a":', "}")))
        name = self._rng.choice([*draft.body, "colour"])
        draft.body.pop(name, None)
        draft.raw.append(f"{json.dumps(name)}:{opening * depth}1{closing * depth}")

    def _bytes(self, draft: "_Draft") -> None:
        def damaged(value: bytes) -> bytes:
            place = self._rng.randrange(len(value) + 1)
            inserted = self._rng.choice((b"\xff", b"\x00", b"\xed\xa0\x80", b"", b'"', b"\xef\xbb\xbf", b"}"))
            return value[:place] + inserted + value[place + self._rng.randrange(3) :]

        draft.damaged = damaged

    def _no_object(self, draft: "_Draft") -> None:
        values: tuple[bytes | None, ...] = (
            None,
            b"",
            b"[]",
            b"7",
            b'"x"',
            b"null",
            b"{}",
            b"\xff\xfe",
            b"{",
            b"[" * 9_000,
        )
        value = self._rng.choice(values)
        draft.value = lambda: value

    def _header(self, draft: "_Draft") -> None:
        rng = self._rng
        names = [name for name, _ in draft.headers] + [
            "CE_TYPE",
            "ce_type",
            "x",
            "Content-Type",
            "ce_attempt",
            "ce_round",
        ]
        values: tuple[bytes | None, ...] = (
            None,
            b"",
            b"\xff\xfe",
            b"x" * 1_300,
            b"x" * 70_000,
            ("\U0001f600" * 400).encode(),
            str(rng.choice(DATES)).encode(),
            str(rng.choice(NUMBERS)).encode(),
            b"9" * 5_000,
            rng.choice(self._kinds)[0].encode(),
            b"application/cloudevents+json",
            b"a-b-c-d",
        )
        changed = (rng.choice(names), rng.choice(values))
        if rng.random() < 0.5:
            draft.headers = [one for one in draft.headers if one[0] != changed[0]]
        draft.headers.insert(rng.randrange(len(draft.headers) + 1), changed)

    def _no_headers(self, draft: "_Draft") -> None:
        draft.headers = rng_sample(self._rng, draft.headers)

    def _structured(self, draft: "_Draft") -> None:
        draft.headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]
        draft.envelope = {"specversion": "1.0", "type": draft.wire_type, "id": self._odd(), "time": self._odd()}

    def _key(self, draft: "_Draft") -> None:
        draft.key = self._rng.choice(
            (None, b"", b"\xff", b" evil-1", b"x" * 201, b"x" * 5_000, b"a\x00b", b"evil-\xe2\x80\xa8")
        )

    def _swap(self, draft: "_Draft") -> None:
        draft.topic = self._topics.events if draft.topic == self._topics.commands else self._topics.commands

    def _huge(self, draft: "_Draft") -> None:
        draft.body["colour" if self._rng.random() < 0.5 else self._rng.choice(list(draft.body) or ["x"])] = (
            self._rng.choice(("x", "\x01", "\U0001f600")) * self._large(self._rng.choice((30_000, 200_000)))
        )

    def _large(self, times: int) -> int:
        return times if self._large_share == 1.0 or self._rng.random() < self._large_share else min(times, 100)

    def topic_of(self, kind: type[Message]) -> str:
        """Where messages of this class belong."""
        return self._topics.commands if issubclass(kind, Command) else self._topics.events


def rng_sample(rng: random.Random, headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """Some of the headers, in any order."""
    return rng.sample(headers, rng.randrange(len(headers) + 1)) if headers else []


class _Draft:
    """A valid record that is about to be damaged."""

    def __init__(self, maker: Maker, wire_type: str, kind: type[Message], saga: str, number: int) -> None:
        rng = maker.rng
        self.wire_type, self.body = wire_type, maker.body(wire_type, saga)
        self.topic = maker.topic_of(kind)
        self.key: bytes | None = saga.encode()
        source, message_id = rng.choice(("outside", "order.desk", "order.store")), f"hostile {number}"
        if rng.random() < 0.1:
            message_id = maker.message_id()
        maker.note(message_id)
        self.headers: list[tuple[str, bytes | None]] = list(
            headers_for(
                wire_type=wire_type,
                message_id=message_id,
                source=source,
                saga_id=saga,
                at=BEGIN,
                causation=maker.message_id(),
                attempt=rng.choice((None, 1, 3)),
            )
        )
        if rng.random() < 0.3:
            self.headers = [("ce_type", wire_type.encode())]
        self.raw: list[str] = []
        self.envelope: dict[str, Any] | None = None
        self.damaged: Callable[[bytes], bytes] = lambda value: value
        self.value: Callable[[], bytes | None] = self._encoded
        self.done: list[str] = []

    def _encoded(self) -> bytes:
        inner = json.dumps(self.body, ensure_ascii=False)[1:-1]
        body = "{" + ",".join(part for part in (*self.raw[:1], inner, *self.raw[1:]) if part) + "}"
        if self.envelope is not None:
            body = json.dumps(self.envelope)[:-1] + f',"data":{body}}}'
        return self.damaged(body.encode(errors="surrogatepass"))

    def finished(self) -> Hostile:
        """The record as it is published."""
        return Hostile(self.topic, self.key, self.value(), tuple(self.headers), f"{self.wire_type}: {self.done}")
