"""What a worker tells over HTTP."""

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from consumers.endpoint import endpoint


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def test_figures_and_health_are_served(port: int) -> None:
    registry = CollectorRegistry()
    Gauge("soma_tales", "Tales.", registry=registry).set(3)
    causes: list[str] = []
    async with endpoint("127.0.0.1", port, registry, lambda: causes), aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
            assert "soma_tales 3.0" in await answer.text()
            assert answer.headers["Content-Type"].startswith("text/plain")
        async with client.get(f"http://127.0.0.1:{port}/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"healthy": True, "causes": []})
        causes.append("tale.door.3 is not open")
        async with client.get(f"http://127.0.0.1:{port}/health") as answer:
            assert (answer.status, await answer.json()) == (503, {"healthy": False, "causes": causes})


@pytest.mark.parametrize("nowhere", [0, None])
async def test_without_a_port_nothing_listens(nowhere: int | None) -> None:
    async with endpoint("no such host", nowhere, CollectorRegistry(), list):
        pass


async def test_a_port_that_is_taken_is_named(port: int) -> None:
    taken = endpoint("127.0.0.1", port, CollectorRegistry(), list)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ValueError, match=f"METRICS_PORT={port}"):
        await taken.__aenter__()


async def test_the_port_is_free_again_afterwards(port: int) -> None:
    for _ in range(2):
        async with endpoint("127.0.0.1", port, CollectorRegistry(), list):
            pass
