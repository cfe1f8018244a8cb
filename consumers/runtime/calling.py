"""Where a step's function is called: its arguments are gathered, its end is turned into an outcome."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from pydantic import ValidationError

from consumers.runtime.attempts import ATTEMPT, Attempt
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Unfit, Waits
from consumers.runtime.graph import Graph, Recall, Step, Undo
from consumers.runtime.journal import Fact, Item, Journal, idempotency_key
from consumers.runtime.lease import Lease, NotOwned
from consumers.runtime.memory import Work
from consumers.runtime.promptly import within
from consumers.runtime.steps import Call, Later
from consumers.runtime.transport import Clock
from producers.errors import DependencyDown
from producers.telemetry import step_context
from schemas.engine import CommandRefused
from schemas.message import Event, FailingEnd, Message

log = logging.getLogger(__name__)

CAUSE_CHARACTERS_MAX = 2_000
# A heartbeat a second proves it; until then the item waits, and spends nothing of its budget.
PROOF_SECONDS = 0.5
YEAR_3000_SECONDS = 32_503_680_000


class FactMissing(Exception):
    """A step wants an event that its saga does not have, or that this build cannot read."""


class Caller:
    """Calls the steps of one saga kind. `ports` must have every port that its signatures name.

    `blocked` counts, in seconds, what a step has kept the event loop in one stretch of more than 0.2 s.
    """

    def __init__(
        self,
        graph: Graph,
        ports: dict[type, object],
        clock: Clock,
        blocked: Callable[[Work, float], None] = lambda work, seconds: None,
    ) -> None:
        self._graph, self._ports, self._clock, self._blocked = graph, ports, clock, blocked
        self._tracer = trace.get_tracer("somaagenthub")
        # Without an SDK a span is an expensive nothing.
        self._is_traced = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

    async def __call__(self, work: Work) -> Outcome:
        """Run the item once; raises nothing but cancellation."""
        if not self._is_traced:
            return await self._run(work)
        attributes: dict[str, str | int] = {
            "soma.saga.id": work.journal.saga_id,
            "soma.step": work.owner.name,
            "soma.attempt": work.item.attempt,
        }
        with self._tracer.start_as_current_span(
            f"process {work.owner.name}", context=step_context(work.journal.traceparent), attributes=attributes
        ):
            return await self._run(work)

    async def _run(self, work: Work) -> Outcome:
        owner = work.owner
        attempt = Attempt()
        token = ATTEMPT.set(attempt)
        try:
            coroutine = owner.function(**self._arguments(work))
            said = await within(owner.timeout_seconds, coroutine, work.lease, self._note_blocked, work)
        except NotOwned:
            return Blocked("it is not proved that this worker still owns the lane", self._clock() + PROOF_SECONDS)
        except FactMissing as missing:
            # The checks let no flow pass in which this could be; so the flow was another one when the saga began.
            return Unfit(str(missing))
        except DependencyDown as down:
            return Blocked(str(down), down.retry_at)
        except TimeoutError:
            return Broke("StepTimedOut", f"no answer in {owner.timeout_seconds:g} s")
        except BaseException as error:
            if _is_asked_to_stop():
                raise
            return Broke(type(error).__name__, _words_of(error))
        finally:
            ATTEMPT.reset(token)
            if (attempt.threads or attempt.programs) and not attempt.is_over:
                log.warning("step.left_something_running", extra={"step": owner.name, "saga_id": work.journal.saga_id})
                # A second cancellation must not report the end of an attempt that has not ended.
                await asyncio.shield(attempt.ended())
        return self._outcome(work, said)

    def _note_blocked(self, work: Work, seconds: float) -> None:
        told = {
            "participant": work.owner.participant,
            "step": work.owner.name,
            "saga_id": work.journal.saga_id,
            "attempt": work.item.attempt,
            "seconds": round(seconds, 3),
        }
        log.warning("step.blocked_the_loop", extra=told)
        self._blocked(work, seconds)

    def _outcome(self, work: Work, said: object) -> Outcome:
        signature = work.owner.signature
        if isinstance(said, Later) and signature.may_wait:
            return _waiting(said)
        if said is None and signature.may_be_silent and not isinstance(work.owner, Undo):
            return Spoke(None)
        if isinstance(said, Event) and work.item.command and said.answers is not None:
            if said.answers.wire_type not in work.journal.facts:
                cause = f"{work.owner.name} answers {said.answers.wire_type}, which was not asked"
                return Broke("AnsweredUnasked", cause, permanent=True)
        if isinstance(said, FailingEnd) and isinstance(work.owner, Step):
            standing = sorted(work.owner.until & work.journal.facts.keys())
            if standing:
                return _too_late(work, said, standing[0])
        if isinstance(said, Event) and type(said) in signature.says and said.saga_id == work.journal.saga_id:
            return Spoke(said)
        cause = f"{work.owner.name} returned a {type(said).__name__} that it does not declare"
        return Broke("SaidUndeclared", cause, permanent=True)

    def _arguments(self, work: Work) -> dict[str, Any]:
        journal, item, signature = work.journal, work.item, work.owner.signature
        arguments: dict[str, Any] = {}
        # The name in the journal: a renamed step keeps its key.
        key_step = item.step
        owner = work.owner
        if isinstance(owner, Undo):
            undone = next(done for done in journal.done if done.item == item.undoes)
            arguments[signature.heard[0]] = self._decoded(undone.fact) if undone.fact else None
            key_step = undone.step
        elif owner.join_deadline_seconds is not None:
            for parameter, leg in zip(signature.heard, owner.legs, strict=True):
                arguments[parameter] = self._decoded(_leg_of(item, leg))
        else:
            arguments[signature.heard[0]] = work.message or self._decoded(item.message)
        for recall in signature.recalls:
            arguments[recall.parameter] = self._recalled(journal, recall)
        for parameter, kind in signature.ports:
            arguments[parameter] = LeasedPort(self._ports[kind], work.lease)
        if signature.call is not None:
            arguments[signature.call] = Call(
                key=idempotency_key(journal.saga_id, key_step, item.message.key),
                saga_id=journal.saga_id,
                message_id=item.message.id,
                tenant=journal.tenant,
                attempt=item.attempt,
                now=datetime.fromtimestamp(self._clock(), UTC),
            )
        return arguments

    def _recalled(self, journal: Journal, recall: Recall) -> Message | None:
        for wire_type in recall.types:
            fact = journal.facts.get(wire_type)
            if fact is not None:
                return self._decoded(fact)
        if recall.optional:
            return None
        raise FactMissing(f"{journal.saga_id} has not heard {' or '.join(recall.types)}")

    def _decoded(self, fact: Fact) -> Message:
        try:
            return self._graph.schema.messages[fact.type].model_validate_json(fact.body)
        except (KeyError, ValidationError) as error:
            raise FactMissing(f"{fact.type} of this saga cannot be read: {error!r}") from error


def _leg_of(item: Item, leg: tuple[str, ...]) -> Fact:
    found = item.leg(leg)
    if found is None:
        raise FactMissing(f"the join has not heard {' or '.join(leg)}")
    return found


class LeasedPort:
    """A port whose methods may only be called while the lease is held; anything else of it is passed on as it is."""

    def __init__(self, port: object, lease: Lease) -> None:
        self._port, self._lease = port, lease

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if callable(found):
            self._lease.check()
        return found


def _is_asked_to_stop() -> bool:
    """Whether the lane cancels this item; a step may also raise CancelledError on its own account."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # No loop runs any more: what is left is being collected.
        return True
    return task is None or task.cancelling() > 0


def _words_of(error: BaseException) -> str:
    try:
        return (str(error) or repr(error))[:CAUSE_CHARACTERS_MAX]
    except Exception:
        return f"a {type(error).__name__} that has no words"


def _too_late(work: Work, said: FailingEnd, standing: str) -> Spoke:
    """No failing end may follow a pivot: a command is refused instead, and a deadline passes."""
    if not work.item.command:
        return Spoke(None)
    reason = f"{standing} stands: from there the saga can only go forward, so {said.wire_type} is refused"
    return Spoke(CommandRefused(saga_id=work.journal.saga_id, command_id=work.item.message.id, reason=reason))


def _waiting(later: Later) -> Waits | Broke:
    try:
        until = later.at.timestamp() if later.at.tzinfo else -1.0
    except (ValueError, OverflowError, OSError):
        until = -1.0
    if not 0 <= until < YEAR_3000_SECONDS:
        return Broke("ImpossibleTime", f"cannot wait until {later.at!r}: give a time with its zone", permanent=True)
    return Waits(until)
