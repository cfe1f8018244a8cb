"""Keeps the flow maps of a document equal to what `soma flow SAGA` prints.

A map stands between `<!-- flow:SAGA -->` and `<!-- /flow -->`. `python -m deploy.flow_map --write README.md` fills the
maps in, `--check README.md` ends with 1 where one is stale.
"""

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(?P<begin><!-- flow:(?P<saga>[a-z_]+) -->\n).*?(?P<end><!-- /flow -->)", re.DOTALL)


def drawn(saga: str) -> str:
    """What `soma flow SAGA` prints; raises CalledProcessError where it cannot."""
    command = [sys.executable, "-m", "deploy.cli.main", "flow", saga]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def with_maps(text: str) -> str:
    """The document with every map as it is drawn today."""

    def filled(block: re.Match[str]) -> str:
        return f"{block['begin']}```text\n{drawn(block['saga']).rstrip()}\n```\n{block['end']}"

    return BLOCK.sub(filled, text)


def main(arguments: list[str]) -> int:
    """`--check FILE` or `--write FILE`; returns 0, 1 where a map is stale or there is none, 2 for a usage error."""
    if len(arguments) != 2 or arguments[0] not in ("--check", "--write"):
        print("usage: python -m deploy.flow_map --check|--write FILE", file=sys.stderr)
        return 2
    document = Path(arguments[1])
    text = document.read_text()
    fresh = with_maps(text)
    if not BLOCK.search(text):
        print(f"{document}: there is no flow map in it", file=sys.stderr)
        return 1
    if arguments[0] == "--write":
        document.write_text(fresh)
    elif fresh != text:
        print(f"{document}: the flow map is stale; `make flow` draws it anew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
