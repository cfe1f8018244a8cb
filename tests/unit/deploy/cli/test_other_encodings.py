"""A terminal that knows less than Unicode: every word comes out, none as a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.terminal import FALLBACK, fall_back

PROGRAM = """
import sys
from deploy.cli.terminal import fall_back
fall_back()
from deploy.cli.query import print_table
from deploy.cli.tables import print_rows
from deploy.cli.talking import say, show
words = "caf\\u00e9 \\u2192 \\u2713 \\u5de5 \\ud800 \\U0001f600"
say(words)
show({"said": words.replace("\\ud800", "")})
print_rows(["column"], [[words]])
print_table(["column"], [[words]])
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_whatever_is_printed_comes_out(encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    said = ended.stderr.decode(encoding)
    assert ended.returncode == 0, said
    beginnings = {"ascii": "cafe -> v ?", "latin-1": "café -> v ?", "utf-8": "café → ✓ 工"}
    assert said.startswith(beginnings[encoding])
    line = ended.stdout.decode(encoding).splitlines()[0]
    assert json.loads(line)["said"] == "café → ✓ 工  😀"


@pytest.mark.parametrize(
    "words", [["flow"], ["flow", "--json"], ["flow", "--format", "mermaid"], ["--help"], ["status"]]
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_verbs_print_on_such_a_terminal(words: list[str], encoding: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "deploy.cli.main", *words],
        env=os.environ | {"PYTHONIOENCODING": encoding, "SOMA_HOME": str(tmp_path / "hémé")},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == (3 if words == ["status"] else 0)
    if "--json" in words:
        assert json.loads(ended.stdout)["flows"]


def test_every_character_of_ours_has_one_that_stands_for_it() -> None:
    fall_back()
    drawn = "→←↩↻▸»✓✗■·…\u2013\u2014\u2018\u2019\u201c\u201d│├└┌─━╸╭╯é"
    plain = drawn.encode("ascii", FALLBACK).decode()
    assert "?" not in plain and plain.startswith("-><-<-~>>>vx#....--''\"\"")
