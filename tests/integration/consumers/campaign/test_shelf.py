"""Making once per key and taking back for good, cut off and interleaved at every single touch of the disk."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from consumers.campaign.adapters.shelf import Shelf
from consumers.campaign.ports import AlreadyUndone

KEY = "c1/0123456789abcdef"
TOUCHES = ("mkdir", "rename", "exists", "touch", "rmdir", "write_text", "read_text", "is_dir")
# More than the touches of any one call: the last rounds run to the end undisturbed.
ENOUGH = 32
AUDITED = {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.scandir", "shutil.rmtree", "shutil.copyfile"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def shelf(home: Path) -> Shelf:
    return Shelf(home, "blog", "site/posts")


def fill(folder: Path) -> None:
    (folder / "first.txt").write_text("1")
    (folder / "second.txt").write_text("2")


def placed(shelf: Shelf) -> list[list[str]]:
    """The folders that can be seen, each with its files."""
    folders = shelf.root.iterdir() if shelf.root.exists() else ()
    return [sorted(file.name for file in folder.iterdir()) for folder in folders]


def leftovers(home: Path) -> list[Path]:
    return [path for path in (home / "staging").rglob("*") if path.parent != home / "staging"]


@contextmanager
def before_touch(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Do `act` before the disk is touched for the given time."""
    touched, this_thread = 0, threading.get_ident()

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def touch(*arguments: Any, **options: Any) -> Any:
            nonlocal touched
            touched += threading.get_ident() == this_thread
            if touched == number and threading.get_ident() == this_thread:
                act()
            return original(*arguments, **options)

        return touch

    with pytest.MonkeyPatch.context() as patch:
        for name in TOUCHES:
            patch.setattr(Path, name, counting(getattr(Path, name)))
        yield


def killed_at_touch(number: int, home: Path, act: Callable[[], object]) -> None:
    """Run `act` in a forked child that is gone, without any tidying up, before it touches the disk for that time."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal number
        if event in AUDITED and any(str(home) in str(argument) for argument in arguments):
            number -= 1
            if number == 0:
                os._exit(9)

    child = os.fork()
    if child == 0:
        # Whatever happens, the child must not go on as a second test run.
        try:
            sys.addaudithook(watch)
            act()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_what_is_placed_stands_whole_and_leaves_nothing_else(home: Path, shelf: Shelf) -> None:
    folder = shelf.place(KEY, fill)
    assert folder == shelf.find(KEY)
    assert placed(shelf) == [["first.txt", "second.txt"]]
    assert not leftovers(home)


def test_placing_again_finds_what_was_placed_first(shelf: Shelf) -> None:
    def fill_otherwise(folder: Path) -> None:
        (folder / "other.txt").write_text("3")

    folder = shelf.place(KEY, fill)
    assert shelf.place(KEY, fill_otherwise) == folder
    assert placed(shelf) == [["first.txt", "second.txt"]]


def test_twenty_at_once_place_one_folder(home: Path, shelf: Shelf) -> None:
    with ThreadPoolExecutor(20) as pool:
        folders = set(pool.map(lambda _: shelf.place(KEY, fill), range(20)))
    assert len(folders) == 1
    assert placed(shelf) == [["first.txt", "second.txt"]]
    assert not leftovers(home)


def test_twenty_placing_and_twenty_taking_back_at_once_leave_nothing(home: Path, shelf: Shelf) -> None:
    def place_or_fail(_: int) -> None:
        with suppress(AlreadyUndone):
            shelf.place(KEY, fill)

    with ThreadPoolExecutor(40) as pool:
        for round_number in range(10):
            calls = [place_or_fail, lambda _: shelf.take_back(KEY)][:: 1 if round_number % 2 else -1]
            list(pool.map(lambda call: call(0), calls * 20))
    assert placed(shelf) == []
    assert not [path for path in leftovers(home) if path.is_file()]


def test_taking_back_twice_is_a_success_and_placing_then_fails(home: Path, shelf: Shelf) -> None:
    shelf.place(KEY, fill)
    shelf.take_back(KEY)
    shelf.take_back(KEY)
    assert placed(shelf) == []
    assert not leftovers(home)
    with pytest.raises(AlreadyUndone):
        shelf.place(KEY, fill)
    assert placed(shelf) == []
    assert not leftovers(home)


def test_taking_back_what_was_never_placed_keeps_it_from_being_placed(shelf: Shelf) -> None:
    shelf.take_back(KEY)
    with pytest.raises(AlreadyUndone):
        shelf.place(KEY, fill)
    assert placed(shelf) == []


def test_what_lies_in_a_folder_can_be_read(shelf: Shelf) -> None:
    shelf.place(KEY, fill)
    assert shelf.read(KEY, "second.txt") == "2"
    with pytest.raises(FileNotFoundError):
        shelf.read(KEY, "third.txt")


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_an_undo_at_any_moment_of_placing_and_reading_shows_the_file_or_says_so(
    home: Path, shelf: Shelf, touch: int
) -> None:
    undo = Shelf(home, "blog", "site/posts")
    with before_touch(touch, lambda: undo.take_back(KEY)), suppress(AlreadyUndone):
        shelf.place(KEY, fill)
        assert shelf.read(KEY, "first.txt") == "1"


def test_taking_back_one_key_leaves_the_others(shelf: Shelf) -> None:
    kept = shelf.place("c1/other", fill)
    shelf.place(KEY, fill)
    shelf.take_back(KEY)
    assert list(shelf.root.iterdir()) == [kept]


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_an_undo_at_any_moment_of_placing_leaves_nothing(home: Path, shelf: Shelf, touch: int) -> None:
    undo = Shelf(home, "blog", "site/posts")
    with before_touch(touch, lambda: undo.take_back(KEY)), suppress(AlreadyUndone):
        shelf.place(KEY, fill)
    undo.take_back(KEY)  # For the rounds in which placing was over before its turn came.
    assert placed(shelf) == []
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_placing_at_any_moment_of_an_undo_leaves_nothing(home: Path, shelf: Shelf, touch: int) -> None:
    shelf.place(KEY, fill)
    late = Shelf(home, "blog", "site/posts")

    def place_late() -> None:
        with suppress(AlreadyUndone):
            late.place(KEY, fill)

    with before_touch(touch, place_late):
        shelf.take_back(KEY)
    assert placed(shelf) == []
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_an_attempt_that_wakes_up_at_any_moment_of_an_undo_makes_nothing(home: Path, shelf: Shelf, touch: int) -> None:
    # Given an attempt that froze when all was ready to be renamed,
    ready, go_on = threading.Event(), threading.Event()

    def freeze(folder: Path) -> None:
        fill(folder)
        ready.set()
        assert go_on.wait(10)

    def place_slowly() -> None:
        with suppress(AlreadyUndone):
            shelf.place(KEY, freeze)

    frozen = threading.Thread(target=place_slowly)
    frozen.start()
    assert ready.wait(10)

    def wake_up() -> None:
        go_on.set()
        frozen.join()

    # when it goes on in the midst of the undo, or after it, then nothing remains.
    with before_touch(touch, wake_up):
        Shelf(home, "blog", "site/posts").take_back(KEY)
    wake_up()
    assert placed(shelf) == []
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_placing_killed_at_any_moment_shows_nothing_or_all_and_can_be_repeated(
    home: Path, shelf: Shelf, touch: int
) -> None:
    killed_at_touch(touch, home, lambda: shelf.place(KEY, fill))
    assert placed(shelf) in ([], [["first.txt", "second.txt"]])
    shelf.place(KEY, fill)
    assert placed(shelf) == [["first.txt", "second.txt"]]
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_placing_killed_at_any_moment_can_be_undone(home: Path, shelf: Shelf, touch: int) -> None:
    killed_at_touch(touch, home, lambda: shelf.place(KEY, fill))
    shelf.take_back(KEY)
    assert placed(shelf) == []
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_an_undo_killed_at_any_moment_shows_nothing_or_all_and_can_be_repeated(
    home: Path, shelf: Shelf, touch: int
) -> None:
    shelf.place(KEY, fill)
    killed_at_touch(touch, home, lambda: shelf.take_back(KEY))
    assert placed(shelf) in ([], [["first.txt", "second.txt"]])
    shelf.take_back(KEY)
    assert placed(shelf) == []
    assert not leftovers(home)


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_a_late_attempt_killed_at_any_moment_after_the_undo_makes_nothing(home: Path, shelf: Shelf, touch: int) -> None:
    shelf.take_back(KEY)
    killed_at_touch(touch, home, lambda: shelf.place(KEY, fill))
    assert placed(shelf) == []


@pytest.mark.parametrize("touch", range(1, ENOUGH))
def test_an_attempt_that_is_undone_and_then_killed_makes_nothing(home: Path, shelf: Shelf, touch: int) -> None:
    # Given an attempt that is overtaken by an undo just before its rename,
    undo = Shelf(home, "blog", "site/posts")

    def overtaken(folder: Path) -> None:
        fill(folder)
        undo.take_back(KEY)

    # when it dies at any later moment, then it has left nothing that could be seen.
    killed_at_touch(touch, home, lambda: shelf.place(KEY, overtaken))
    undo.take_back(KEY)
    assert placed(shelf) == []


def test_a_failure_to_fill_is_told_and_can_be_repeated(home: Path, shelf: Shelf) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise FileNotFoundError("the banner is missing")

    with pytest.raises(FileNotFoundError, match="the banner is missing"):
        shelf.place(KEY, fail)
    assert placed(shelf) == []
    assert not leftovers(home)
    shelf.place(KEY, fill)


@pytest.mark.parametrize(
    "saga_id",
    [
        "../../etc/passwd",
        "/",
        "a/b",
        "..",
        ".",
        "",
        "x" * 200,
        "\N{BICYCLE}" * 200,
        "nul\0nul",
        "con:*?[a]",
        "~",
        "-rf",
    ],
)
def test_any_saga_id_makes_a_folder_of_its_own_where_it_belongs(shelf: Shelf, saga_id: str) -> None:
    folders = {shelf.place(f"{saga_id}/{step}", fill) for step in ("one", "two")}
    assert len(folders) == 2
    assert {folder.resolve().parent for folder in folders} == {shelf.root.resolve()}
    for step in ("one", "two"):
        shelf.take_back(f"{saga_id}/{step}")
    assert placed(shelf) == []
