"""The documents that are made from the code: AsyncAPI, a JSON Schema per message, and the settings of the topics.

`python -m consumers.documents --write [FOLDER]` writes them; `--check` ends with 1 where one is stale, missing, or of a
message that no longer exists.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from consumers.app import sagas
from consumers.asyncapi import Document, document, schema_of, wire_models
from consumers.topic_rules import ANY, table

FOLDER = Path("deploy/asyncapi")


def documents() -> dict[Path, str]:
    """Every document by its path below the folder."""
    kinds = sagas()
    found = {Path("asyncapi.json"): _text(document(kinds, version("somaagenthub")))}
    schemas = {Path("schemas", f"{name}.json"): schema_of(model) for name, model in wire_models(kinds).items()}
    found |= {path: _text(schema) for path, schema in sorted(schemas.items())}
    return found | {Path("topics.md"): topic_settings()}


def topic_settings() -> str:
    """The table of topic settings, as Markdown."""
    lines = [
        "# Settings of the topics",
        "",
        "`soma topics apply` sets them, `soma topics plan` tells what differs. Broker defaults count as values.",
        "No worker starts with a value outside of the column ⛔; where that is empty, it logs a warning.",
        "`min.insync.replicas` is that of three replicas or more; with fewer it is 1.",
        "",
        "| topic | setting | set to | accepted | ⛔ | what happens otherwise |",
        "|---|---|---|---|---|---|",
    ]
    for kind, rule in table():
        refused = "" if rule.bearable is ANY else rule.bearable.words
        danger = rule.danger.format(after="after `retention.ms`") or "nothing, while the policy is `compact`"
        lines.append(f"| {kind} | `{rule.setting}` | {rule.value} | {rule.fine.words} | {refused} | {danger} |")
    return "\n".join(lines) + "\n"


def _there(folder: Path) -> list[Path]:
    return [path for pattern in ("*.json", "*.md") for path in folder.rglob(pattern)]


def stale(folder: Path) -> list[Path]:
    """The documents in the folder that are not what they should be; those that should be there, or should not."""
    fresh = documents()
    there = {path.relative_to(folder): path.read_text() for path in _there(folder)}
    return sorted(path for path in fresh | there if fresh.get(path) != there.get(path))


def write(folder: Path) -> None:
    """Make the folder hold these documents and no others."""
    for path in _there(folder):
        path.unlink()
    for path, text in documents().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def main(arguments: list[str]) -> int:
    """`--check [FOLDER]` or `--write [FOLDER]`; returns 0, 1 where something is stale, 2 for a usage error."""
    match arguments:
        case ["--write", *rest] if len(rest) <= 1:
            write(Path(*rest) if rest else FOLDER)
            return 0
        case ["--check", *rest] if len(rest) <= 1:
            folder = Path(*rest) if rest else FOLDER
            found = stale(folder)
            for path in found:
                print(f"{folder / path}: stale; `make documents` writes it anew", file=sys.stderr)
            return 1 if found else 0
    print("usage: python -m consumers.documents --check|--write [FOLDER]", file=sys.stderr)
    return 2


def _text(content: Document) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
