"""A TCP proxy before the broker. Killed, it cuts every connection at once; frozen, it swallows all that is sent."""

import asyncio
import contextlib
import sys

CHUNK_BYTES = 256 * 1024


async def serve(port: int, target_port: int) -> None:
    """Pass on every connection to `port` until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port, limit=CHUNK_BYTES)
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
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
