"""`soma dead replay --dry-run`: what would come of each letter now; nothing is changed by asking."""

import time
from collections import defaultdict
from collections.abc import Iterable

from consumers.kinds import SagaKind
from consumers.runtime.journal import Journal
from consumers.runtime.ledger import Ledger
from consumers.runtime.rehearsal import Verdict, rehearsed_item, rehearsed_record
from consumers.runtime.transport import JOURNAL_PREFIX
from consumers.runtime.view import view_of
from deploy.cli.originals import original_of
from producers.client import Client
from producers.dead_letters import Kept
from producers.settings import Settings
from schemas.topics import state_topic


async def rehearsed(client: Client, settings: Settings, kind: SagaKind, letters: list[Kept]) -> list[Verdict]:
    """A verdict for each letter of this saga kind, in their order."""
    journals = await _journals(client, settings, kind, letters)
    ports = kind.ports(settings)
    found: list[Verdict] = []
    for kept in letters:
        letter = kept.letter
        if letter.kind == "failed":
            journal = journals.get((letter.participant, letter.saga_id or ""))
            item = letter.item or ""
            found.append(await rehearsed_item(kind.graph, letter.participant, ports, journal, item, time.time))
            continue
        record = await original_of(client, letter)
        if record is None:
            found.append(Verdict("refused", "Kafka no longer keeps the record, and the letter has only a part of it"))
        else:
            found.append(rehearsed_record(kind.graph, record))
    return found


async def _journals(
    client: Client, settings: Settings, kind: SagaKind, letters: Iterable[Kept]
) -> dict[tuple[str, str], Journal]:
    """What each participant remembers of these sagas, from its state topic; each partition is read once."""
    wanted: dict[tuple[str, int], set[str]] = defaultdict(set)
    for kept in letters:
        letter = kept.letter
        if letter.kind == "failed" and letter.saga_id is not None and letter.participant in kind.graph.participants:
            partition = await client.partition_for(state_topic(letter.participant), letter.saga_id)
            wanted[letter.participant, partition].add(letter.saga_id)
    found: dict[tuple[str, str], Journal] = {}
    for (participant, partition), saga_ids in wanted.items():
        ledger = Ledger(view_of(kind.graph, participant), partition, 1, settings.tenant)
        async for record in client.records(state_topic(participant), next(iter(saga_ids))):
            key = (record.key or b"").decode(errors="replace")
            if key.startswith(JOURNAL_PREFIX) and any(saga_id in key for saga_id in saga_ids):
                ledger.load(key.removeprefix(JOURNAL_PREFIX), record.value)
        journals = {saga_id: ledger.journal(saga_id) for saga_id in saga_ids}
        found |= {(participant, saga_id): journal for saga_id, journal in journals.items() if journal is not None}
    return found
