"""The one file that lists what is published, while much is published and taken down at once."""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumers.campaign.adapters import listing as listings
from consumers.campaign.adapters.listing import Listing, Note, write_note

pytestmark = pytest.mark.asyncio


def names(entries: Sequence[Note]) -> str:
    return json.dumps([entry.name for entry in entries])


def put(root: Path, name: str, month: int = 4) -> None:
    folder = root.parent / "staging" / name
    folder.mkdir(parents=True)
    write_note(folder, Note(title=name, published_at=datetime(2026, month, 1, tzinfo=UTC)))
    root.mkdir(exist_ok=True)
    folder.rename(root / name)


async def test_entries_are_listed_newest_first(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "old", 1)
    put(root, "new", 2)
    await Listing(root, file, Note, names).renew()
    assert json.loads(file.read_text()) == ["new", "old"]


async def test_no_folder_at_all_is_an_empty_list(tmp_path: Path) -> None:
    await Listing(tmp_path / "posts", tmp_path / "index", Note, names).renew()
    assert json.loads((tmp_path / "index").read_text()) == []


async def test_an_entry_that_comes_while_the_list_is_written_is_not_lost(tmp_path: Path) -> None:
    # Given a writer that is overtaken, between looking and writing, by one that knows of a newer entry,
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "first")

    def overtaken(entries: Sequence[Note]) -> str:
        if not (root / "second").exists():
            put(root, "second")
            file.write_text(json.dumps(["second", "first"]))
        return names(entries)

    # when it writes what it saw, then it does not leave it at that.
    await Listing(root, file, Note, overtaken).renew()
    assert sorted(json.loads(file.read_text())) == ["first", "second"]


async def test_waiting_calls_share_one_writing_and_each_finds_its_entry(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    writings = 0

    def counted(entries: Sequence[Note]) -> str:
        nonlocal writings
        writings += 1
        return names(entries)

    listing = Listing(root, file, Note, counted)

    async def renew(number: int) -> None:
        await listing.renew()
        assert f"post-{number}" in json.loads(file.read_text())

    # All are there before the first call: what changes during a writing makes it look again, as often as it changes.
    for number in range(50):
        put(root, f"post-{number}")
    await asyncio.gather(*(renew(number) for number in range(50)))
    assert len(json.loads(file.read_text())) == 50
    assert writings == 2


async def test_what_is_no_folder_of_ours_is_not_listed(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "ours")
    (root / ".DS_Store").touch()
    (root / "empty").mkdir()
    await Listing(root, file, Note, names).renew()
    assert json.loads(file.read_text()) == ["ours"]
    assert not list(tmp_path.glob(".index*"))


def note_with(content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "entry.json").write_bytes(content)

    return damage


def a_folder(folder: Path) -> None:
    (folder / "entry.json").mkdir()


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "entry.json")


def a_circle(folder: Path) -> None:
    (folder / "entry.json").symlink_to(folder / "entry.json")


def nothing(folder: Path) -> None:
    pass


GOOD = b'{"title": "t", "published_at": "2026-04-01T00:00:00Z"}'
DAMAGES = {
    "empty": note_with(b""),
    "half": note_with(GOOD[:30]),
    "no JSON": note_with(b"<html>"),
    "no UTF-8": note_with(b"\xff\xfe" + GOOD),
    "a list": note_with(b"[1]"),
    "a number": note_with(b"7"),
    "no title": note_with(b'{"published_at": "2026-04-01T00:00:00Z"}'),
    "no moment": note_with(b'{"title": "t"}'),
    "a moment without zone": note_with(b'{"title": "t", "published_at": "2026-04-01T00:00:00"}'),
    "another type of moment": note_with(b'{"title": "t", "published_at": []}'),
    "half a character": note_with(rb'{"title": "\ud800", "published_at": "2026-04-01T00:00:00Z"}'),
    "deep": note_with(b"[" * 100_000),
    "large": note_with(GOOD + b" " * listings.NOTE_BYTES_MAX),
    "a folder": a_folder,
    "a pipe": a_pipe,
    "a circle of links": a_circle,
    "nothing": nothing,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_folder_that_cannot_be_read_stops_no_other_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "first")
    (root / "bad").mkdir()
    damage(root / "bad")
    listing = Listing(root, file, Note, names)
    with caplog.at_level(logging.WARNING):
        await listing.renew()
        put(root, "second", 5)
        await listing.renew()
    assert json.loads(file.read_text()) == ["second", "first"]
    assert listing.skipped.keys() == {"bad"}
    (told,) = caplog.records
    assert (told.getMessage(), told.__dict__["folder"]) == ("listing.skipped", str(root / "bad"))
    assert told.__dict__["cause"].startswith("entry.json: ")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"<script>", "Größe".encode(), b"a" * 101])
async def test_a_folder_with_a_name_that_is_not_ours_is_left_out(tmp_path: Path, name: bytes) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "ours")
    folder = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    folder.mkdir()
    (folder / "entry.json").write_bytes(GOOD)
    listing = Listing(root, file, Note, names)
    await listing.renew()
    assert json.loads(file.read_text()) == ["ours"]
    assert len(listing.skipped) == 1


async def test_a_folder_that_is_mended_or_removed_is_no_longer_skipped(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    for name in ("mended", "removed"):
        (root / name).mkdir(parents=True)
    listing = Listing(root, file, Note, names)
    await listing.renew()
    assert listing.skipped.keys() == {"mended", "removed"}
    (root / "mended" / "entry.json").write_bytes(GOOD)
    (root / "removed").rmdir()
    await listing.renew()
    assert not listing.skipped
    assert json.loads(file.read_text()) == ["mended"]


async def test_a_process_without_file_handles_takes_nothing_off_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "ours")
    await Listing(root, file, Note, names).renew()

    def exhausted(self: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        await Listing(root, file, Note, names).renew()
    assert json.loads(file.read_text()) == ["ours"]
