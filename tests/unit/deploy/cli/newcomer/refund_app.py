"""The composition root of a hub that runs refunds, and nothing else."""

from consumers.kinds import SagaKind, saga_kind
from producers.settings import Settings
from schemas.topics import schema_of
from tests.unit.deploy.cli.newcomer import refund_words
from tests.unit.deploy.cli.newcomer.refund_ports import Addresses, Bank, Ledger, Mail, Printer
from tests.unit.deploy.cli.newcomer.refund_steps import FLOW, UNDOS


class Anything:
    """Stands behind every port of the refund, and does nothing."""

    async def reserve(self, key: str, cents: int) -> None: ...

    async def release(self, key: str) -> None: ...

    async def print(self, key: str) -> None: ...

    async def shred(self, key: str) -> None: ...

    async def find(self, name: str) -> str:
        return "here"

    async def pay(self, key: str) -> None: ...

    async def send(self, key: str) -> None: ...


def adapters(settings: Settings) -> dict[type, object]:
    anything = Anything()
    return {
        Ledger: anything,
        Printer: anything,
        Addresses: anything,
        Bank: anything,
        Mail: anything,
    }


def sagas() -> tuple[SagaKind, ...]:
    return (saga_kind(FLOW, UNDOS, schema_of("refund", refund_words), adapters),)
