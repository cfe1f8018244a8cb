"""A table of `soma query` for another program: a line a row, however wide its characters."""

import pytest

from deploy.cli.query import print_table


def test_no_row_is_folded_where_stdout_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "工" * 300
    print_table(["name", "n"], [[wide, 1], ["x" * 500, 22]])
    rows = [line for line in capsys.readouterr().out.splitlines() if "工" in line or "x" in line]
    assert len(rows) == 2
    assert rows[0].split() == [wide, "1"] and rows[1].split() == ["x" * 500, "22"]
