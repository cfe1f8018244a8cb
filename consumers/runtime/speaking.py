"""PURE: an utterance as records: the event on `<saga>.events`, and the dead letter that goes with a fatal one."""

import msgspec
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from consumers.runtime import dead_letters
from consumers.runtime.dead_letters import ERROR_CHARACTERS_MAX
from consumers.runtime.finishing import Blocked, Broke, Outcome, Spoke, Unfit
from consumers.runtime.journal import Item, Journal
from consumers.runtime.limits import CAUSE_CHARACTERS_IN_FULL, FULL_BYTES_MAX, JOURNAL_BYTES_MAX, Sizes, keeps_fact
from consumers.runtime.quarantine import CAUSE_CHARACTERS_MAX, encodable
from consumers.runtime.utterances import Utterance, wire_type_of
from consumers.runtime.view import View
from producers.headers import SPAN_CHARACTERS, headers_for, traceparent_of
from producers.identity import fact_id
from producers.records import Outgoing
from schemas.message import Event

EVENT_BYTES_MAX = 512 * 1024


def sayable(event: Event) -> Spoke | Broke:
    """The event with its body, measured before anything is begun; what cannot be said is the step's failure."""
    try:
        body = event.__pydantic_serializer__.to_json(event)
        # What cannot be read back (a NaN is written as null) would be thrown away by everybody who hears it.
        event.__pydantic_validator__.validate_json(body)
    except (PydanticSerializationError, ValidationError, UnicodeError) as error:
        return Broke("NotSayable", f"{type(event).__name__} does not survive JSON: {error}"[:2_000], permanent=True)
    if len(body) > EVENT_BYTES_MAX:
        cause = f"the step said {len(body)} bytes, an event has at most {EVENT_BYTES_MAX}"
        return Broke("MessageTooLarge", cause, permanent=True)
    return Spoke(event, body)


def fitting(outcome: Outcome, journal: Journal, view: View, item: Item, sizes: Sizes) -> Outcome:
    """The outcome as it can be told and kept: encodable, and no larger than the journal's record has room for."""
    if isinstance(outcome, Spoke) and outcome.event is not None:
        told = sayable(outcome.event)
        if isinstance(told, Spoke) and keeps_fact(view.steps.get(item.step), outcome.event.wire_type):
            if not sizes.has_room(journal, len(told.body), FULL_BYTES_MAX):
                cause = (
                    f"what it said is kept to be undone; with it the saga would have more than {FULL_BYTES_MAX} bytes"
                )
                return Broke("JournalFull", f"{cause} of state", permanent=True)
            sizes.add(journal.saga_id, len(told.body))
        return told
    if isinstance(outcome, Unfit):
        return Unfit(encodable(outcome.sentence)[:CAUSE_CHARACTERS_IN_FULL])
    if isinstance(outcome, Broke | Blocked):
        is_crowded = sizes.bytes_at_most(journal.saga_id) > JOURNAL_BYTES_MAX
        cause = encodable(outcome.cause)[: CAUSE_CHARACTERS_IN_FULL if is_crowded else CAUSE_CHARACTERS_MAX]
        # Kept as the cause, and as what was told of it.
        sizes.add(journal.saga_id, 2 * len(cause.encode()))
        outcome = msgspec.structs.replace(outcome, cause=cause)
        if isinstance(outcome, Broke):
            return msgspec.structs.replace(outcome, error=encodable(outcome.error)[:ERROR_CHARACTERS_MAX])
    return outcome


def outgoing(journal: Journal, view: View, partition: int, utterance: Utterance, now: float) -> list[Outgoing]:
    """The records to write; all of one utterance stand in one transaction."""
    event, body = utterance.event, utterance.body
    wire_type = event.wire_type or wire_type_of(event, view.graph.saga)
    if wire_type in view.openings:
        graph = view.graph
        event = event.model_copy(update={"participants": graph.participants, "graph": graph.fingerprint})
        body = b""
    cause = utterance.cause or utterance.causation
    message_id = utterance.id or fact_id(journal.saga_id, wire_type, view.participant, cause)
    headers = headers_for(
        wire_type=wire_type,
        message_id=message_id,
        source=view.participant,
        saga_id=journal.saga_id,
        at=now,
        correlation=journal.correlation,
        causation=utterance.causation,
        cause=cause if cause != utterance.causation else "",
        tenant=journal.tenant,
        # The id is a digest already, which no other event shares.
        traceparent=traceparent_of(journal.saga_id, message_id, journal.traceparent, message_id[:SPAN_CHARACTERS]),
        attempt=utterance.attempt,
        started_at=utterance.started_at,
    )
    value = body or event.__pydantic_serializer__.to_json(event)
    said = [Outgoing(view.graph.schema.topics.events, partition, journal.saga_id.encode(), value, headers)]
    if utterance.fatal is not None:
        said.append(dead_letters.failed(utterance.fatal, view, journal.saga_id, partition, now))
    return said
