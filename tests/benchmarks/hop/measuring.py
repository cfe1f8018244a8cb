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

from consumers.runtime.journal import Journal
from consumers.runtime.speaking import outgoing
from consumers.runtime.utterances import Utterance
from consumers.runtime.view import View, view_of
from consumers.topics import apply
from deploy.local.kafka import EmbeddedKafka
from producers.headers import traceparent_of
from producers.records import Outgoing, partition_of
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
    openings = _openings(number)
    before = process.cpu_times()
    began = time.perf_counter()
    _publish(kafka, topic, openings)
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
    openings = _openings(number)
    published: dict[bytes | None, float] = {}
    answered: dict[bytes | None, float] = {}
    begin = time.perf_counter()
    while len(answered) < number:
        if len(published) < number and time.perf_counter() >= begin + len(published) / LOW_LOAD_PER_SECOND:
            opening = openings[len(published)]
            published[opening.key] = time.perf_counter()
            _produce(producer, EVENTS, opening)
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


def _openings(number: int) -> list[Outgoing]:
    """As many sagas begun, in the very records in which their door says so."""
    (hop,) = sagas()
    door = view_of(hop.graph, hop.graph.door)
    return [_opening(door, f"hop-{next(_NUMBERS):08d}") for _ in range(number)]


def _opening(door: View, saga_id: str) -> Outgoing:
    command_id = f"start/{saga_id}"
    journal = Journal(saga_id, "default", saga_id, traceparent_of(saga_id, command_id))
    now = time.time()
    opened = Utterance(HopOpened(saga_id=saga_id), command_id, started_at=now)
    (record,) = outgoing(journal, door, partition_of(saga_id.encode(), PARTITIONS), opened, now)
    return record


def _publish(kafka: EmbeddedKafka, topic: str, openings: list[Outgoing]) -> None:
    producer = _producer(kafka)
    for opening in openings:
        _produce(producer, topic, opening)
    if producer.flush(60):
        raise RuntimeError("not every record was written")


def _produce(producer: Producer, topic: str, opening: Outgoing) -> None:
    producer.produce(topic, opening.value, opening.key, opening.partition, headers=list(opening.headers))
