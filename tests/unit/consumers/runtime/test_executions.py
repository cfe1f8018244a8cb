"""What can follow what, held against all executions of small random flows, played one by one."""

from dataclasses import dataclass

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from consumers.runtime.flow_checks.pivots import failing_ends
from consumers.runtime.forward_only import with_policies
from consumers.runtime.graph import Graph, Step
from consumers.runtime.signatures import Signature
from consumers.runtime.steps import Retry
from schemas.message import Command, Event, FailingEnd, Message, Opening
from schemas.topics import SagaSchema, SagaTopics

DOOR, OFFICE = "random.door", "random.office"
STEPS_MAX, OUTCOMES_MAX, LOGS_MAX = 6, 2, 1_000


class Begin(Command, type="random.begin"):
    pass


class Begun(Opening, type="random.begun"):
    pass


def event(number: int) -> type[Event]:
    class Numbered(Event, type=f"random.e{number}"):
        pass

    return Numbered


def end(number: int) -> type[FailingEnd]:
    class Numbered(FailingEnd, type=f"random.f{number}"):
        pass

    return Numbered


EVENTS = [event(number) for number in range(STEPS_MAX)]
ENDS = [end(number) for number in range(STEPS_MAX)]
KINDS: list[type[Message]] = [Begin, Begun, *EVENTS, *ENDS]
MESSAGES = {kind.wire_type: kind for kind in KINDS}
SCHEMA = SagaSchema("random", SagaTopics.of("random"), MESSAGES)


async def nothing() -> None:
    raise NotImplementedError


def step_of(name: str, legs: tuple[tuple[str, ...], ...], says: list[str], pivot: bool = False) -> Step:
    kinds = tuple(kind for word in says if issubclass(kind := MESSAGES[word], Event))
    signature = Signature((), (), (), None, kinds, may_wait=False, may_be_silent=False)
    return Step(
        name=name,
        participant=DOOR if name == "open" else OFFICE,
        function=nothing,
        signature=signature,
        legs=legs,
        retry=Retry(),
        timeout_seconds=1.0,
        policy="end",
        pivot=pivot,
        join_deadline_seconds=1.0 if len(legs) > 1 else None,
        hears_commands=name == "open",
    )


@st.composite
def flows(draw: st.DrawFn) -> Graph:
    """A flow without loops: each step hears what earlier ones say, alone or joined; one of them is a pivot."""
    steps = [step_of("open", (("random.begin",),), ["random.begun"])]
    said = ["random.begun"]
    count = draw(st.integers(2, STEPS_MAX))
    pivot = draw(st.integers(0, count - 1))
    for number in range(count):
        legs = draw(
            st.lists(st.lists(st.sampled_from(said), min_size=1, max_size=2, unique=True), min_size=1, max_size=2)
        )
        flat = [kind for leg in legs for kind in leg]
        if len(flat) != len(set(flat)):
            legs = legs[:1]
        heard = tuple(tuple(leg) for leg in legs)
        unheard = {*said[1:]} - {kind for step in steps for leg in step.legs for kind in leg} - set(flat)
        # A word of an earlier step now and then, so that an event may come of several causes; without making a loop.
        choices = [f"random.e{number}", f"random.f{number}", *sorted(unheard)]
        words = list(dict.fromkeys(draw(st.lists(st.sampled_from(choices), min_size=1, max_size=OUTCOMES_MAX))))
        if number == pivot and all(word.startswith("random.f") for word in words):
            words.append(f"random.e{number}")
        steps.append(step_of(f"s{number}", heard, words, pivot=number == pivot))
        said += [word for word in words if word not in said and not issubclass(MESSAGES[word], FailingEnd)]
    graph = Graph("random", SCHEMA, (DOOR, OFFICE), DOOR, {step.name: step for step in steps})
    return with_policies(graph)


@dataclass(frozen=True)
class Log:
    """How far an execution is: what stands (type, cause), which items have begun, and which of them have ended."""

    standing: frozenset[tuple[str, str]]
    begun: frozenset[tuple[str, str]]
    ended: frozenset[tuple[str, str]]


def with_items(graph: Graph, log: Log) -> Log:
    """Begin every item for which the log has what it waits for: one for each event, or one for all legs of a join."""
    begun = set(log.begun)
    for step in graph.steps.values():
        for kind, cause in log.standing:
            if len(step.legs) == 1 and kind in step.legs[0]:
                begun.add((step.name, f"{kind}/{cause}"))
        if len(step.legs) > 1 and all(any(kind in leg for kind, _ in log.standing) for leg in step.legs):
            begun.add((step.name, "join"))
    return Log(log.standing, frozenset(begun), log.ended)


def played(graph: Graph) -> tuple[set[str], set[str]]:
    """The steps that can say a failing end, and those that can still fail, once the pivot has begun.

    Gives up on a flow that has too many executions.
    """
    ending: set[str] = set()
    failing: set[str] = set()
    start = with_items(graph, Log(frozenset({("random.begun", "open")}), frozenset(), frozenset()))
    known, waiting = {start}, [start]
    while waiting:
        log = waiting.pop()
        has_pivoted = any(graph.steps[name].pivot for name, _ in log.begun)
        for item in log.begun - log.ended:
            step = graph.steps[item[0]]
            if has_pivoted and not step.pivot:
                failing.add(step.name)
            for word in step.says:
                if issubclass(MESSAGES[word], FailingEnd):
                    if has_pivoted and not step.pivot:
                        ending.add(step.name)
                    continue
                cause = f"{item[0]}<{item[1]}"
                after = with_items(graph, Log(log.standing | {(word, cause)}, log.begun, log.ended | {item}))
                if after not in known:
                    assume(len(known) < LOGS_MAX)
                    known.add(after)
                    waiting.append(after)
    return ending, failing


@settings(max_examples=200, deadline=None)
@given(flows())
def test_every_failing_end_that_can_follow_a_pivot_is_told_and_every_step_beside_it_is_held(graph: Graph) -> None:
    ending, failing = played(graph)
    told = {mistake.words.partition(" ")[0] for mistake in failing_ends(graph)}
    assert ending <= told
    assert failing <= {step.name for step in graph.steps.values() if step.policy == "hold" and not step.pivot}


@settings(max_examples=200, deadline=None)
@given(flows())
def test_no_failing_end_is_told_that_cannot_follow(graph: Graph) -> None:
    ending, failing = played(graph)
    told = {mistake.words.partition(" ")[0] for mistake in failing_ends(graph)}
    assert told <= ending
    assert {step.name for step in graph.steps.values() if step.forward_only} <= failing


def flow_of(*steps: tuple[str, tuple[tuple[str, ...], ...], list[str]]) -> Graph:
    """A flow whose pivot is the step of that name; the words are numbers of events, and of ends with an f."""
    opening = step_of("open", (("random.begin",),), ["random.begun"])
    found = [
        step_of(name, tuple(tuple(f"random.{kind}" for kind in leg) for leg in legs), says, pivot=name == "pivot")
        for name, legs, says in [(name, legs, [f"random.{word}" for word in says]) for name, legs, says in steps]
    ]
    return with_policies(Graph("random", SCHEMA, (DOOR, OFFICE), DOOR, {step.name: step for step in (opening, *found)}))


def told_of(graph: Graph) -> list[str]:
    return [mistake.words.partition(" after")[0] for mistake in failing_ends(graph)]


def test_a_refusal_on_another_branch_than_the_pivot_is_no_mistake() -> None:
    branches = (("decide", (("begun",),), ["e0", "e1"]), ("pivot", (("e0",),), ["e2"]))
    assert told_of(flow_of(*branches, ("refuse", (("e1",),), ["f1"]))) == []
    far = (("inform", (("e1",),), ["e3"]), ("refuse", (("e3",),), ["f1"]))
    graph = flow_of(*branches, *far)
    assert told_of(graph) == []
    assert not graph.steps["refuse"].forward_only
    assert told_of(flow_of(*branches, ("refuse", (("begun",),), ["f1"]))) == ["refuse may say random.f1"]


def test_a_step_that_hears_an_event_of_two_causes_may_refuse_the_second_time() -> None:
    twice = (("one", (("begun",),), ["e0"]), ("other", (("begun",),), ["e0"]))
    graph = flow_of(*twice, ("judge", (("e0",),), ["e1", "f1"]), ("pivot", (("e1",),), ["e2"]))
    assert told_of(graph) == ["judge may say random.f1"]
    far = flow_of(
        *twice, ("pass", (("e0",),), ["e3"]), ("judge", (("e3",),), ["e1", "f1"]), ("pivot", (("e1",),), ["e2"])
    )
    assert told_of(far) == ["judge may say random.f1"]


def test_a_refusal_of_the_pivot_itself_is_no_mistake_and_beside_another_pivot_it_is() -> None:
    assert told_of(flow_of(("pivot", (("begun",),), ["e0", "f0"]))) == []
    graph = flow_of(("pivot", (("begun",),), ["e0"]), ("pay", (("begun",),), ["e1", "f1"]))
    steps = graph.steps | {"pay": step_of("pay", graph.steps["pay"].legs, ["random.e1", "random.f1"], pivot=True)}
    assert told_of(Graph("random", SCHEMA, (DOOR, OFFICE), DOOR, steps)) == ["pay may say random.f1"]


def test_a_refusal_before_the_pivot_is_no_mistake_also_through_a_join() -> None:
    branches = (("one", (("begun",),), ["e0", "f0"]), ("other", (("begun",),), ["e1", "f1"]))
    assert told_of(flow_of(*branches, ("both", (("e0",), ("e1",)), ["e2"]), ("pivot", (("e2",),), ["e3"]))) == []
    assert told_of(flow_of(*branches, ("pivot", (("e0",),), ["e3"]))) == ["other may say random.f1"]
