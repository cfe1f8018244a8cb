"""Files that are either whole or not there."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from deploy.local.errors import explained


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object so that a reader sees the old one or the new one, whatever happens meanwhile.

    Raises `DiskFull` or `HomeUnusable`; then the old one stands.
    """
    with explained(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w") as unfinished:
                json.dump(content, unfinished, indent=1)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none or it cannot be understood."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
