"""The jars: what is not complete and right is never used."""

import errno
import hashlib
import re
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import DiskFull, HomeUnusable, JarCorrupt, JarsUnavailable
from deploy.local.jars import Jar, fetch_jars, jars_folder, wrong_jars

CONTENTS = {f"some.group:part-{number}:1.{number}": f"content {number}".encode() * 100 for number in range(6)}
Count = Callable[[int], None]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> tuple[Jar, ...]:
    """A closed list of small jars, and no long waits between attempts."""
    found = tuple(
        Jar(hashlib.sha256(content).hexdigest(), len(content), coordinate) for coordinate, content in CONTENTS.items()
    )
    monkeypatch.setattr(jars, "listed_jars", lambda: found)
    monkeypatch.setattr(jars, "FETCH_ATTEMPTS", 2)
    return found


class Repository:
    """Stands in for jgo; may be told to spoil what it gives."""

    def __init__(self, spoil: Callable[[bytes], bytes] = lambda content: content, spoiled: int = 10**9) -> None:
        self.asked: list[str] = []
        self._spoil = spoil
        self._spoiled = spoiled

    def __call__(self, jar: Jar, folder: Path, count: Count) -> Path:
        content = CONTENTS[jar.coordinate]
        if len(self.asked) < self._spoiled:
            content = self._spoil(content)
        self.asked.append(jar.coordinate)
        (folder / jar.name).write_bytes(content)
        count(len(content))
        return folder / jar.name


def test_a_half_written_jar_is_fetched_again(tmp_path: Path, listed: tuple[Jar, ...]) -> None:
    fetch_jars(tmp_path, download=Repository())
    half = jars_folder(tmp_path) / listed[2].name
    half.write_bytes(half.read_bytes()[:50])
    assert wrong_jars(tmp_path, listed) == (listed[2],)
    repository = Repository()
    fetch_jars(tmp_path, download=repository)
    assert repository.asked == [listed[2].coordinate]
    assert wrong_jars(tmp_path, listed) == ()


def test_a_jar_of_the_right_length_but_another_content_is_fetched_again(
    tmp_path: Path, listed: tuple[Jar, ...]
) -> None:
    fetch_jars(tmp_path, download=Repository())
    (jars_folder(tmp_path) / listed[0].name).write_bytes(b"x" * listed[0].size_bytes)
    repository = Repository()
    fetch_jars(tmp_path, download=repository)
    assert repository.asked == [listed[0].coordinate]


def test_a_truncated_download_is_tried_again(tmp_path: Path, listed: tuple[Jar, ...]) -> None:
    fetch_jars(tmp_path, download=Repository(spoil=lambda content: content[:-1], spoiled=1))
    assert wrong_jars(tmp_path, listed) == ()


def test_what_the_list_does_not_name_is_never_put_into_place(tmp_path: Path) -> None:
    with pytest.raises(JarCorrupt, match=r"some\.group"):
        fetch_jars(tmp_path, download=Repository(spoil=lambda content: content + b"!"))
    assert list(jars_folder(tmp_path).iterdir()) == []


def test_what_a_killed_fetch_has_left_is_removed(tmp_path: Path) -> None:
    left = jars_folder(tmp_path) / "fetching-before" / "deep"
    left.mkdir(parents=True)
    (left / "half.jar").write_bytes(b"half")
    fetch_jars(tmp_path, download=Repository())
    assert sorted(path.suffix for path in jars_folder(tmp_path).iterdir()) == [".jar"] * len(CONTENTS)


def test_two_fetches_at_once_fetch_each_jar_once(tmp_path: Path, listed: tuple[Jar, ...]) -> None:
    repository = Repository()
    both = [threading.Thread(target=fetch_jars, args=(tmp_path, None, repository)) for _ in range(2)]
    for fetch in both:
        fetch.start()
    for fetch in both:
        fetch.join(30)
    assert sorted(repository.asked) == sorted(CONTENTS)
    assert wrong_jars(tmp_path, listed) == ()


def test_a_full_disk_is_told_as_one_and_leaves_nothing_half(tmp_path: Path) -> None:
    def full(jar: Jar, folder: Path, count: Count) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="free some space"):
        fetch_jars(tmp_path, download=full)
    assert list(jars_folder(tmp_path).iterdir()) == []


def test_without_network_the_remedy_is_named_and_what_came_is_kept(tmp_path: Path, listed: tuple[Jar, ...]) -> None:
    good = Repository()

    def flaky(jar: Jar, folder: Path, count: Count) -> Path:
        if jar == listed[-1]:
            raise JarsUnavailable("check the network")
        return good(jar, folder, count)

    with pytest.raises(JarsUnavailable, match="check the network"):
        fetch_jars(tmp_path, download=flaky)
    assert wrong_jars(tmp_path, listed) == (listed[-1],)


def test_progress_counts_every_byte_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fetch_jars(tmp_path, report=lambda done, total: told.append((done, total)), download=Repository())
    total_bytes = sum(map(len, CONTENTS.values()))
    assert max(told) == (total_bytes, total_bytes)


def test_a_folder_that_no_class_path_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="SOMA_CACHE"):
        fetch_jars(tmp_path / "a:b", download=Repository())


def test_the_committed_list_is_closed_and_names_no_host() -> None:
    lines = files("deploy.local").joinpath("kafka.jars").read_text().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    assert len(rows) == 46
    assert all(re.fullmatch(r"[0-9a-f]{64} +\d+ [\w.-]+:[\w.-]+:[\w.-]+", row) for row in rows)
