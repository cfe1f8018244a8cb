"""How the store reads a statement without running it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.store.statements import Statement, read_statement


@pytest.mark.parametrize(
    ("text", "output_format"),
    [
        (b"SELECT 1", "TabSeparated"),
        (b"select 'FORMAT JSON' -- FORMAT CSV", "TabSeparated"),
        (b"/* x */ SELECT 1\n FORMAT Native", "Native"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1;", "JSON"),
        (b"(SELECT 1) UNION ALL (SELECT 2 FORMAT CSV) FORMAT TSV", "TSV"),
        (b"WITH 1 AS format SELECT format", "TabSeparated"),
        (b"SELECT a AS format FROM t", "TabSeparated"),
        (b"SELECT format, name", "TabSeparated"),
        (b"EXPLAIN SELECT 1", "TabSeparated"),
        (b"CREATE VIEW v AS SELECT 1", None),
        (b"SET a = 1", None),
        (b"", None),
        (b"'", None),
    ],
)
def test_what_answers_has_a_format(text: bytes, output_format: str | None) -> None:
    assert read_statement(b"", text).output_format == output_format


@pytest.mark.parametrize("gap", [b"\n", b" ", b"\r\n", b" \t\n", b";\n"])
def test_rows_begin_after_the_format(gap: bytes) -> None:
    said = read_statement(
        b"", b"INSERT INTO t (`FORMAT`, b) SETTINGS a = 'FORMAT x' FORMAT JSONEachRow" + gap + b"\x01;\n"
    )
    assert said.insert_format == "JSONEachRow"
    assert said.text == b"INSERT INTO t (`FORMAT`, b) "
    assert said.settings == b"SETTINGS a = 'FORMAT x' "
    assert said.body == b"\x01;\n"


def test_an_insert_in_the_url_has_its_rows_in_the_body() -> None:
    assert read_statement(b"INSERT INTO t FORMAT Native", b"\n\x00").body == b"\n\x00"
    assert read_statement(b"INSERT INTO t FORMAT CSV 1\n", b"2").body == b"1\n2"
    assert read_statement(b"INSERT INTO t VALUES", b"(1)") == Statement(b"INSERT INTO t VALUES\n(1)")
    assert read_statement(b"SELECT", b"1").text == b"SELECT\n1"


@pytest.mark.parametrize("text", [b"INSERT INTO t SELECT 1 FORMAT Null", b"INSERT INTO t VALUES ('FORMAT x')"])
def test_an_insert_that_brings_its_rows_runs_as_it_stands(text: bytes) -> None:
    assert read_statement(b"", text) == Statement(text)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_it_fail(in_url: bytes, in_body: bytes) -> None:
    read_statement(in_url, in_body)
    read_statement(b"INSERT INTO t FORMAT " + in_url, in_body)
