"""The body of a command as people write it: a YAML or JSON file, `--set k=v`, checked against its class."""

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from deploy.cli.talking import Invalid, printable
from deploy.cli.texts import NotRead, read_json, read_yaml
from schemas.message import Message

BODY_BYTES_MAX = 1024 * 1024


class Written:
    """A body as it was written; knows the line of every part of it. `name` is what mistakes are told by."""

    def __init__(self, name: str, body: dict[str, Any], node: yaml.Node | None = None) -> None:
        self.name, self.body, self._node = name, body, node

    def where(self, location: tuple[int | str, ...]) -> str:
        """`file:line`, as near to the location as the text knows it."""
        node, line = self._node, 1
        for part in location:
            found = _part_of(node, part)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return self.name if self._node is None else f"{self.name}:{line}"

    def with_settings(self, pairs: list[str]) -> "Written":
        """The same with each `k=v` in its place."""
        return Written(self.name, with_settings(self.body, pairs), self._node)

    def checked(self, kind: type[Message], saga_id: str) -> dict[str, Any]:
        """The body, with the saga's id, as it goes on the wire; raises `Invalid` with a line for every mistake."""
        try:
            message = kind.model_validate(self.body | {"saga_id": saga_id})
            body: dict[str, Any] = message.model_dump(mode="json", exclude_unset=True)
        except ValidationError as error:
            raise Invalid(*(self._line(problem) for problem in error.errors())) from None
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{self.name}: {error}") from None
        return body

    def _line(self, problem: Any) -> str:
        location: tuple[int | str, ...] = problem["loc"]
        path = ".".join(str(part) for part in location) or "the whole"
        if location == ("saga_id",):
            return f"the id: {problem['msg']}"
        return printable(f"{self.where(location)}: {path}: {problem['msg']}")


def _part_of(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def read_file(path: Path) -> Written:
    """The body in a file, or on stdin for `-`; raises `Invalid`, with the line, for what is no YAML or JSON mapping."""
    name = "stdin" if str(path) == "-" else str(path)
    try:
        raw = sys.stdin.buffer.read(BODY_BYTES_MAX + 1) if name == "stdin" else _bytes_of(path)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise Invalid(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Invalid(f"{name}: this is no UTF-8 text") from None
    if len(raw) > BODY_BYTES_MAX:
        raise Invalid(f"{name}: larger than {BODY_BYTES_MAX} bytes")
    try:
        body, node = read_yaml(text)
    except NotRead as error:
        line = f":{error.line}" if error.line is not None else ""
        raise Invalid(printable(f"{name}{line}: {error}")) from None
    if not isinstance(body, dict):
        raise Invalid(f"{name}: this must be a mapping, `name: value` lines, not {'empty' if body is None else 'that'}")
    return Written(name, body, node)


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BODY_BYTES_MAX + 1)


def with_settings(body: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    """The body with each `k=v` in its place; `a.b=v` nests, and v is JSON where it parses as JSON, else text.

    Raises `Invalid` for a pair without `=`, a path through something that has no parts, and for what is given twice.
    """
    result = deepcopy(body)
    given: list[list[str]] = []
    for pair in pairs:
        path, sign, text = pair.partition("=")
        names = path.split(".")
        *folders, last = names
        if not sign or not all(names):
            raise Invalid(f"--set wants name=value, not {printable(pair)!r}")
        if any(names[: len(other)] == other[: len(names)] for other in given):
            raise Invalid(f"--set {printable(path)}: this, or a part of it, is given twice")
        given.append(names)
        place = result
        for name in folders:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise Invalid(f"--set {printable(path)}: {printable(name)} has no parts")
        try:
            place[last] = read_json(text)
        except NotRead as error:
            raise Invalid(printable(f"--set {path}: {error}")) from None
        except (ValueError, RecursionError):
            place[last] = text
    return result
