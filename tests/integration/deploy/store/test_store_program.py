"""The store as a program: killed, stopped, started twice."""

import asyncio
from pathlib import Path

import pytest

from deploy.cli.query import query
from deploy.local.store import serve_store
from producers.secrets import SecretUrl
from producers.settings import Settings
from tests.integration.consumers.clickhouse.programs import StoreProgram, count_in, free_port


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    store = StoreProgram(tmp_path)
    store.start()
    client = store.client("default")
    client.command("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    for number in range(20):
        client.insert("t", [[number]], column_names=["n"])
    store.kill()
    store.start()
    assert count_in(store.client("default"), "t") == 20
    assert store.stop() == 0


def test_a_second_store_on_the_same_folder_says_who_has_it(store: StoreProgram) -> None:
    second = StoreProgram(store.home)
    second.log = store.home / "second.log"
    super(StoreProgram, second).start()
    assert second.exit_code() == 3
    assert f"is already open in another program (pid {store.pid})" in second.log.read_text()


def test_a_taken_port_is_an_error_with_words(store: StoreProgram, tmp_path: Path) -> None:
    second = StoreProgram(tmp_path)
    second.command[-1] = str(store.port)
    super(StoreProgram, second).start()
    assert second.exit_code() == 3
    assert f"cannot listen on 127.0.0.1:{store.port}" in second.log.read_text()


def test_without_a_password_it_stays_on_the_loopback_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a password stays on"):
        asyncio.run(serve_store(tmp_path / "data", "0.0.0.0", free_port()))


def settings_for(url: str) -> Settings:
    return Settings(clickhouse_url=SecretUrl(url), clickhouse_database="not_there_yet")


def test_query_prints_a_table_or_one_json_object(store: StoreProgram, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_for(store.url)
    assert query(settings, "SELECT 7 AS n, NULL AS nothing, ['a'] AS list", json=True) == 0
    assert capsys.readouterr().out == '{"columns": ["n", "nothing", "list"], "rows": [[7, null, ["a"]]]}\n'
    assert query(settings, "SELECT 7 AS n, '[red]' AS text, NULL", json=False) == 0
    table = capsys.readouterr()
    assert "[red]" in table.out
    assert "NULL" in table.out
    assert table.err == "1 row\n"
    assert query(settings, "SET max_threads = 1", json=True) == 0
    assert capsys.readouterr().out == '{"columns": [], "rows": []}\n'


def test_query_tells_a_wrong_statement_from_an_unreachable_store(
    store: StoreProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    assert query(settings_for(store.url), "SELECT nothing", json=True) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "UNKNOWN_IDENTIFIER" in said.err
    assert query(settings_for(f"http://127.0.0.1:{free_port()}"), "SELECT 1", json=False) == 3
    assert "is not reachable" in capsys.readouterr().err
