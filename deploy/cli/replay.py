"""`soma dead replay`: dead letters are tried once more, one first, then the rest; or only rehearsed."""

import re
from collections import Counter
from collections.abc import Iterable

from deploy.cli.canary import Replayed, in_canary_order
from deploy.cli.letters import Choice, meant
from deploy.cli.outcomes import Outcome
from deploy.cli.rehearsing import rehearsed
from deploy.cli.replaying import replaying
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, kinds_of, printable, say, show, talk, user_name
from producers.client import Client
from producers.dead_letters import Kept
from producers.settings import Settings
from schemas.dead_letter import LetterDiscarded

RATE = "10/s"
COLUMNS = ["id", "saga id", "step or type", "outcome", "why"]


def dead_replay(settings: Settings, choice: Choice, per_second: float, print_json: bool) -> int:
    """Replay the open letters that are meant, oldest first; blocks.

    One is replayed first and waited for, then the rest are begun at this rate, until one fails again. Returns 0 when
    all pass, 1 when one fails again or is refused, 2 for invalid input, 3 where Kafka or an outcome does not come in
    time.
    """

    async def work(client: Client) -> int:
        found = await meant(client, settings, choice)
        done: Replayed[Kept] = Replayed([(kept, _before(kept)) for kept in found if kept.state != "open"])
        waiting = [kept for kept in found if kept.state == "open"]
        for kind in kinds_of(settings):
            mine = [kept for kept in waiting if kept.letter.saga == kind.graph.saga]
            if done.is_stopped or not mine:
                done.not_tried += mine
                continue
            async with replaying(client, kind.graph, user_name()) as replayer:
                more = await in_canary_order(mine, replayer.replay, per_second)
            done.outcomes += more.outcomes
            done.not_tried += more.not_tried
        return _tell(done, print_json)

    return talk(settings, work)


def dead_rehearse(settings: Settings, choice: Choice, print_json: bool) -> int:
    """Say how many of the open letters that are meant would pass now; changes nothing; blocks.

    Returns 0 when all would, 1 when not, 2 for invalid input, 3 where Kafka does not answer.
    """

    async def work(client: Client) -> int:
        found = [kept for kept in await meant(client, settings, choice) if kept.state == "open"]
        told: list[tuple[Kept, str, str]] = []
        for kind in kinds_of(settings):
            mine = [kept for kept in found if kept.letter.saga == kind.graph.saga]
            verdicts = await rehearsed(client, settings, kind, mine)
            told += [(kept, one.kind, one.words) for kept, one in zip(mine, verdicts, strict=True)]
        counts = Counter(verdict for _, verdict, _ in told)
        if print_json:
            entries = [{"id": kept.letter.id, "verdict": verdict, "reason": why} for kept, verdict, why in told]
            show({"dry_run": True, "letters": len(told)} | _counted(counts, _VERDICTS) | {"verdicts": entries})
        else:
            print_rows(COLUMNS, [_row(kept, verdict, why) for kept, verdict, why in told])
        would = f"{counts['passes']} would pass now, {counts['fails']} would fail again, {counts['refused']}"
        say(f"of {len(told)} dead letters {would} would be refused; nothing was changed")
        return 0 if counts["passes"] == len(told) else 1

    return talk(settings, work)


_VERDICTS = ("passes", "fails", "refused")
_OUTCOMES = ("passed", "failed", "refused", "before", "unknown")


def rate_of(text: str) -> float:
    """How many a second; raises `Invalid` for what is no rate. PURE."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/s)?", text)
    if match is None or not 0 < float(match[1]) <= 10_000:
        raise Invalid(f"--rate {printable(text)} is no rate: write 10/s")
    return float(match[1])


def _before(kept: Kept) -> Outcome:
    if isinstance(kept.decision, LetterDiscarded):
        return Outcome("refused", f"it was discarded by {kept.decision.by}: {kept.decision.reason}")
    return Outcome("before", "it was replayed before")


def _tell(done: Replayed[Kept], print_json: bool) -> int:
    counts: Counter[str] = Counter(outcome.kind for _, outcome in done.outcomes)
    if print_json:
        entries = [
            {"id": kept.letter.id, "outcome": outcome.kind, "reason": outcome.words} for kept, outcome in done.outcomes
        ]
        named = {"letters": len(done.outcomes) + len(done.not_tried), "stopped": done.is_stopped}
        show(named | _counted(counts, _OUTCOMES) | {"not_tried": len(done.not_tried), "outcomes": entries})
    else:
        print_rows(COLUMNS, [_row(kept, outcome.kind, outcome.words) for kept, outcome in done.outcomes])
    say(", ".join(f"{counts[name]} {name}" for name in _OUTCOMES if counts[name]) or "there is nothing to replay")
    if done.is_stopped:
        first = next(outcome for _, outcome in done.outcomes if outcome.stops)
        say(f"stopped at the first that did not pass ({printable(first.words)}); {len(done.not_tried)} were not tried")
    if counts["failed"] or counts["refused"]:
        return 1
    return 3 if counts["unknown"] else 0


def _counted(counts: Counter[str], names: Iterable[str]) -> dict[str, int]:
    return {name: counts[name] for name in names}


def _row(kept: Kept, outcome: str, why: str) -> list[object]:
    letter = kept.letter
    return [letter.id, letter.saga_id or "", letter.step or letter.type or "", outcome, why]
