"""PURE: a graph drawn as a map in plain text, as Mermaid, and as JSON. The same graph gives the same drawing, always.

The map tells the story from the first command to the ends: under each message stand the steps that hear it, with who
they belong to, what they may say, and how it is undone. The saga's own name is left out of its words.
"""

from collections.abc import Iterator
from typing import Any

from consumers.runtime.graph import Graph, Step
from schemas.message import Completion, FailingEnd, Question

COLUMNS = 100
Legs = tuple[tuple[str, ...], ...]


def story_of(graph: Graph) -> tuple[str, ...]:
    """The steps that a saga which goes well passes, in order."""
    return tuple(
        step.name
        for step in _in_order(graph)
        if (step.opens or not step.hears_commands) and not all(graph.is_a(kind, FailingEnd) for kind in step.says)
    )


def as_text(graph: Graph) -> str:
    """The map, at most 100 columns wide unless a name is too long for that."""
    return "\n".join(line.rstrip() for line in _lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield f"{graph.saga}: {len(graph.steps)} steps of {len(graph.participants)} participants (flow {graph.fingerprint})"
    yield f"Every word begins with {graph.saga}. on the wire."
    yield ""
    yield "» a command   → says   ✓ completes the saga   ✗ ends it, and all is undone   ↩ how it is undone"
    yield "A step that spends its budget ends the saga, unless it is held: then a person retries it."
    if any(step.pivot for step in graph.steps.values()):
        yield "Forward only: a pivot may have begun by then, so the step is held and never ends the saga."
    rows = {step.name: _rows(graph, step) for step in graph.steps.values()}
    widths = [max(len(row[column]) for found in rows.values() for row in found) for column in range(3)]
    for head, steps in _groups(graph):
        yield ""
        yield from head
        for step in steps:
            branch, trunk = ("└─ ", "   ") if step is steps[-1] else ("├─ ", "│  ")
            for number, (name, participant, said, undone) in enumerate(rows[step.name]):
                cells = f"{name:<{widths[0]}}  {participant:<{widths[1]}}  {said:<{widths[2]}}  {undone}"
                yield f"  {trunk if number else branch}{cells}"
    yield ""
    yield "After ✗ each participant takes back its own facts, the last one first, and then has settled:"
    yield from _undo_lines(graph)


def _rows(graph: Graph, step: Step) -> list[tuple[str, str, str, str]]:
    """One row per word the step may say; how it is undone, or what else is to be known of it, begins on the first."""
    notes = []
    if step.undo is not None:
        notes.append(f"↩ {step.undo.name}")
    if step.pivot:
        notes.append("pivot: no way back")
    if step.policy == "hold":
        notes.append("held if it fails")
    if step.policy == "ignore":
        notes.append("may fail")
    if step.forward_only:
        notes.append("forward only")
    if any(graph.is_a(kind, FailingEnd) for kind in step.says):
        notes.extend(f"not after {_short(graph, kind)}" for kind in sorted(step.until))
    said = [f"{_sign(graph, kind)} {_short(graph, kind)}" for kind in step.says]
    count = max(len(said), len(notes), 1)
    said, notes = said + [""] * (count - len(said)), notes + [""] * (count - len(notes))
    asked = f"» {_short(graph, step.legs[0][0])}: " if _question(graph, step) else ""
    names = [f"{asked}{step.name}", *[""] * (count - 1)]
    owners = [_short(graph, step.participant), *[""] * (count - 1)]
    return list(zip(names, owners, said, notes, strict=True))


def _sign(graph: Graph, wire_type: str) -> str:
    return "✓" if graph.is_a(wire_type, Completion) else "✗" if graph.is_a(wire_type, FailingEnd) else "→"


def _short(graph: Graph, word: str) -> str:
    return word.removeprefix(f"{graph.saga}.")


def _groups(graph: Graph) -> Iterator[tuple[list[str], list[Step]]]:
    """The steps under the message that starts them, in the order of the story, each group with its headline.

    Whoever answers a question stands under it, though it hears a command; what is heard at any time stands last.
    """
    groups: dict[Legs, list[Step]] = {}
    anytime: dict[Legs, list[Step]] = {}
    for step in _in_order(graph):
        question = _question(graph, step)
        is_late = step.hears_commands and not step.opens and not question
        (anytime if is_late else groups).setdefault(((question,),) if question else step.legs, []).append(step)
    for legs, steps in (*groups.items(), *anytime.items()):
        yield _headline(graph, legs, steps[0]), steps


def _headline(graph: Graph, legs: Legs, step: Step) -> list[str]:
    words = [" or ".join(_short(graph, kind) for kind in leg) for leg in legs]
    lines = [words[0], *(f"+ {word}" for word in words[1:])]
    notes = [kind.waiting_for for (name, *_) in legs if issubclass(kind := graph.schema.messages[name], Question)]
    if notes:
        lines[-1] += f"   (waits for {', '.join(notes)})"
    elif step.join_deadline_seconds is not None:
        lines[-1] += f"   (all within {_duration(step.join_deadline_seconds)})"
    elif step.hears_commands:
        lines = [f"» {words[0]}   (a command{'' if step.opens else ', at any time'})"]
    return lines


def _question(graph: Graph, step: Step) -> str:
    """The question that a command's step answers: it says its answer, or recalls it."""
    recalled = [kind for recall in step.signature.recalls for kind in recall.types if graph.is_a(kind, Question)]
    return next(iter((*step.answers, *recalled)), "") if step.hears_commands else ""


def _in_order(graph: Graph) -> list[Step]:
    """The steps as the story passes them: each after everybody who says what it waits for."""
    found: list[Step] = []
    waiting = list(graph.steps.values())
    while waiting:
        ready = [step for step in waiting if not _sayers_before(graph, step) & {other.name for other in waiting}]
        # A loop has no order of its own: there the flow's counts.
        for step in ready or waiting[:1]:
            found.append(step)
            waiting.remove(step)
    return found


def _sayers_before(graph: Graph, step: Step) -> set[str]:
    question = _question(graph, step)
    words = {kind for leg in step.legs for kind in leg} | ({question} if question else set())
    return {sayer.name for kind in words for sayer in graph.sayers.get(kind, ())} - {step.name}


def _undo_lines(graph: Graph) -> Iterator[str]:
    undos = [step.undo for step in reversed(_in_order(graph)) if step.undo is not None]
    name_width = max((len(undo.name) for undo in undos), default=0)
    owner_width = max((len(_short(graph, undo.participant)) for undo in undos), default=0)
    for undo in undos:
        word = ", ".join(_short(graph, kind.wire_type) for kind in undo.signature.says)
        owner = _short(graph, undo.participant)
        yield f"  ↩ {undo.name:<{name_width}}  {owner:<{owner_width}}  {_short(graph, undo.fact)} → {word}"
        after = ", ".join(_short(graph, one) for one in graph.participants if one in undo.waits_for)
        if after:
            yield f"    {'':<{name_width}}  {'':<{owner_width}}  waits until these have settled: {after}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def as_mermaid(graph: Graph) -> str:
    """The flow as a Mermaid flowchart: a box per participant, an arrow per message that somebody hears."""
    return "\n".join(_mermaid_lines(graph)) + "\n"


def _mermaid_lines(graph: Graph) -> Iterator[str]:
    yield "flowchart TD"
    for number, participant in enumerate(graph.participants):
        yield f'  subgraph p{number}["{participant}"]'
        for step in graph.steps_of(participant).values():
            yield f'    {step.name}{{{{"{step.name} (pivot)"}}}}' if step.pivot else f'    {step.name}["{step.name}"]'
            if step.undo is not None:
                yield f'    {step.undo.name}(["{step.undo.name}"])'
                yield f"    {step.name} -. undone by .-> {step.undo.name}"
        yield "  end"
    for step in _in_order(graph):
        for kind in (kind for leg in step.legs for kind in leg if step.hears_commands):
            yield f'  {_node(kind)}>"{kind}"] --> {step.name}'
        for kind in step.says:
            for hearer in graph.hearers.get(kind, ()):
                yield f'  {step.name} -- "{kind}" --> {hearer.name}'
            if _sign(graph, kind) != "→":
                yield f'  {step.name} --> {_node(kind)}(("{_sign(graph, kind)} {kind}"))'


def _node(wire_type: str) -> str:
    return "m_" + "".join(letter if letter.isalnum() else "_" for letter in wire_type)


def as_json(graph: Graph) -> dict[str, Any]:
    """The flow as plain values: steps in the order of the story, wire types in full, durations in seconds."""
    return {
        "saga": graph.saga,
        "fingerprint": graph.fingerprint,
        "door": graph.door,
        "participants": list(graph.participants),
        "ends": _ends(graph),
        "steps": [_step_as_json(step) for step in _in_order(graph)],
    }


def _ends(graph: Graph) -> dict[str, str]:
    """What each end is called in the status, by its wire type."""
    ends: dict[str, str] = {}
    for wire_type in (kind for step in _in_order(graph) for kind in step.says):
        kind = graph.schema.messages[wire_type]
        if issubclass(kind, FailingEnd):
            ends[wire_type] = kind.ends_as
        elif issubclass(kind, Completion):
            ends[wire_type] = "completed"
    return ends


def _step_as_json(step: Step) -> dict[str, Any]:
    undo = step.undo
    return {
        "name": step.name,
        "participant": step.participant,
        "hears": [list(leg) for leg in step.legs],
        "says": list(step.says),
        "recalls": [list(recall.types) for recall in step.signature.recalls],
        "has_effect": step.has_effect,
        "pivot": step.pivot,
        "when_it_fails": step.policy,
        "forward_only": step.forward_only,
        "until": sorted(step.until),
        "attempts": step.retry.attempts,
        "timeout_seconds": step.timeout_seconds,
        "join_deadline_seconds": step.join_deadline_seconds,
        "undo": undo
        and {
            "name": undo.name,
            "takes_back": undo.fact,
            "says": [kind.wire_type for kind in undo.signature.says],
            "waits_for": sorted(undo.waits_for),
        },
    }
