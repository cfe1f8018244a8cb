"""PURE: what the fields of a message class take, in words that two builds can compare."""

from functools import cache
from typing import Any

import msgspec
from pydantic import AliasChoices
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.fields import FieldInfo

from schemas.message import Message

ANY = ("any",)


class FieldRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field. `takes` are the alternatives of its type; `read_as` are the names under which it is read."""

    name: str
    takes: tuple[str, ...]
    required: bool
    read_as: tuple[str, ...]


@cache
def fields_of(kind: type[Message]) -> tuple[FieldRecord, ...]:
    """The fields of a message class, by name."""
    try:
        schema = kind.model_json_schema(by_alias=False)
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        # Such a type has no words; whether a stored message is still read is found out by reading it.
        schema = {}
    properties, defined = schema.get("properties", {}), schema.get("$defs", {})
    return tuple(
        FieldRecord(
            name=name,
            takes=_alternatives(properties[name], defined) if name in properties else ANY,
            required=field.is_required(),
            read_as=_names_of(name, field, kind),
        )
        for name, field in sorted(kind.model_fields.items())
    )


def _names_of(name: str, field: FieldInfo, kind: type[Message]) -> tuple[str, ...]:
    alias = field.validation_alias
    if alias is None:
        return (name,)
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    by_name = [name] if kind.model_config.get("populate_by_name") else []
    return tuple(dict.fromkeys([*by_name, *(choice for choice in choices if isinstance(choice, str))]))


def _alternatives(schema: Any, defined: dict[str, Any], within: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What a JSON schema takes; bounds are left out, as whether a stored message keeps them is found by reading it."""
    if not isinstance(schema, dict):
        return ANY
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        # A class that holds itself is told by its name.
        return (name,) if name in within else _alternatives(defined.get(name), defined, (*within, name))
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        return tuple(sorted({one for part in union for one in _alternatives(part, defined, within)}))
    if "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        return tuple(sorted(msgspec.json.encode(value).decode() for value in values))
    return (_single(schema, defined, within),)


def _single(schema: dict[str, Any], defined: dict[str, Any], within: tuple[str, ...]) -> str:
    def inside(part: Any) -> str:
        return "|".join(_alternatives(part, defined, within))

    kind = schema.get("type", ANY[0])
    if kind == "array":
        return f"[{inside(schema.get('items'))}]"
    if kind == "object" and "properties" in schema:
        required = schema.get("required", ())
        marks = {name: "" if name in required else "?" for name in schema["properties"]}
        named = [f"{name}{marks[name]}:{inside(one)}" for name, one in sorted(schema["properties"].items())]
        return "{" + ",".join(named) + "}"
    if kind == "object":
        return "{*:" + inside(schema.get("additionalProperties")) + "}"
    return f"{kind}({schema['format']})" if "format" in schema else str(kind)
