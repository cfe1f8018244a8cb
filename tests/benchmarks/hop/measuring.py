"""Hops per second and processor time per hop, of a participant and of the bare loop, over the same records."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumers.topics import apply
from deploy.local.kafka import EmbeddedKafka
from producers.headers import headers_for
from producers.settings import Settings
from tests.benchmarks.figures import Figures, percentile
from tests.benchmarks.hop.application import WORKER, HopOpened, sagas
from tests.benchmarks.hop.bare import INPUT, OUTPUT
from tests.benchmarks.stack import broker, workers

PARTITIONS = 4
EVENTS = "hop.events"
APPLICATION = "tests.benchmarks.hop.application:sagas"
LOW_LOAD_PER_SECOND = 20.0
_NUMBERS = count()


def measure(runs: int, number: int, low_load_number: int) -> Figures:
    """`number` records at once for each run, and `low_load_number` at an even, low rate."""
    figures = Figures()
    with broker() as kafka:
        settings = Settings(home=kafka.folder, kafka_bootstrap_servers=kafka.bootstrap_servers, partitions=PARTITIONS)
        asyncio.run(apply(settings, sagas()))
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (INPUT, OUTPUT)]).values():
            made.result()
        for _ in range(runs):
            with workers(kafka, PARTITIONS, [[WORKER]], APPLICATION) as (worker,):
                # What is said lies behind what is heard, in the same topic.
                rate, cpu_us = _flood(kafka, EVENTS, EVENTS, number, 2, worker.pid)
                figures.note("hops_per_second", rate)
                figures.note("hop_cpu_us", cpu_us)
                milliseconds = _at_low_load(kafka, low_load_number)
                figures.note("hop_p50_ms", percentile(milliseconds, 50))
                figures.note("hop_p99_ms", percentile(milliseconds, 99))
            with _bare(kafka) as pid:
                bare_rate, bare_cpu_us = _flood(kafka, INPUT, OUTPUT, number, 1, pid)
                figures.note("bare_per_second", bare_rate)
                figures.note("bare_cpu_us", bare_cpu_us)
            figures.note("hop_ratio", rate / bare_rate)
    return figures


@contextmanager
def _bare(kafka: EmbeddedKafka) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.benchmarks.hop.bare", kafka.bootstrap_servers]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        if running.stdout.readline() != "ready\n":
            raise RuntimeError("the bare loop did not start")
        yield running.pid
    finally:
        running.terminate()
        running.wait()


def _flood(
    kafka: EmbeddedKafka, topic: str, answers: str, number: int, records_each: int, pid: int
) -> tuple[float, float]:
    """Answers per second, from the first record published to the last answer read; and processor time of each."""
    process = psutil.Process(pid)
    reader = _reader(kafka, answers)
    before = process.cpu_times()
    began = time.perf_counter()
    _publish(kafka, topic, number)
    left = number * records_each
    while left:
        found = reader.consume(10_000, timeout=0.02)
        left -= sum(1 for message in found if not message.error())
        if time.perf_counter() - began > 120 or not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"{left} answers are missing")
    seconds = time.perf_counter() - began
    after = process.cpu_times()
    reader.close()
    return number / seconds, (after.user + after.system - before.user - before.system) / number * 1e6


def _at_low_load(kafka: EmbeddedKafka, number: int) -> list[float]:
    """Milliseconds from each record published to its answer read."""
    reader = _reader(kafka, EVENTS, wait_ms=10)
    producer = _producer(kafka)
    published: dict[bytes, float] = {}
    answered: dict[bytes, float] = {}
    begin = time.perf_counter()
    while len(answered) < number:
        if len(published) < number and time.perf_counter() >= begin + len(published) / LOW_LOAD_PER_SECOND:
            key, value, headers = _opening()
            published[key] = time.perf_counter()
            producer.produce(EVENTS, value, key, headers=headers)
            producer.poll(0)
        for message in reader.consume(100, timeout=0.001):
            raw: Any = message
            if not raw.error() and dict(raw.headers())["ce_type"] != b"hop.opened" and raw.key() in published:
                answered.setdefault(raw.key(), time.perf_counter())
        if time.perf_counter() - begin > 300:
            raise RuntimeError(f"{number - len(answered)} answers are missing")
    reader.close()
    return [(answered[key] - at) * 1_000 for key, at in published.items()]


def _reader(kafka: EmbeddedKafka, topic: str, wait_ms: int = 50) -> Consumer:
    """Reads what is committed from now on."""
    reader = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "watcher",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": wait_ms,
            "log_level": 0,
        }
    )
    ends = []
    for index in range(PARTITIONS):
        _, end = reader.get_watermark_offsets(TopicPartition(topic, index), timeout=10)
        ends.append(TopicPartition(topic, index, end))
    reader.assign(ends)
    return reader


def _producer(kafka: EmbeddedKafka) -> Producer:
    return Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )


def _opening() -> tuple[bytes, bytes, list[tuple[str, str | bytes | None]]]:
    saga_id = f"hop-{next(_NUMBERS):08d}"
    opened = HopOpened(saga_id=saga_id, participants=("hop.door", WORKER))
    headers = headers_for(
        wire_type="hop.opened",
        message_id=f"opened/{saga_id}",
        source="hop.door",
        saga_id=saga_id,
        at=time.time(),
        correlation=saga_id,
        causation=f"start/{saga_id}",
        tenant="default",
    )
    return saga_id.encode(), opened.model_dump_json(exclude={"saga_id"}).encode(), list(headers)


def _publish(kafka: EmbeddedKafka, topic: str, number: int) -> None:
    producer = _producer(kafka)
    for _ in range(number):
        key, value, headers = _opening()
        producer.produce(topic, value, key, headers=headers)
    if producer.flush(60):
        raise RuntimeError("not every record was written")
