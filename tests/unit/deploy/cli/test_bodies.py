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
        ("name: &a [*a]\nx: !!python/object:os.system {}", "could not determine a constructor"),
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
