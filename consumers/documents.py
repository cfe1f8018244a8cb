"""The documents that are made from the message classes: AsyncAPI, and a JSON Schema per message.

`python -m consumers.documents --write [FOLDER]` writes them; `--check` ends with 1 where one is stale, missing, or of a
message that no longer exists.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from consumers.app import sagas
from consumers.asyncapi import Document, document, schema_of, wire_models

FOLDER = Path("deploy/asyncapi")


def documents() -> dict[Path, str]:
    """Every document by its path below the folder."""
    kinds = sagas()
    found = {Path("asyncapi.json"): _text(document(kinds, version("somaagenthub")))}
    schemas = {Path("schemas", f"{name}.json"): schema_of(model) for name, model in wire_models(kinds).items()}
    return found | {path: _text(schema) for path, schema in sorted(schemas.items())}


def stale(folder: Path) -> list[Path]:
    """The documents in the folder that are not what they should be; those that should be there, or should not."""
    fresh = documents()
    there = {path.relative_to(folder): path.read_text() for path in folder.rglob("*.json")}
    return sorted(path for path in fresh | there if fresh.get(path) != there.get(path))


def write(folder: Path) -> None:
    """Make the folder hold these documents and no others."""
    for path in folder.rglob("*.json"):
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
