"""A TCP proxy before the broker. Killed, it cuts every connection at once; frozen, it swallows all that is sent.

`python -m tests.prove.proxy PORT FILE`; the file says where the broker listens, and is read for each connection.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from deploy.local.files import read_object

CHUNK_BYTES = 256 * 1024


async def serve(port: int, behind_file: Path) -> None:
    """Pass on every connection to `port` until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = read_object(behind_file).get("port")
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=CHUNK_BYTES)
    async with server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    # Whichever side has ended, the other one learns of it at once.
    writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
