"""The store as clickhouse-connect and plain HTTP see it."""

import gzip
import http.client
import json
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.integration.consumers.clickhouse.programs import StoreProgram, count_in

TABLE = "CREATE TABLE numbers_seen (n UInt64, text Nullable(String)) ENGINE = MergeTree ORDER BY n"
ENCODERS = {
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.fixture
def table(client: Client) -> str:
    client.command(TABLE)
    return "numbers_seen"


@pytest.fixture
def session_client(store: StoreProgram) -> Iterator[Client]:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=store.port)
    yield client
    client.close()


def ask(
    store: StoreProgram, body: bytes = b"", method: str = "POST", headers: dict[str, str] | None = None, **said: str
) -> tuple[int, dict[str, str], bytes]:
    """One plain HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=30)
    connection.request(method, "/?" + urlencode(said), body, headers or {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_a_hundred_thousand_rows_come_back_as_they_were_sent(
    store: StoreProgram, table: str, compress: str | bool
) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=store.port, compress=compress)
    texts = [None if number % 7 == 0 else b"\x00\xff;'\n%d" % number for number in range(100_000)]
    columns: list[list[Any]] = [list(range(100_000)), texts]
    types = ["UInt64", "Nullable(String)"]
    summary = client.insert(table, columns, column_names=["n", "text"], column_type_names=types, column_oriented=True)
    assert summary.written_rows == 100_000
    found = client.query(
        f"SELECT n, text FROM {table} ORDER BY n", query_formats={"String": "bytes"}, column_oriented=True
    )
    assert [list(column) for column in found.result_set] == columns
    client.close()


@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_frame_of_a_body_is_read_and_a_broken_one_refused(store: StoreProgram, table: str, encoding: str) -> None:
    encode, headers = ENCODERS[encoding], {"Content-Encoding": encoding}
    rows = b"".join(encode(b"%d\t\\N\n" % number) for number in range(100))
    insert = f"INSERT INTO {table} FORMAT TSV"
    assert ask(store, rows, headers=headers, query=insert)[0] == 200
    assert count_in(store.client("default"), table) == 100
    for broken in (rows[:-3], rows + b"rubbish", b"rubbish"):
        status, said, _ = ask(store, broken, headers=headers, query=insert)
        assert (status, said["X-ClickHouse-Exception-Code"]) == (400, "271")
    assert count_in(store.client("default"), table) == 100


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("SELEC 1 FROM", "62", 400),
        ("SELECT * FROM nowhere", "60", 404),
        ("SELECT nothing", "47", 404),
        ("USE nowhere", "81", 404),
        ("SELECT 1 FORMAT Nonsense", "73", 404),
        ("SELECT throwIf(1)", "395", 500),
        ("SELECT 1 SETTINGS no_such_thing = 1", "115", 404),
        ("INSERT INTO numbers_seen FORMAT JSONEachRow {'", "26", 400),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.1", "159", 408),
        ("", "62", 400),
        ("\x00", "62", 400),
    ],
)
def test_errors_have_clickhouses_code_and_status(
    store: StoreProgram, table: str, sql: str, code: str, status: int
) -> None:
    found, headers, body = ask(store, sql.encode())
    assert headers["X-ClickHouse-Exception-Code"] == code
    assert found == status
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_rows_that_a_table_or_its_views_refuse_are_never_acknowledged(store: StoreProgram, client: Client) -> None:
    client.command("CREATE TABLE numbers_seen (n UInt64, CONSTRAINT small CHECK n < 5) ENGINE = MergeTree ORDER BY n")
    client.command("CREATE TABLE counted (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.command("CREATE MATERIALIZED VIEW seen TO counted AS SELECT n FROM numbers_seen WHERE throwIf(n = 3) = 0")
    try:
        for number, code in ((7, "469"), (3, "395")):
            status, headers, _ = ask(store, b'{"n": %d}' % number, query="INSERT INTO numbers_seen FORMAT JSONEachRow")
            assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, code)
        assert ask(store, b'{"n": 1}', query="INSERT INTO numbers_seen FORMAT JSONEachRow")[0] == 200
        assert count_in(client, "counted") == 1
    finally:
        client.command("DROP TABLE seen")
        client.command("DROP TABLE counted")


@pytest.mark.parametrize("session_id", ["", "one"])
def test_a_failed_query_leaves_nothing_behind_for_the_next_one(store: StoreProgram, session_id: str) -> None:
    late = b"SELECT number, throwIf(number = 300000) FROM numbers(1000000)"
    for _ in range(5):
        assert ask(store, late, session_id=session_id)[0] == 500
        assert ask(store, b"SELECT 42", session_id=session_id)[2] == b"42\n"


def test_statements_at_once_never_mix_their_answers(store: StoreProgram, table: str) -> None:
    client = store.client("default")

    def work(number: int) -> object:
        if number % 3 == 0:
            with pytest.raises(DatabaseError):
                client.query("SELECT number, throwIf(number = 9000) FROM numbers(9999) SETTINGS max_block_size = 100")
        if number % 3 == 1:
            client.insert(table, [[number, None]], column_names=["n", "text"])
        return client.query(f"SELECT {number}, count() FROM numbers({number})").result_rows

    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(work, range(240)))
    assert found == [[(number, number)] for number in range(240)]
    assert count_in(client, table) == 80


def test_settings_of_one_request_end_with_it(session_client: Client) -> None:
    asks = "SELECT getSetting('max_block_size')"
    before = session_client.command(asks)
    assert session_client.query(asks, settings={"max_block_size": 99}).result_rows == [(99,)]
    assert session_client.command(asks) == before
    session_client.command("SET max_block_size = 77")
    assert session_client.query(asks, settings={"max_block_size": 99}).result_rows == [(99,)]
    assert session_client.command(asks) == 77


def test_a_session_keeps_its_temporary_tables_to_itself(session_client: Client, client: Client) -> None:
    session_client.command("CREATE TEMPORARY TABLE mine (n UInt8)")
    session_client.command("INSERT INTO mine VALUES (5)")
    with pytest.raises(DatabaseError):
        session_client.query("SELECT throwIf(number = 90000) FROM numbers(100000)")
    assert session_client.command("SELECT n FROM mine") == 5
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT n FROM mine")


def test_parameters_reach_the_query_unharmed(client: Client) -> None:
    text = "it's\ta \\ `x`;\n-- ü"
    found = client.query(
        "SELECT {a:String}, {b:Array(Tuple(String, UInt32))}", parameters={"a": text, "b": [(text, 7)]}
    )
    assert found.result_rows == [(text, [(text, 7)])]


def test_insert_tokens_count_a_repeated_insert_once(client: Client) -> None:
    client.command(f"{TABLE} SETTINGS non_replicated_deduplication_window = 10")
    for token in ("one", "one", "two"):
        settings = {"insert_deduplication_token": token, "async_insert": 0}
        client.insert("numbers_seen", [[1, None]], column_names=["n", "text"], settings=settings)
    assert count_in(client, "numbers_seen") == 2


def test_what_only_does_something_answers_a_summary(store: StoreProgram, client: Client) -> None:
    summary = client.command(TABLE)
    assert isinstance(summary, clickhouse_connect.driver.summary.QuerySummary)
    status, headers, body = ask(store, b"INSERT INTO numbers_seen VALUES (1, 'a;b'), (2, NULL)", query_id="mine")
    assert (status, body, headers["X-ClickHouse-Query-Id"]) == (200, b"", "mine")
    assert "X-ClickHouse-Format" not in headers
    assert client.query("SELECT * FROM numbers_seen LIMIT 0").column_names == ("n", "text")


def test_plain_http_is_understood_as_a_server_would(store: StoreProgram) -> None:
    assert ask(store, method="GET")[2] == b"Ok.\n"
    assert ask(store, method="GET", query="SELECT 1")[2] == b"1\n"
    assert ask(store, method="GET", query="CREATE TABLE x (n Int8) ENGINE = Memory")[0] == 403
    assert json.loads(ask(store, b"SELECT 1 AS x", default_format="JSONEachRow")[2]) == {"x": 1}
    assert ask(store, b"SELECT 1", compress="1")[0] == 501
    assert ask(store, b"SELECT 1", session_id="s", session_timeout="x")[0] == 500
    assert ask(store, b"SELECT 1", session_id="unheard", session_check="1")[0] == 404
    assert ask(store, b"SELECT currentDatabase()", database="system")[2] == b"system\n"
    assert ask(store, b"SELECT 1", headers={"Origin": "http://elsewhere.example"})[0] == 403
    assert ask(store, b"SELECT 1", headers={"Origin": "http://localhost:3000"})[2] == b"1\n"


@pytest.mark.parametrize("rubbish", [b"\x00\xff" * 9, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"])
def test_no_request_ends_the_store(store: StoreProgram, rubbish: bytes) -> None:
    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as connection:
        connection.sendall(rubbish)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1_000)
    for sql in (b"\xff\xfe SELECT", b"INSERT INTO t FORMAT Native\n\x00\x01", b"SELECT '" + b"x" * 100_000):
        assert ask(store, sql)[0] in (400, 404, 500)
    assert ask(store, b"SELECT 1", bad_setting__="1")[0] == 404
    assert ask(store, b"SELECT 1")[2] == b"1\n"
