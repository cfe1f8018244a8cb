"""A mail server that delivers to nobody: what it accepts is kept as a Maildir, for people and tests to look at."""

import argparse
import asyncio
import mailbox
import signal
import socket
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.ports import LOOPBACK

MOST_MESSAGE_BYTES = 32 * 1024 * 1024
PROBE_TIMEOUT_SECONDS = 1.0


class MaildirDelivery:
    """Keeps each message in a Maildir; the sender hears `250` only after it lies there whole.

    The envelope's sender and recipients are kept as `Return-Path` and `Delivered-To`, so blind copies can be seen too.
    """

    def __init__(self, folder: Path) -> None:
        for name in ("tmp", "new", "cur"):
            # mailbox would make these only together with the folder itself.
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._maildir = mailbox.Maildir(folder, create=False)
        self._maildir.clean()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        body = content if isinstance(content, bytes) else (content or "").encode()
        trace = f"Return-Path: <{envelope.mail_from or ''}>\r\n" + "".join(
            f"Delivered-To: {recipient}\r\n" for recipient in envelope.rcpt_tos
        )
        try:
            # Written below tmp/ and moved to new/: a reader never sees half a message.
            name = self._maildir.add(trace.encode() + body)
        except OSError as error:
            return f"452 the message was not kept: {error.strerror}"
        return f"250 kept as {name}"


async def serve_mail(port: int, folder: Path, stopping: asyncio.Event) -> None:
    """Accept mail on the loopback interface until told to stop."""
    delivery = MaildirDelivery(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            delivery, hostname="localhost", data_size_limit=MOST_MESSAGE_BYTES, enable_SMTPUTF8=True, loop=loop
        ),
        LOOPBACK,
        port,
        reuse_address=True,
    )
    try:
        await stopping.wait()
    finally:
        server.close()


def mail_answers(port: int) -> bool:
    """Whether a mail server greets at this port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PROBE_TIMEOUT_SECONDS) as connection:
            greeting = connection.recv(4)
            connection.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220")
    except OSError:
        return False


async def _until_terminated(port: int, folder: Path) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await serve_mail(port, folder, stopping)


def main() -> None:
    """`python -m deploy.local.mail --port N --folder F`: serve until SIGTERM."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    chosen = arguments.parse_args()
    asyncio.run(_until_terminated(chosen.port, chosen.folder))


if __name__ == "__main__":
    main()
