"""`soma store`: run the embedded store in the foreground."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.store import serve_store
from deploy.local.wiring import DEFAULT_PORTS
from producers.settings import Settings

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = DEFAULT_PORTS["clickhouse"]


def store(settings: Settings, port: int | None) -> int:
    """Serve `SOMA_HOME/clickhouse` on the loopback address until SIGTERM or SIGINT; blocks.

    Returns:
        0 after a signal, 2 where the folder cannot be used, 3 where it or the port is taken.
    """
    try:
        asyncio.run(serve_until_signalled(settings.home / "clickhouse", port or DEFAULT_PORT))
    except StackError as refused:
        print(f"soma store: {refused}", file=sys.stderr)
        return refused.exit_code
    except OSError as refused:
        print(f"soma store: cannot listen on {LOOPBACK}:{port or DEFAULT_PORT}: {refused.strerror}", file=sys.stderr)
        return 3
    return 0


async def serve_until_signalled(folder: Path, port: int) -> None:
    """Serve until the first SIGTERM or SIGINT, then finish what runs."""
    serving = asyncio.create_task(serve_store(folder, LOOPBACK, port))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    log.debug("store.starting", extra={"pid": os.getpid(), "folder": str(folder)})
    with contextlib.suppress(asyncio.CancelledError):
        await serving
