"""YAML and JSON as people write them, read without surprises.

YAML is read by the core schema of YAML 1.2. What PyYAML's 1.1 makes of plain words is text here: `yes` and `on`, dates,
and `1:30`, which is 90 there. `0o17` is octal, and `010` is an error: 1.1 reads 8, 1.2 reads 10. Infinity and
not-a-number are text, for JSON has neither. Keys are text. A key that is given twice is an error, in JSON too.
"""

import json
import math
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

VALUES_MAX = 200_000
TAG = "tag:yaml.org,2002:"


class NotRead(Exception):
    """The text is not read; `line` counts from 1, where it is known."""

    def __init__(self, words: str, line: int | None = None) -> None:
        super().__init__(words)
        self.line = line


_PLAIN = (
    (TAG + "null", re.compile(r"(?:~|null|Null|NULL|)\Z")),
    (TAG + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    (TAG + "int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")),
    (TAG + "float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")),
)


class _Composer(yaml.SafeLoader):
    """Composes nodes; plain scalars have the tags of the core schema."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.yaml_implicit_resolvers = {None: list(_PLAIN)}


def read_yaml(text: str) -> tuple[Any, Node | None]:
    """The value, and the node that knows its lines (None where there is none); raises `NotRead`."""
    try:
        node: Node | None = yaml.compose(text, _Composer)
        return (None, None) if node is None else (_Values().of(node), node)
    except yaml.MarkedYAMLError as error:
        if text.lstrip().startswith("{"):
            # JSON may have tabs and long keys, which YAML has not.
            return _as_json(text, error), None
        raise _not_read(error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotRead(str(error)) from error


def read_json(text: str) -> Any:
    """The value of JSON; raises `ValueError` for what is no JSON, and `NotRead` for a key that is given twice."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise NotRead(f"{key!r} is given twice")
        found[key] = value
    return found


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError(f"{number} is no JSON")
    return float(number)


def _as_json(text: str, yaml_error: yaml.MarkedYAMLError) -> Any:
    try:
        return read_json(text)
    except (ValueError, RecursionError):
        raise _not_read(yaml_error) from yaml_error


def _not_read(error: yaml.MarkedYAMLError) -> NotRead:
    return NotRead(error.problem or str(error), error.problem_mark.line + 1 if error.problem_mark else None)


class _Values:
    """The values of one document's nodes. Aliases share a value, and count as if they were written out."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, int]] = {}
        self._above: set[int] = set()

    def of(self, node: Node) -> Any:
        """The value; raises `NotRead`, with the line, for what is not read."""
        return self._value_and_size(node)[0]

    def _value_and_size(self, node: Node) -> tuple[Any, int]:
        if id(node) in self._made:
            return self._made[id(node)]
        line = _line_of(node)
        if id(node) in self._above:
            raise NotRead("an alias contains itself", line)
        self._above.add(id(node))
        size = 1
        value: Any
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            value = {}
            lines: dict[str, int] = {}
            for key, child in node.value:
                name = _key(key)
                if name in lines:
                    raise NotRead(f"{name!r} is given twice, first in line {lines[name]}", _line_of(key))
                lines[name] = _line_of(key)
                value[name], child_size = self._value_and_size(child)
                size += child_size
        elif isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            made = [self._value_and_size(child) for child in node.value]
            value, size = [one for one, _ in made], 1 + sum(child_size for _, child_size in made)
        elif isinstance(node, ScalarNode):
            value = _scalar(node)
        else:
            raise _unknown_tag(node)
        if size > VALUES_MAX:
            raise NotRead(f"more than {VALUES_MAX:,} values, with every alias written out", line)
        self._above.discard(id(node))
        self._made[id(node)] = value, size
        return value, size


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode) or node.tag != TAG + "str":
        raise NotRead("a key must be text: this must be a mapping, `name: value` lines", _line_of(node))
    return _text(node)


def _scalar(node: ScalarNode) -> Any:
    text, kind = node.value, node.tag.removeprefix(TAG)
    if kind == "str":
        return _text(node)
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "int" and re.fullmatch(r"[-+]?0[0-9]+", text):
        words = f"{text} could be octal: write it without the leading zero, or in quotes where it is text"
        raise NotRead(words, _line_of(node))
    if kind == "int":
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if kind == "float" and math.isfinite(number := float(text)):
        return number
    raise _unknown_tag(node)


def _text(node: ScalarNode) -> str:
    # JSON writes a character beyond 16 bits as two escapes, which YAML reads as two characters.
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")


def _unknown_tag(node: Node) -> NotRead:
    return NotRead(f"this is no {node.tag.removeprefix(TAG)} that JSON could carry", _line_of(node))


def _line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1
