"""Which dead letters are meant, and how they look in groups."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from consumers.runtime.steps import in_seconds
from deploy.cli.talking import Invalid, chosen, printable
from producers.client import Client
from producers.dead_letters import Kept, dead_letters
from producers.settings import Settings

GROUP_COLUMNS = [
    "fingerprint", "count", "open", "replayed", "discarded", "kind", "step or type", "error", "first", "last", "saga id"
]  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What letters are asked for: those that fit every word that is given."""

    letter_id: str | None = None
    saga: str | None = None
    step: str | None = None
    type: str | None = None
    fingerprint: str | None = None
    kind: str | None = None
    saga_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no word was given that leaves a letter out."""
        return self == Choice()

    def fits(self, kept: Kept) -> bool:
        """Whether the letter is meant."""
        letter = kept.letter
        wanted = {
            "id": self.letter_id,
            "saga": self.saga,
            "step": self.step,
            "type": self.type,
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "saga_id": self.saga_id,
        }
        if any(text is not None and getattr(letter, name) != text for name, text in wanted.items()):
            return False
        return (self.since is None or letter.at >= self.since) and (self.until is None or letter.at <= self.until)


def moment(text: str | None, now: datetime) -> datetime | None:
    """A moment as people write it: 2026-04-01, 2026-04-01T12:00 (local time), or 2h for two hours ago."""
    if text is None:
        return None
    try:
        if re.fullmatch(r"[\d.]+(ms|s|m|h|d)", text):
            return now - timedelta(seconds=in_seconds(text))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"{printable(text)} is no moment: write 2026-04-01, 2026-04-01T12:00:00Z, or 2h for two hours ago"
        ) from None


async def letters_of(client: Client, settings: Settings, choice: Choice) -> list[Kept]:
    """The letters that are meant, oldest first."""
    found = [kept for kind in chosen(settings, choice.saga) for kept in await dead_letters(client, kind)]
    return sorted(filter(choice.fits, found), key=lambda kept: kept.letter.at)


def named(choice: Choice, verb: str) -> Choice:
    """The choice of a verb that changes something; raises `Invalid` where everything would be meant. PURE."""
    if choice.is_everything:
        raise Invalid(
            f"name the letters to {verb}: an ID, --fingerprint, or another filter (`soma dead list` shows them)"
        )
    return choice


async def meant(client: Client, settings: Settings, choice: Choice) -> list[Kept]:
    """The letters that are meant, oldest first; raises `Invalid` where one is named by its id that is not there."""
    found = await letters_of(client, settings, choice)
    if not found and choice.letter_id is not None:
        raise Invalid(f"there is no dead letter {printable(choice.letter_id)}; `soma dead list` lists them")
    return found


def grouped(kept: Iterable[Kept]) -> list[dict[str, Any]]:
    """One entry per fingerprint, the group with the newest letter last. PURE."""
    groups: dict[str, list[Kept]] = {}
    for one in kept:
        groups.setdefault(one.letter.fingerprint, []).append(one)
    found = [_group(members) for members in groups.values()]
    return sorted(found, key=lambda group: str(group["last_at"]))


def _group(members: list[Kept]) -> dict[str, Any]:
    newest = members[-1].letter
    states = [one.state for one in members]
    return {
        "fingerprint": newest.fingerprint,
        "count": len(members),
        "open": states.count("open"),
        "replayed": states.count("replayed"),
        "discarded": states.count("discarded"),
        "kind": newest.kind,
        "saga": newest.saga,
        "step": newest.step,
        "type": newest.type,
        "error": newest.error,
        "reason": newest.reason,
        "first_at": members[0].letter.at.isoformat(),
        "last_at": newest.at.isoformat(),
        "example": newest.id,
        "example_saga_id": newest.saga_id,
    }


def group_row(group: dict[str, Any]) -> list[object]:
    """One group for people."""
    counts = [group[name] for name in ("fingerprint", "count", "open", "replayed", "discarded")]
    what = group["step"] or group["type"] or ""
    error = f"{group['error']}: {group['reason']}"
    times = [shown(datetime.fromisoformat(group[name])) for name in ("first_at", "last_at")]
    return [*counts, group["kind"], what, error, *times, group["example_saga_id"] or ""]


def shown(at: datetime) -> str:
    """A moment for people, in local time."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def as_json(kept: Kept) -> dict[str, Any]:
    """A letter with what became of it."""
    decision = None if kept.decision is None else kept.decision.model_dump(mode="json", exclude={"letter_id"})
    return kept.letter.model_dump(mode="json") | {"state": kept.state, "decision": decision}
