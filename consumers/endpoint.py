"""What a worker tells over HTTP: `/metrics` for Prometheus, `/health` for whoever restarts it.

It answers from the loop that the lanes run on: a worker whose loop hangs does not answer, and that is the truth.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


@asynccontextmanager
async def endpoint(
    host: str, port: int | None, registry: CollectorRegistry, ill: Callable[[], list[str]]
) -> AsyncIterator[None]:
    """Listen while inside; with port 0 or none, do nothing. `ill` names what is wrong, one line each.

    Raises ValueError where the port cannot be listened at.
    """
    if not port:
        yield
        return

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def health(_: web.Request) -> web.Response:
        causes = ill()
        return web.json_response({"healthy": not causes, "causes": causes}, status=503 if causes else 200)

    pages = web.Application()
    pages.add_routes([web.get("/metrics", metrics), web.get("/health", health)])
    runner = web.AppRunner(pages, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ValueError(f"SOMA_WORKER_METRICS_PORT={port} cannot be listened at: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()
