"""The one file that lists what is published, while much is published and taken down at once."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from consumers.campaign.adapters.listing import Entry, Listing, write_note

pytestmark = pytest.mark.asyncio


def names(entries: Sequence[Entry]) -> str:
    return json.dumps([entry["name"] for entry in entries])


def put(root: Path, name: str, published_at: str = "2026-04-01") -> None:
    folder = root.parent / "staging" / name
    folder.mkdir(parents=True)
    write_note(folder, {"published_at": published_at})
    root.mkdir(exist_ok=True)
    folder.rename(root / name)


async def test_entries_are_listed_newest_first(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "old", "2026-01-01")
    put(root, "new", "2026-02-01")
    await Listing(root, file, names).renew()
    assert json.loads(file.read_text()) == ["new", "old"]


async def test_no_folder_at_all_is_an_empty_list(tmp_path: Path) -> None:
    await Listing(tmp_path / "posts", tmp_path / "index", names).renew()
    assert json.loads((tmp_path / "index").read_text()) == []


async def test_an_entry_that_comes_while_the_list_is_written_is_not_lost(tmp_path: Path) -> None:
    # Given a writer that is overtaken, between looking and writing, by one that knows of a newer entry,
    root, file = tmp_path / "posts", tmp_path / "index"
    put(root, "first")

    def overtaken(entries: Sequence[Entry]) -> str:
        if not (root / "second").exists():
            put(root, "second")
            file.write_text(json.dumps(["second", "first"]))
        return names(entries)

    # when it writes what it saw, then it does not leave it at that.
    await Listing(root, file, overtaken).renew()
    assert sorted(json.loads(file.read_text())) == ["first", "second"]


async def test_waiting_calls_share_one_writing_and_each_finds_its_entry(tmp_path: Path) -> None:
    root, file = tmp_path / "posts", tmp_path / "index"
    writings = 0

    def counted(entries: Sequence[Entry]) -> str:
        nonlocal writings
        writings += 1
        return names(entries)

    listing = Listing(root, file, counted)

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
    await Listing(root, file, names).renew()
    assert json.loads(file.read_text()) == ["ours"]
    assert not list(tmp_path.glob(".index*"))
