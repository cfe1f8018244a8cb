"""Every text, number, date and list that can stand on the wire has a range, whatever class it is added to."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from schemas.dead_letter import letter_types
from schemas.message import Message
from schemas.status import SagaStatus
from schemas.topics import catalogue

# What a fact says is as large as an event may be; the status topic's record is measured as a whole.
FREE = {"SagaStatus.outcome"}


def wire_classes() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {"SagaStatus": SagaStatus}
    for saga, schema in catalogue().items():
        found |= schema.messages | letter_types(saga)
    return found


def without_range(kind: type[BaseModel]) -> list[str]:
    schema = kind.model_json_schema()
    return [place for place in _open(schema, schema, kind.__name__) if place not in FREE]


def _open(schema: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[str]:
    """The places in a JSON Schema that take a value of any size."""
    if place in FREE:
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _open(root["$defs"][name], root, place)
    for one in schema.get("anyOf", ()):
        yield from _open(one, root, place)
    for name, one in schema.get("properties", {}).items():
        yield from _open(one, root, f"{place}.{name}")
    match schema.get("type"):
        case "string" if schema.get("format") == "date-time":
            if "formatMinimum" not in schema or "formatExclusiveMaximum" not in schema:
                yield place
        case "string" if "maxLength" not in schema and not {"enum", "const"} & schema.keys():
            yield place
        case "integer" | "number":
            if not (
                schema.keys() & {"minimum", "exclusiveMinimum"} and schema.keys() & {"maximum", "exclusiveMaximum"}
            ):
                yield place
        case "array":
            if "maxItems" not in schema:
                yield place
            yield from _open(schema["items"], root, f"{place}[]")
        case "object" if "properties" not in schema and schema.get("additionalProperties") is not False:
            values = schema.get("additionalProperties")
            yield from _open(values, root, f"{place}{{}}") if isinstance(values, dict) else [place]
            if "maxProperties" not in schema and "enum" not in schema.get("propertyNames", {}):
                yield place
            if "propertyNames" in schema:
                yield from _open({"type": "string"} | schema["propertyNames"], root, f"{place} keys")


@pytest.mark.parametrize(("name", "kind"), wire_classes().items(), ids=list(wire_classes()))
def test_every_field_on_the_wire_has_a_range(name: str, kind: type[BaseModel]) -> None:
    assert without_range(kind) == []


def test_a_message_takes_no_number_that_is_none() -> None:
    assert all(
        kind.model_config.get("allow_inf_nan") is False for kind in wire_classes().values() if issubclass(kind, Message)
    )


class Loose(BaseModel):
    """A class as it must not be."""

    model_config = ConfigDict(extra="ignore")

    text: str
    number: int
    share: float
    texts: tuple[str, ...]
    named: dict[str, str]
    inner: "list[Loose] | None" = None


def test_a_field_without_a_range_is_found() -> None:
    schema = Loose.model_json_schema()
    found = set(
        _open(
            {"properties": Loose.model_json_schema()["$defs"]["Loose"]["properties"] | {"inner": {"type": "object"}}},
            schema,
            "x",
        )
    )
    assert found == {"x.text", "x.number", "x.share", "x.texts", "x.texts[]", "x.named{}", "x.named", "x.inner"}
