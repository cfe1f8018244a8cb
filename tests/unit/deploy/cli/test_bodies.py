"""Bodies as people write them: what they mean, and where a mistake stands."""

from pathlib import Path

import pytest

from deploy.cli.bodies import Written, read_file, with_settings
from deploy.cli.talking import Invalid
from schemas.campaign import CancelCampaign, StartCampaign

BRIEF = """\
# A comment.
name: Open day
goal: Come by
audience:
  description: Everyone
  recipients:
    - ada@example.org
    - nobody
channels: [blog]
"""


def file_with(folder: Path, text: str | bytes) -> Path:
    file = folder / "brief.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def mistakes_in(file: Path) -> tuple[str, ...]:
    with pytest.raises(Invalid) as raised:
        read_file(file).checked(StartCampaign, "one")
    return raised.value.lines


def test_a_value_is_json_where_it_parses_and_text_elsewhere() -> None:
    body = with_settings(
        {}, ["name=7 days", "count=7", "on=true", 'channels=["blog"]', "empty=", "audience.description=a=b"]
    )
    assert body == {
        "name": "7 days",
        "count": 7,
        "on": True,
        "channels": ["blog"],
        "empty": "",
        "audience": {"description": "a=b"},
    }


def test_settings_are_laid_over_a_file_and_leave_it_as_it_was() -> None:
    body = {"audience": {"description": "old", "recipients": []}}
    assert with_settings(body, ["audience.description=new"]) == {"audience": {"description": "new", "recipients": []}}
    assert body["audience"]["description"] == "old"


@pytest.mark.parametrize("pair", ["name", "=x", "a..b=x", ".=x"])
def test_a_setting_without_name_or_value_is_invalid(pair: str) -> None:
    with pytest.raises(Invalid, match="name=value"):
        with_settings({}, [pair])


def test_a_setting_through_something_without_parts_is_invalid() -> None:
    with pytest.raises(Invalid, match="name has no parts"):
        with_settings({"name": "x"}, ["name.first=y"])


def test_mistakes_name_their_lines(tmp_path: Path) -> None:
    file = file_with(tmp_path, BRIEF)
    (line,) = mistakes_in(file)
    assert line.startswith(f"{file}:8: audience.recipients.1: ")
    file = file_with(tmp_path, BRIEF.replace("- nobody", "- b@example.org") + "budget: 3\nreview: perhaps\n")
    assert [line.split(": ")[0] for line in mistakes_in(file)] == [f"{file}:11", f"{file}:10"]


def test_what_is_missing_stands_at_its_parent(tmp_path: Path) -> None:
    file = file_with(tmp_path, BRIEF.replace("  description: Everyone\n", "").replace("- nobody", "- b@example.org"))
    assert mistakes_in(file) == (f"{file}:4: audience.description: Field required",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", ":1: "),
        ("", "not empty"),
        ("- name", "must be a mapping"),
        ("1: x", "must be a mapping"),
        (b"\xff\xfe\x00", "no UTF-8"),
        ("name: &a [*a]", ":1: an alias contains itself"),
        ("name: x\nx: !!python/object:os.system {}", ":2: this is no python/object:os.system"),
        ("\x00", "special characters are not allowed"),
        (b"x" * (1024 * 1024 + 1), "larger than"),
    ],
)
def test_a_file_that_is_no_mapping_is_invalid(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_file(file_with(tmp_path, text))


def test_a_file_that_cannot_be_read_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(Invalid, match="Is a directory"):
        read_file(tmp_path)


def test_a_body_goes_out_as_it_was_meant_without_defaults() -> None:
    assert Written("x", {"reason": " enough "}).checked(CancelCampaign, "one") == {"reason": "enough", "saga_id": "one"}


@pytest.mark.parametrize("saga_id", ["", "x" * 201, "\udcff"])
def test_an_id_that_no_saga_can_have_is_told_as_such(saga_id: str) -> None:
    with pytest.raises(Invalid, match="the id: "):
        Written("x", {"reason": "enough"}).checked(CancelCampaign, saga_id)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("OFF", "OFF"), ("y", "y"),
        ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("1:30.5", "1:30.5"),
        ("2026-04-01", "2026-04-01"), ("2026-04-01T12:00:00Z", "2026-04-01T12:00:00Z"),
        ("1_000", "1_000"), ("0b11", "0b11"), ("0x1F", 31), ("0o17", 15), ("+7", 7), ("-7", -7), ("0", 0),
        ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), (".inf", ".inf"), (".nan", ".nan"), ("=", "="), ("<<", "<<"),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("'010'", "010"), ('"1"', "1"),
        (r'"\ud83d\ude80"', "\N{ROCKET}"), ("!!str 010", "010"), ("!!int 3", 3), ("1 # a comment", 1),
    ],
)  # fmt: skip
def test_a_plain_word_is_read_as_yaml_1_2_reads_it(tmp_path: Path, text: str, value: object) -> None:
    assert read_file(file_with(tmp_path, f"name: {text}")).body == {"name": value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("010", "could be octal"),
        ("-08", "could be octal"),
        ("!!int 1:30", "invalid literal"),
        ("!!int 010", "could be octal"),
        ("!!timestamp 2026-04-01", "no timestamp"),
        ("!!binary aGk=", "no binary"),
        ("!!set {a}", "no set"),
        ("1e999", "no float"),
        ("!!float .inf", "could not convert"),
        (r'"\ud83d"', "can't decode|illegal"),
        ("1" * 5_000, "limit"),
    ],
)
def test_a_value_that_could_be_meant_in_two_ways_is_invalid(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_file(file_with(tmp_path, f"name: {text}"))


@pytest.mark.parametrize("hours", ["1:30", "yes", "on", "2026-04-01", "010", "0b11"])
def test_no_surprise_becomes_a_number_of_hours(tmp_path: Path, hours: str) -> None:
    file = file_with(tmp_path, BRIEF.replace("- nobody", "- b@example.org") + f"review_timeout_hours: {hours}\n")
    (line,) = mistakes_in(file)
    assert line.startswith(f"{file}:10: ")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: a\ngoal: b\nname: c", 3, "'name' is given twice, first in line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", 4, "'b' is given twice, first in line 2"),
        ("a:\n- b: 1\n  b: 1", 3, "'b' is given twice, first in line 2"),
        ("name: a\n'name': b", 2, "'name' is given twice, first in line 1"),
        ('{"name": 1,\n"goal": 2,\n"name": 1}', 3, "'name' is given twice, first in line 1"),
        ("a: {1: x}", 1, "must be a mapping"),
        ("a:\n  ? [b]\n  : c", 2, "must be a mapping"),
    ],
)
def test_a_key_that_is_given_twice_or_is_no_text_is_invalid_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    file = file_with(tmp_path, text)
    with pytest.raises(Invalid) as raised:
        read_file(file)
    (told,) = raised.value.lines
    assert told.startswith(f"{file}:{line}: ") and words in told


def test_json_that_yaml_does_not_take_is_read_as_json(tmp_path: Path) -> None:
    assert read_file(file_with(tmp_path, '{\n\t"name": "a",\n\t"n": 1e2\n}')).body == {"name": "a", "n": 100.0}
    with pytest.raises(Invalid, match=r"'name' is given twice"):
        read_file(file_with(tmp_path, '{\n\t"name": "a",\n\t"name": "b"\n}'))
    with pytest.raises(Invalid, match=r"brief\.yaml:2: "):
        read_file(file_with(tmp_path, '{\n\t"name": NaN}'))


def test_aliases_are_read_and_those_that_would_be_huge_are_refused(tmp_path: Path) -> None:
    assert read_file(file_with(tmp_path, "a: &a [1]\nb: *a")).body == {"a": [1], "b": [1]}
    bomb = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    bomb += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 9)]
    with pytest.raises(Invalid, match=r"brief\.yaml:6: more than 200,000 values"):
        read_file(file_with(tmp_path, "\n".join(bomb)))


def test_a_text_that_is_nested_too_deeply_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="recursion"):
        read_file(file_with(tmp_path, "a: " + "[" * 5_000))


@pytest.mark.parametrize(
    "pairs",
    [["a=1", "a=1"], ["a.b=1", "a.b=2"], ["a=1", "a.b=2"], ["a.b=1", 'a={"c": 1}'], ['a={"b": 1, "b": 1}']],
)
def test_a_setting_that_is_given_twice_is_invalid(pairs: list[str]) -> None:
    with pytest.raises(Invalid, match="given twice"):
        with_settings({}, pairs)


@pytest.mark.parametrize("text", ["010", "1:30", "yes", "NaN", "Infinity", "-Infinity", "1e999"])
def test_a_setting_that_is_no_json_is_text(text: str) -> None:
    assert with_settings({}, [f"a={text}"]) == {"a": text}
