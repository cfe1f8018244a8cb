"""Which dead letters are meant, and how they look in groups."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.cli.letters import Choice, as_json, group_row, grouped, moment, named, shown
from deploy.cli.replay import rate_of
from deploy.cli.talking import Invalid
from producers.dead_letters import Kept, LetterState
from schemas.dead_letter import DeadLetter, LetterDiscarded

from .conftest import NOON


def kept(letter_id: str = "a", minutes: int = 0, state: LetterState = "open", **fields: Any) -> Kept:
    told = {
        "id": letter_id,
        "kind": "failed",
        "saga": "order",
        "saga_id": "o-1",
        "participant": "order.till",
        "step": "ship_parcel",
        "type": "order.cleared",
        "error": "VanBroken",
        "reason": "no van",
        "fingerprint": "f1",
        "at": NOON + timedelta(minutes=minutes),
    }
    return Kept(DeadLetter.model_validate(told | fields), 0, state)


@pytest.mark.parametrize(
    ("choice", "others"),
    [
        (Choice(letter_id="a"), kept("b")),
        (Choice(saga="order"), kept(saga="ticket")),
        (Choice(step="ship_parcel"), kept(step=None)),
        (Choice(type="order.cleared"), kept(type="order.opened")),
        (Choice(fingerprint="f1"), kept(fingerprint="f11")),
        (Choice(kind="failed"), kept(kind="unreadable")),
        (Choice(saga_id="o-1"), kept(saga_id=None)),
        (Choice(since=NOON), kept(minutes=-1)),
        (Choice(until=NOON), kept(minutes=1)),
        (Choice(saga_id="o-1", step="ship_parcel", since=NOON, until=NOON), kept(step="close_books")),
    ],
    ids=lambda value: (
        ", ".join(name for name, word in vars(value).items() if word) if isinstance(value, Choice) else ""
    ),
)
def test_a_letter_is_meant_if_it_fits_every_word(choice: Choice, others: Kept) -> None:
    assert choice.fits(kept())
    assert not choice.fits(others)


def test_without_a_word_every_letter_is_meant_and_none_is_changed() -> None:
    assert Choice().is_everything and Choice().fits(kept())
    with pytest.raises(Invalid, match="name the letters to discard: an ID, --fingerprint"):
        named(Choice(), "discard")
    assert named(Choice(step="x"), "discard") == Choice(step="x")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (None, None),
        ("2h", NOON - timedelta(hours=2)),
        ("1.5d", NOON - timedelta(hours=36)),
        ("500ms", NOON - timedelta(seconds=0.5)),
        ("2026-04-01T12:00:00Z", NOON),
        ("2026-04-01T14:00+02:00", NOON),
        ("2026-04-01", datetime(2026, 4, 1).astimezone()),
    ],
)
def test_a_moment_is_written_as_people_write_it(text: str | None, meant: datetime | None) -> None:
    found = moment(text, NOON)
    assert found == meant
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "2 h", "-2h", "1.2.3h", "2026-13-01", "9" * 30 + "d", "h\x1b"])
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(Invalid, match="is no moment: write 2026-04-01") as invalid:
        moment(text, NOON)
    assert str(invalid.value).isprintable()


@pytest.mark.parametrize(("text", "per_second"), [("10/s", 10.0), ("10", 10.0), ("0.5/s", 0.5), ("10000", 10_000.0)])
def test_a_rate_is_so_many_a_second(text: str, per_second: float) -> None:
    assert rate_of(text) == per_second


@pytest.mark.parametrize("text", ["", "0", "0/s", "-1", "-1/s", "10/m", "fast", "1e3", "10001/s", "nan", "inf", "1 /s"])
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(Invalid, match="is no rate: write 10/s"):
        rate_of(text)


def test_letters_are_grouped_by_fingerprint_with_the_newest_group_last() -> None:
    found = grouped(
        [
            kept("a", 0, reason="first"),
            kept("b", 1, fingerprint="f2"),
            kept("c", 2, "replayed"),
            kept("d", 3, "discarded", reason="newest", saga_id="o-4"),
        ]
    )
    assert [group["fingerprint"] for group in found] == ["f2", "f1"]
    group = found[1]
    assert (group["count"], group["open"], group["replayed"], group["discarded"]) == (3, 1, 1, 1)
    assert (group["example"], group["example_saga_id"], group["reason"]) == ("d", "o-4", "newest")
    assert (group["first_at"], group["last_at"]) == ("2026-04-01T12:00:00+00:00", "2026-04-01T12:03:00+00:00")
    assert grouped([]) == []


def test_a_group_is_one_row_with_its_step_or_else_its_type() -> None:
    failed, unreadable = grouped([kept(), kept("b", 1, fingerprint="f2", kind="unreadable", step=None, saga_id=None)])
    assert group_row(failed) == [
        *("f1", 1, 1, 0, 0, "failed", "ship_parcel", "VanBroken: no van", shown(NOON), shown(NOON), "o-1")
    ]
    assert (group_row(unreadable)[6], group_row(unreadable)[-1]) == ("order.cleared", "")


def test_a_letter_is_told_with_what_became_of_it() -> None:
    assert as_json(kept())["state"] == "open"
    assert as_json(kept())["decision"] is None
    decision = LetterDiscarded(letter_id="a", reason="by hand", by="ada", at=NOON)
    told = as_json(Kept(kept().letter, 0, "discarded", decision))
    assert told["state"] == "discarded"
    assert told["decision"] == {"reason": "by hand", "by": "ada", "at": "2026-04-01T12:00:00Z"}
