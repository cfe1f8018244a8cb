"""`soma steps list|resume`: the steps that are paused because they failed too often, and the verb that lets them go on.

A step is paused partition by partition, and so it is resumed: by one command for each, which the door answers.
"""

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from consumers.runtime.graph import Graph
from deploy.cli.letters import shown
from deploy.cli.publish import tell
from deploy.cli.tables import print_rows
from deploy.cli.talking import Invalid, ask, chosen, graphs_of, printable, show, talk
from producers.client import Client
from producers.errors import Unreadable
from producers.headers import body_of, read, type_of
from producers.records import Record
from producers.settings import Settings
from schemas.engine import ResumeStep, StepPaused, StepResumed

COLUMNS = ("saga", "participant", "step", "partition", "since", "saga_id", "cause", "freed_by")


@dataclass(frozen=True)
class PausedStep:
    """One step that starts no more in one partition.

    `saga_id` is the saga whose failure was one too many, `freed_by` the command line that lets the step go on.
    """

    saga: str
    participant: str
    step: str
    partition: int
    since: datetime
    saga_id: str
    cause: str
    freed_by: str


def paused_in(graph: Graph, records: Iterable[Record]) -> list[PausedStep]:
    """The steps that stand paused at the end of these records of `<saga>.events`; each partition's in order. PURE.

    A step that is no longer deployed starts nothing anyhow, and is left out.
    """
    found: dict[tuple[str, str, int], PausedStep] = {}
    for record in records:
        told = _told_by(graph, record)
        if told is None:
            continue
        place = (told.participant, told.step, record.partition)
        found.pop(place, None)
        if isinstance(told, StepPaused) and graph.step_called(told.participant, told.step) is not None:
            found[place] = _paused(graph, told, record)
    return list(found.values())


def _tells(graph: Graph, record: Record) -> bool:
    """Whether the record could be about a pause; for a look before it is kept."""
    return type_of(record.headers) in (StepPaused.type_in(graph.saga), StepResumed.type_in(graph.saga))


def _told_by(graph: Graph, record: Record) -> StepPaused | StepResumed | None:
    if not _tells(graph, record):
        return None
    try:
        heard = read(record, "")
        kind = StepPaused if heard.type == StepPaused.type_in(graph.saga) else StepResumed
        return kind.model_validate(body_of(heard))
    except (Unreadable, ValidationError):
        # Anybody may write there; what the workers cannot read either changes nothing.
        return None


def _paused(graph: Graph, told: StepPaused, record: Record) -> PausedStep:
    return PausedStep(
        saga=graph.saga,
        participant=told.participant,
        step=told.step,
        partition=record.partition,
        since=datetime.fromtimestamp(record.at, UTC),
        saga_id=told.saga_id,
        cause=told.cause,
        freed_by=shlex.join(["soma", "steps", "resume", told.participant, told.step]),
    )


def steps_list(settings: Settings, saga: str | None, as_json: bool) -> int:
    """Print every paused step, partition by partition; returns 0, or 3 where Kafka does not answer. Blocks."""

    async def work(client: Client) -> int:
        graphs = graphs_of(settings)
        found = [one for kind in chosen(settings, saga) for one in await _all_paused(client, graphs[kind])]
        if as_json:
            show({"paused": [asdict(one) | {"since": one.since.isoformat()} for one in found]})
        else:
            rows = [asdict(one) | {"since": shown(one.since)} for one in found]
            print_rows(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
        return 0

    return talk(settings, work)


async def _all_paused(client: Client, graph: Graph) -> list[PausedStep]:
    events = client.records(graph.schema.topics.events)
    return paused_in(graph, [record async for record in events if _tells(graph, record)])


def steps_resume(settings: Settings, participant: str, step: str, reason: str, as_json: bool) -> int:
    """Ask for the step to go on in every partition in which it is paused, and wait for the answers; blocks.

    Returns 0 when it goes on in all of them, 1 when one is refused, 2 where there is no such step or it is not paused,
    3 where Kafka or an answer does not come in time.
    """

    async def work(client: Client) -> int:
        graph = _graph_with(settings, participant, step)
        paused = [one for one in await _all_paused(client, graph) if (one.participant, one.step) == (participant, step)]
        if not paused:
            raise Invalid(f"{participant} {step} is not paused; `soma steps list` lists what is")
        body = {"participant": participant, "step": step, "reason": reason}
        exit_code = 0
        for one in paused:
            published, answer = await ask(client, graph.saga, ResumeStep.type_in(graph.saga), one.saga_id, body)
            exit_code = max(exit_code, tell(published, answer, as_json))
        return exit_code

    return talk(settings, work)


def _graph_with(settings: Settings, participant: str, step: str) -> Graph:
    """The flow in which this participant has this step; raises `Invalid` with those there are."""
    graphs = graphs_of(settings)
    for graph in graphs.values():
        if graph.step_called(participant, step) is not None:
            return graph
    owners = [name for graph in graphs.values() for name in graph.participants]
    if participant not in owners:
        raise Invalid(f"there is no participant {printable(participant)!r}; there are {', '.join(owners)}")
    owned = [name for graph in graphs.values() for name in graph.steps_of(participant)]
    raise Invalid(f"{participant} has no step {printable(step)!r}; it has {', '.join(owned)}")
