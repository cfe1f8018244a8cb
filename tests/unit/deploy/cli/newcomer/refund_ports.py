"""What the refund needs of the world outside."""

from typing import Protocol

from consumers.runtime.steps import ReadOnly


class Ledger(Protocol):
    async def reserve(self, key: str, cents: int) -> None: ...

    async def release(self, key: str) -> None: ...


class Printer(Protocol):
    async def print(self, key: str) -> None: ...

    async def shred(self, key: str) -> None: ...


class Addresses(ReadOnly, Protocol):
    async def find(self, name: str) -> str: ...


class Bank(Protocol):
    async def pay(self, key: str) -> None: ...


class Mail(Protocol):
    async def send(self, key: str) -> None: ...
