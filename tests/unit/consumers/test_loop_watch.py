"""A loop that is late is noticed, whatever has blocked it."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from consumers.loop_watch import TICK_SECONDS, LoopWatch


async def test_what_blocks_the_loop_for_long_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    late = iter([0.0, 0.15, 0.5, 0.0, 2.0])

    async def sleep(seconds: float) -> None:
        nonlocal now
        if (more := next(late, None)) is None:
            raise asyncio.CancelledError
        now += seconds + more

    registry, watch = CollectorRegistry(), LoopWatch()
    registry.register(watch)
    assert registry.get_sample_value("soma_worker_loop_blocked_seconds_total") == 0
    with pytest.raises(asyncio.CancelledError):
        await watch.watch(sleep, lambda: now)
    assert registry.get_sample_value("soma_worker_loop_blocked_seconds_total") == pytest.approx(2.5)
    told = [record.__dict__["seconds"] for record in caplog.records if record.getMessage() == "worker.loop_blocked"]
    assert told == [0.5, 2.0]
    assert TICK_SECONDS < 0.2
