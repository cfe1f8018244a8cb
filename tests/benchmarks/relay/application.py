"""What a worker carries when `SOMA_APPLICATION=tests.benchmarks.relay.application:sagas`."""

from consumers.kinds import SagaKind, saga_kind

from .schema import SCHEMA
from .steps import FLOW, Effects, NoEffects
from .undos import UNDOS


def sagas() -> tuple[SagaKind, ...]:
    """The relay, alone."""
    return (saga_kind(FLOW, UNDOS, SCHEMA, lambda settings: {Effects: NoEffects()}),)
