"""PURE: the hub as an AsyncAPI 3 document, made of the message classes and the flows.

FastStream can make one of its subscribers, and we do not use it: it knows one message per channel (its payload a oneOf
of whatever the handlers accept), no headers and no key, and it repeats a channel for every group that hears it. Here
four topics carry all messages of a saga, told apart by `ce_type`; a reader wants each of them by name, with its key,
its headers, and who hears and says it. That is what the graph knows; what remains is to write it down.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from consumers.kinds import SagaKind
from consumers.runtime.graph import Graph
from consumers.topic_rules import TopicKind, settings_of
from consumers.tracker.ledger import tracker_of
from schemas.dead_letter import letter_types
from schemas.engine import EngineEvent, engine_messages
from schemas.message import Command, CompensatingEvent, Completion, FailingEnd, Message, Opening, Question, Refusal
from schemas.status import SagaStatus

Document = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
BINDING_VERSION = "0.5.0"
# The numbers that AsyncAPI's binding has words for.
TOPIC_LIMITS = ("retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes")
KEY = {"type": "string", "minLength": 1, "maxLength": 200, "description": "The saga's id, UTF-8."}
HEADERS: Document = {
    "type": "object",
    "description": "A CloudEvent 1.0 in Kafka's binary mode.",
    "properties": {
        "content-type": {"type": "string", "const": "application/json"},
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {
            "type": "string",
            "maxLength": 500,
            "description": "Names a command together with ce_source. Without it the record's place does.",
        },
        "ce_source": {
            "type": "string",
            "description": "The publisher of a command; the participant that emits an event.",
        },
        "ce_type": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The saga's id."},
        "ce_correlationid": {"type": "string"},
        "ce_causationid": {"type": "string", "description": "The id of the message that led to this one."},
        "ce_causationkey": {
            "type": "string",
            "description": "<id>@<source> of the command that led to this one, where it names its source.",
        },
        "ce_tenant": {"type": "string"},
        "ce_round": {"type": "string", "pattern": "^[0-9]+$"},
        "ce_attempt": {"type": "string", "pattern": "^[0-9]+$"},
        "ce_startedat": {"type": "string", "format": "date-time"},
        "ce_forwardedfrom": {"type": "string", "description": "Where a command stood that was on another partition."},
        "traceparent": {"type": "string", "description": "W3C trace context."},
    },
    "required": ["ce_type"],
}
# The most telling kind comes first.
KINDS: tuple[tuple[type[Message], str], ...] = (
    (Command, "command"),
    (Refusal, "refusal"),
    (FailingEnd, "failing end"),
    (Completion, "completion"),
    (CompensatingEvent, "compensating event"),
    (Opening, "opening"),
    (Question, "question"),
    (EngineEvent, "engine event"),
)


def wire_models(kinds: Iterable[SagaKind]) -> dict[str, type[BaseModel]]:
    """Everything a record can carry, by wire type."""
    models: dict[str, type[BaseModel]] = {}
    for kind in kinds:
        saga = kind.graph.saga
        models |= kind.graph.schema.messages
        models |= {f"{saga}.status": SagaStatus} | letter_types(saga)
    return models


def schema_of(model: type[BaseModel]) -> Document:
    """One message as a JSON Schema that stands alone."""
    return {"$schema": DRAFT} | _keyed(model, model.model_json_schema(mode=_mode(model)))


def document(kinds: tuple[SagaKind, ...], version: str) -> Document:
    """The whole hub as AsyncAPI 3.0."""
    models = wire_models(kinds)
    classes = sorted(set(models.values()), key=lambda model: model.__name__)
    references, defined = models_json_schema(
        [(model, _mode(model)) for model in classes], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Document] = {"Headers": HEADERS} | defined["$defs"]
    by_class = {model: references[model, _mode(model)] for model in classes}
    for model, reference in by_class.items():
        name = reference["$ref"].rpartition("/")[2]
        schemas[name] = _keyed(model, schemas[name])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SomaAgentHub",
            "version": version,
            "description": (
                "Sagas that run by themselves on Kafka: publish a command, follow the status. A publisher needs only"
                " the key, the header ce_type and the JSON; everything else has a default."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: one for kind in kinds for name, one in _channels(kind.graph).items()},
        "operations": {name: one for kind in kinds for name, one in _operations(kind.graph).items()},
        "components": {
            "messages": {name: _message(name, model, by_class[model]) for name, model in sorted(models.items())},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _mode(model: type[BaseModel]) -> JsonSchemaMode:
    return "validation" if issubclass(model, Command) else "serialization"


def _keyed(model: type[BaseModel], schema: Document) -> Document:
    """A command's saga id is the record's key; its body may leave it out."""
    if not issubclass(model, Command):
        return schema
    return schema | {"required": [name for name in schema.get("required", ()) if name != "saga_id"]}


def _message(wire_type: str, model: type[BaseModel], payload: Document) -> Document:
    words = (model.__doc__ or "").strip()
    told: Document = {
        "name": wire_type,
        "title": model.__name__,
        "summary": words.partition("\n")[0],
        "contentType": "application/json",
        "tags": [{"name": next((name for kind, name in KINDS if issubclass(model, kind)), "event")}],
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/Headers"}, {"properties": {"ce_type": {"const": wire_type}}}],
        },
        "payload": payload,
        "bindings": {"kafka": {"key": KEY, "bindingVersion": BINDING_VERSION}},
    }
    if issubclass(model, CompensatingEvent):
        told["x-undoes"] = model.undoes.wire_type
    return told


def _channels(graph: Graph) -> dict[str, Document]:
    schema, topics = graph.schema, graph.schema.topics
    return {
        topics.commands: _channel(
            topics.commands, "What the hub is asked to do; publish here.", sorted(schema.commands()), TopicKind.COMMANDS
        ),
        topics.events: _channel(
            topics.events, "What has happened, in order.", sorted(schema.events()), TopicKind.EVENTS
        ),
        topics.status: _channel(
            topics.status, "Where each saga stands; the last word per key.", [f"{graph.saga}.status"], TopicKind.STATUS
        ),
        topics.dead: _channel(
            topics.dead,
            "Records that nobody could use, messages on which a step spent its budget, and what was decided of them.",
            sorted(letter_types(graph.saga)),
            TopicKind.DEAD,
        ),
    }


def _channel(topic: str, summary: str, types: list[str], kind: TopicKind) -> Document:
    settings = settings_of(kind, replicas=1)
    limits = {name: int(settings[name]) for name in TOPIC_LIMITS if name in settings}
    return {
        "address": topic,
        "summary": summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        "bindings": {
            "kafka": {
                "topic": topic,
                "topicConfiguration": {"cleanup.policy": [settings["cleanup.policy"]]} | limits,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operations(graph: Graph) -> dict[str, Document]:
    schema, topics = graph.schema, graph.schema.topics
    engines_own = {name for name, kind in engine_messages(graph.saga).items() if issubclass(kind, EngineEvent)}
    found: dict[str, Document] = {}
    for participant in graph.participants:
        steps = graph.steps_of(participant).values()
        heard = {name for step in steps for leg in step.legs for name in leg}
        said = {name for step in steps for name in step.says}
        said |= {kind.wire_type for step in steps if step.undo for kind in step.undo.signature.says}
        commands = set(schema.commands())
        events = (heard - commands) | engines_own
        if participant == graph.door:
            found[f"{participant}.commands"] = _operation("receive", participant, topics.commands, commands)
        found[f"{participant}.hears"] = _operation("receive", participant, topics.events, events)
        found[f"{participant}.says"] = _operation("send", participant, topics.events, said | engines_own)
        found[f"{participant}.parks"] = _operation("send", participant, topics.dead, {f"{graph.saga}.dead.letter"})
    tracker = tracker_of(graph.saga)
    found[f"{tracker}.hears"] = _operation("receive", tracker, topics.events, set(schema.events()))
    found[f"{tracker}.says"] = _operation("send", tracker, topics.status, {f"{graph.saga}.status"})
    return found


def _operation(action: str, participant: str, topic: str, types: set[str]) -> Document:
    told: Document = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in sorted(types)],
        "tags": [{"name": participant}],
    }
    if action == "receive":
        group = {"type": "string", "const": participant}
        told["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING_VERSION}}
    return told
