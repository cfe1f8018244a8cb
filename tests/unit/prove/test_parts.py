"""Whatever becomes of a part of the proof, the next one runs; each is a program that ends in its time."""

from pathlib import Path

import pytest

from tests.prove.parts import Part, all_run, told_in

HANGS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
try:
    open(sys.argv[1], "w").close()
    time.sleep(60)
finally:
    print('{"stopped": 1}')
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a part's module is looked for."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_part_that_raises_is_told_with_its_exit_code_and_the_next_one_runs(program: Path) -> None:
    (program / "raises.py").write_text("raise SystemExit(7)")
    (program / "well.py").write_text("import sys; print('words'); print('{\"one\": ' + sys.argv[1] + '}')")
    words: list[str] = []
    parts = [Part("first", "raises", (), 20), Part("second", "well", ("5",), 20)]
    first, second = all_run(parts, 60, words.append)
    assert (first.told, first.failure) == ({}, "it ended with 7")
    assert (second.told, second.failure) == ({"one": 5}, "")
    assert [line.partition(":")[0] for line in words] == ["== first", "== first", "== second", "== second"]


def test_a_part_that_hangs_is_asked_to_stop_and_takes_down_what_it_started(program: Path, tmp_path: Path) -> None:
    (program / "hangs.py").write_text(HANGS)
    begun = tmp_path / "begun"
    (outcome,) = all_run([Part("hangs", "hangs", (str(begun),), 1.5)], 60, lambda words: None)
    assert begun.exists()
    assert (outcome.told, outcome.failure) == ({"stopped": 1}, "it was not done after 2 s")


def test_a_part_for_which_no_time_is_left_has_failed(program: Path) -> None:
    (program / "well.py").write_text("print('{}')")
    (outcome,) = all_run([Part("late", "well", (), 20)], 0, lambda words: None)
    assert outcome.failure == "no time was left for it"


def test_a_part_that_tells_no_object_has_failed(program: Path) -> None:
    (program / "silent.py").write_text("print('[]')")
    (outcome,) = all_run([Part("silent", "silent", (), 20)], 60, lambda words: None)
    assert outcome.failure == "it told nothing"


def test_only_the_last_line_counts() -> None:
    assert told_in('{"one": 1}\n{"two": 2}\n') == {"two": 2}
    assert told_in('{"one": 1}\nwords') == {}
    assert told_in("") == {}
