"""`soma publish TYPE`: say a command, and hear what it led to."""

import secrets
from pathlib import Path

from consumers.runtime.graph import Graph
from deploy.cli.bodies import Written, read_file
from deploy.cli.talking import Invalid, ask, graphs_of, printable, say, show, talk
from producers.answers import Answer, Published
from producers.client import Client
from producers.settings import Settings
from schemas.message import Command


def publish(
    settings: Settings, wire_type: str, file: Path | None, pairs: list[str], saga_id: str | None, as_json: bool
) -> int:
    """Check the body against its class, publish it and wait for the answer; blocks.

    Returns 0 when an event answers, 1 when the command is refused, 2 for an unknown type or an invalid body (nothing is
    published then), 3 where Kafka or an answer does not come in time.
    """

    async def work(client: Client) -> int:
        published, answer = await ask(client, graph.saga, wire_type, identity, body)
        return tell(published, answer, as_json)

    try:
        graph, kind = command_of(settings, wire_type)
        written = (read_file(file) if file is not None else Written("--set", {})).with_settings(pairs)
        identity = id_for(graph, wire_type, saga_id, written)
        body = written.checked(kind, identity)
    except Invalid as invalid:
        say(*invalid.lines)
        return 2
    return talk(settings, work)


def command_of(settings: Settings, wire_type: str) -> tuple[Graph, type[Command]]:
    """The flow and the class behind a command's wire type; raises `Invalid` with the list of those there are."""
    graphs = graphs_of(settings)
    for graph in graphs.values():
        kind = graph.schema.commands().get(wire_type)
        if kind is not None:
            return graph, kind
    known = sorted(name for graph in graphs.values() for name in graph.schema.commands())
    raise Invalid(f"there is no command {printable(wire_type)!r}; there are:", *(f"  {name}" for name in known))


def id_for(graph: Graph, wire_type: str, saga_id: str | None, written: Written) -> str:
    """The saga the command speaks of: the one named, the body's, or a new one for a command that starts a saga."""
    named = written.body.get("saga_id")
    if saga_id is not None and named not in (None, saga_id):
        where = written.where(("saga_id",))
        raise Invalid(f"{where}: saga_id is {printable(named)}, but --id says {printable(saga_id)}")
    found = saga_id if saga_id is not None else named
    if found is None and any(step.opens for step in graph.hearers.get(wire_type, ())):
        return new_id(graph.saga)
    if found is None:
        raise Invalid(f"{wire_type} speaks of a saga: name it with --id (`soma status` lists them)")
    return str(found)


def new_id(saga: str) -> str:
    """An id for a saga that nobody has named."""
    return f"{saga}-{secrets.token_hex(8)}"


def tell(published: Published, answer: Answer, as_json: bool) -> int:
    """Say what a command led to; returns the exit code it stands for."""
    if as_json:
        show(
            {
                "saga_id": published.saga_id,
                "id": published.id,
                "topic": published.topic,
                "partition": published.partition,
                "offset": published.offset,
                "answer": answer.kind,
                "type": answer.type,
                "reason": answer.reason or None,
            }
        )
    if answer.kind == "event":
        say(f"{published.saga_id}: {answer.type}")
        return 0
    word = "refused" if answer.kind == "refused" else "a dead letter (`soma dead list`)"
    say(f"{published.saga_id}: {word}: {printable(answer.reason)}")
    return 1
