"""Folders, files, ports, addresses: what is wrong is told with its remedy, and nothing is lost by it."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import DiskFull, HomeUnusable, PortUnavailable, StackError, explained
from deploy.local.files import read_object, write_whole
from deploy.local.logs import bound, tail
from deploy.local.parts import embedded_parts
from deploy.local.places import Places, cache_folder
from deploy.local.ports import CHOICE, choose_port, is_free
from deploy.local.wiring import choose_ports, remembered_ports, wire, withdraw_addresses, write_addresses
from producers.errors import NoStack
from producers.secrets import SecretUrl
from producers.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        yield int(stranger.getsockname()[1])


def test_a_taken_port_is_not_chosen(taken: int) -> None:
    assert not is_free(taken)
    assert choose_port([taken]) in CHOICE


def test_a_port_to_keep_is_kept_and_a_remembered_one_taken_up(taken: int) -> None:
    free = choose_port([])
    ports = choose_ports(keep={"smtp": taken}, remembered={"kafka": free, "clickhouse": taken})
    assert ports["smtp"] == taken and ports["kafka"] == free
    assert len(set(ports.values())) == len(ports)


def test_without_any_free_port_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.ports.is_free", lambda port: False)
    with pytest.raises(PortUnavailable, match="loopback"):
        choose_port([9092])


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, HomeUnusable),
        (errno.EROFS, HomeUnusable),
        (errno.ENAMETOOLONG, HomeUnusable),
        (errno.ENOTDIR, HomeUnusable),
    ],
)
def test_the_systems_refusals_become_errors_with_a_remedy(number: int, kind: type[StackError], tmp_path: Path) -> None:
    with pytest.raises(kind, match=r"free some space|set SOMA_HOME"), explained(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_home_too_long_for_kafka_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["long" * 30] * 8)
    with pytest.raises(HomeUnusable, match="shorter"):
        Places.of(home).prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stack.json"
    write_whole(path, {"kafka": "before"})

    def full(content: object, file: object, indent: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(DiskFull):
        write_whole(path, {"kafka": "after"})
    assert read_object(path) == {"kafka": "before"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ports": 1}', '{"ports": {"kafka": "x", "smtp": 99999999}}'])
def test_a_corrupt_stack_file_remembers_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert remembered_ports(Places(tmp_path)) == {}


def test_an_outside_address_is_neither_started_nor_written_down(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, kafka_bootstrap_servers="far:9092", clickhouse_url=SecretUrl("http://me:secret@far:8123")
    )
    parts = {part.name for part in embedded_parts(settings)}
    assert parts == {"mail", "sink", "worker"}
    wiring = wire(settings, Places(tmp_path), choose_ports({}, {}))
    assert wiring.environment["CLICKHOUSE_URL"] == "http://me:secret@far:8123"
    write_addresses(wiring, parts)
    assert "secret" not in (tmp_path / "stack.json").read_text()
    assert json.loads((tmp_path / "stack.json").read_text()).keys() == {"site", "ports", "smtp"}


def test_the_cache_is_shared_unless_there_is_no_home_for_it(tmp_path: Path) -> None:
    assert cache_folder(tmp_path, {"SOMA_CACHE": str(tmp_path / "named"), "HOME": "/root"}) == tmp_path / "named"
    assert cache_folder(tmp_path, {"HOME": ""}) == tmp_path / "cache"
    assert cache_folder(tmp_path, {}) == tmp_path / "cache"


def test_a_log_is_bounded_and_its_end_kept(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    with log.open("ab") as writer:
        writer.write(b"first\n" * 1_000 + b"last\n")
        writer.flush()
        bound(log, most_bytes=100)
        assert log.stat().st_size == 0
        writer.write(b"goes on\n")
    assert log.read_bytes() == b"goes on\n"
    assert tail(tmp_path / "kafka.log.1", 5) == b"last\n"


def test_a_stack_that_has_ended_leaves_its_ports_and_no_address(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    wiring = wire(settings, Places(tmp_path), {"kafka": 1, "controller": 2, "clickhouse": 3, "smtp": 4})
    write_addresses(wiring, {"kafka", "store", "mail"})
    assert settings.bootstrap_servers == "127.0.0.1:1"
    withdraw_addresses(Places(tmp_path))
    with pytest.raises(NoStack):
        _ = settings.bootstrap_servers
    with pytest.raises(NoStack):
        _ = settings.store_url
    assert settings.smtp is None
    assert remembered_ports(Places(tmp_path)) == wiring.ports
