"""The shipped sagas and one more: what a deploy of a new saga brings."""

from consumers import app
from consumers.kinds import SagaKind
from tests.prove.errand.application import sagas as errands


def sagas() -> tuple[SagaKind, ...]:
    """`SOMA_APPLICATION=tests.integration.consumers.clickhouse.two_sagas:sagas`."""
    return (*app.sagas(), *errands())
