"""One producer on three real brokers: its leader and its coordinator die, freeze and move, and it goes on."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition

from producers.brokers import Consumer
from producers.records import Outgoing
from producers.transactions import TransactionalProducer
from tests.faults.cluster import Cluster

SAID = "said.events"
GOES_ON_WITHIN_SECONDS = 75.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # A dead broker is replaced soon, or most of the test would be waiting.
    soon = {
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        # How long a coordinator waits for a frozen broker that is to mark a transaction.
        "request.timeout.ms": "5000",
    }
    with Cluster(tmp_path_factory.mktemp("cluster"), soon) as running:
        running.create(SAID, 3, {})
        running.wait_until_whole()
        yield running


@asynccontextmanager
async def writing(cluster: Cluster) -> AsyncIterator[list[bytes]]:
    """One producer writes numbers to all partitions, a transaction each, until the caller is done; yields what it has.

    The producer is never opened again: any error ends the test.
    """
    producer = TransactionalProducer({"bootstrap_servers": cluster.bootstrap_servers}, f"said.{time.monotonic()}")
    await producer.start()
    written: list[bytes] = []
    closing = asyncio.Event()

    async def write() -> None:
        while not closing.is_set():
            number = b"%d" % len(written)
            await producer.write([Outgoing(SAID, index, b"saga", number) for index in range(3)])
            written.append(number)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(write())
    caller = asyncio.current_task()
    assert caller is not None
    # What ends the producer ends the test, which then raises the producer's error.
    task.add_done_callback(lambda _: None if closing.is_set() else caller.cancel())
    try:
        try:
            yield written
        finally:
            closing.set()
            await task
        once = {(index, number): 1 for index in range(3) for number in written}
        assert await committed(cluster, len(written)) == Counter(once)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()


async def committed(cluster: Cluster, last: int) -> Counter[tuple[int, bytes]]:
    """How often each number of this test stands in each partition; they begin where the last test's end."""
    found: Counter[tuple[int, bytes]] = Counter()
    consumer = Consumer(bootstrap_servers=cluster.bootstrap_servers, isolation_level="read_committed")
    async with asyncio.timeout(GOES_ON_WITHIN_SECONDS), consumer:
        places = [TopicPartition(SAID, index) for index in range(3)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        runs: dict[int, list[bytes]] = {index: [] for index in range(3)}
        while not all(run.count(b"%d" % (last - 1)) for run in runs.values()):
            for place, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    if record.value == b"0":
                        runs[place.partition] = []
                    runs[place.partition].append(record.value or b"")
    for index, run in runs.items():
        found.update((index, one) for one in run)
    return found


async def goes_on(written: list[bytes]) -> None:
    """Wait until the producer has written some more."""
    already = len(written)
    async with asyncio.timeout(GOES_ON_WITHIN_SECONDS):
        while len(written) < already + 20:
            await asyncio.sleep(0.02)


Fault = Callable[[Cluster, list[bytes]], Awaitable[None]]


async def killed(cluster: Cluster, written: list[bytes]) -> None:
    cluster.kill(1)
    await goes_on(written)
    cluster.start(1)


async def frozen(cluster: Cluster, written: list[bytes]) -> None:
    cluster.freeze(2)
    await goes_on(written)
    cluster.thaw(2)


async def elected(cluster: Cluster, written: list[bytes]) -> None:
    # What a broker led that was away is led by another one until the preferred leaders are elected.
    cluster.kill(1)
    await goes_on(written)
    cluster.start(1)
    await asyncio.to_thread(cluster.wait_until_whole)
    before = cluster.leaders(SAID)
    await asyncio.to_thread(cluster.elect_preferred)
    assert cluster.leaders(SAID) != before


async def stopped(cluster: Cluster, written: list[bytes]) -> None:
    await asyncio.to_thread(cluster.stop, 3)
    await goes_on(written)
    cluster.start(3)


@pytest.mark.long
@pytest.mark.parametrize("fault", [killed, frozen, elected, stopped])
async def test_a_producer_goes_on_through_each_fault_of_a_broker_and_writes_nothing_twice(
    cluster: Cluster, fault: Fault
) -> None:
    async with writing(cluster) as written:
        await goes_on(written)
        await fault(cluster, written)
        await asyncio.to_thread(cluster.wait_until_whole)
        await goes_on(written)
