"""A state folder on a real disk, posts and mailings to put there, and a mail server that really speaks SMTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from PIL import Image

from consumers.campaign.adapters.post_office import PostOffice
from consumers.campaign.ports import Mailing, Post

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
RECIPIENTS = ("ada@example.org", "ben@example.org", "cleo@example.com")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "pictures" / "given").mkdir(parents=True)
    Image.new("RGB", (60, 20), "#123456").save(home / "pictures" / "given" / "banner.png")
    return home


@pytest.fixture
def post() -> Post:
    return Post("A title", "A summary", "Some text.", "pictures/given/banner.png", NOW)


@pytest.fixture
def mailing() -> Mailing:
    return Mailing("A subject", "Some text.", "pictures/given/banner.png", RECIPIENTS, NOW)


def files_of(home: Path) -> set[str]:
    """Every file below the state folder that somebody could see: no tombstones, and not the picture we brought."""
    found = {file.relative_to(home).as_posix() for file in home.rglob("*") if file.is_file()}
    return {name for name in found if not name.startswith(("undone/", "pictures/given/"))}


@dataclass
class MailServer:
    """Takes mail as told: `answers` has the next replies to a recipient, `closes_after` the messages a connection."""

    port: int = 0
    accepted: list[Envelope] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    loses_answer_to: set[str] = field(default_factory=set)
    closes_after: int = 1_000
    connections: int = 0

    @property
    def post_office(self) -> PostOffice:
        return PostOffice(f"smtp://127.0.0.1:{self.port}?from=news%40example.net")

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name, session.taken = hostname, 0
        return replies

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers.get(address):
            return self.answers[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        if session.taken >= self.closes_after:
            assert server.transport is not None
            server.transport.close()
            return "421 enough for now"
        session.taken += 1
        self.accepted.append(envelope)
        if envelope.rcpt_tos[0] in self.loses_answer_to:
            self.loses_answer_to.remove(envelope.rcpt_tos[0])
            assert server.transport is not None
            server.transport.close()
        return "250 taken"


@pytest_asyncio.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(server, enable_SMTPUTF8=True, hostname="mail.example.net"), "127.0.0.1", 0
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
