"""The templates, and the little markup that a blog text may use."""

from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


class Block(NamedTuple):
    """One paragraph, heading or list of a text."""

    kind: Literal["heading", "list", "paragraph"]
    lines: list[str]


def rendered(template: str, **values: Any) -> str:
    """The template filled in; those that end in .html.j2 escape every value. Blocks: call it in a thread."""
    return _templates().get_template(template).render(**values)


def blocks(text: str) -> list[Block]:
    """The text cut at its blank lines: `## ` opens a heading, `- ` on every line makes a list."""
    return [_block(part.strip().splitlines()) for part in text.split("\n\n") if part.strip()]


def _block(lines: list[str]) -> Block:
    if len(lines) == 1 and lines[0].startswith("## "):
        return Block("heading", [lines[0][3:]])
    if all(line.startswith("- ") for line in lines):
        return Block("list", [line[2:] for line in lines])
    return Block("paragraph", lines)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
