"""`soma sink`: every record of the sagas' topics into ClickHouse."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path

from aiokafka.errors import KafkaError
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client import CollectorRegistry
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential,
)

import deploy
from consumers.clickhouse.connecting import is_retryable
from consumers.clickhouse.diagnosis import ACCESS_DENIED, LOGIN_CODES, clickhouse_failure
from consumers.clickhouse.errors import AnotherCluster, NoDeduplication, SinkError
from consumers.clickhouse.kafka import GROUP, SinkCluster, cluster_with, member_name, new_consumer, topics_of
from consumers.clickhouse.landing import Landing
from consumers.clickhouse.metrics import SinkMetrics
from consumers.clickhouse.schema import (
    Window,
    mend_schema,
    note_types,
    prepare_schema,
    smallest_window,
    tie_to_cluster,
)
from consumers.clickhouse.sink import DEFAULT_OPTIONS, Options, Sink
from deploy.cli.application import sagas_of
from deploy.local.errors import StackError
from deploy.local.files import read_object, write_whole
from deploy.local.places import Places
from producers.diagnosis import kafka_failure
from producers.errors import ConnectionFailed, FlowError, Misconfigured, TimedOut
from producers.settings import Settings
from schemas.topics import SagaSchema

log = logging.getLogger(__name__)

WAIT_FOR_SERVERS_SECONDS = 60.0
SCHEMA_FOLDER = Path(deploy.__file__).parent / "clickhouse"


def sink(settings: Settings, registry: CollectorRegistry | None = None, options: Options = DEFAULT_OPTIONS) -> int:
    """Run the sink until SIGTERM or SIGINT; blocks. Writes `SOMA_HOME/run/sink.ready` once it reads.

    Returns:
        0 after a signal, 1 where it cannot go on without a person or a restart, 2 where the tables or the Kafka cluster
        are not what they must be, 3 where the store or Kafka does not answer.
    """
    places = Places.of(settings.home)
    try:
        places.run.mkdir(parents=True, exist_ok=True)
        with instance_name(places.run / "sink.lock", places.home) as instance:
            asyncio.run(run_sink(settings, places, registry or CollectorRegistry(), options, instance))
    except (AnotherCluster, NoDeduplication, FlowError) as refused:
        return refuse(str(refused), 2)
    except SinkError as refused:
        return refuse(str(refused), 1)
    except ClickHouseError as refused:
        return refuse(str(clickhouse_failure(settings, refused)), 3 if is_retryable(refused) else 1)
    except (ConnectionFailed, Misconfigured, TimedOut) as refused:
        return refuse(str(refused), refused.exit_code)
    except KafkaError as refused:
        return refuse(str(asyncio.run(kafka_failure(settings, refused))), 3)
    except StackError as refused:
        return refuse(str(refused), refused.exit_code)
    finally:
        if read_object(places.ready_file("sink")).get("pid") == os.getpid():
            places.ready_file("sink").unlink(missing_ok=True)
    return 0


def refuse(words: str, exit_code: int) -> int:
    """Tell the person and the log."""
    log.error("sink.refused", extra={"cause": words})
    print(f"soma sink: {words}", file=sys.stderr, flush=True)
    return exit_code


async def run_sink(
    settings: Settings, places: Places, registry: CollectorRegistry, options: Options, instance: str | None
) -> None:
    """Wait for the store and Kafka, check the tables, run; a signal ends all of it."""
    starting = asyncio.current_task()
    asked_to_stop = threading.Event()
    sagas = {kind.graph.saga: kind.graph.schema for kind in sagas_of(settings)}
    topics = topics_of(sagas.values())

    def on_signal() -> None:
        asked_to_stop.set()
        if runs is not None:
            runs.stopping.set()
        elif starting is not None:
            starting.cancel()

    runs: Sink | None = None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        client, window = await asyncio.to_thread(patiently(asked_to_stop), prepare_tables, settings, sagas)
        cluster_id = await cluster_of(settings, topics)
        await asyncio.to_thread(tie_to_cluster, client, cluster_id)
        announce = partial(write_whole, places.ready_file("sink"), {"pid": os.getpid(), "participants": []})
        mend = partial(mend_schema, client, SCHEMA_FOLDER, settings.clickhouse_cluster)
        landing = await asyncio.to_thread(
            Landing, client, owner_name(), window, 60.0, cluster_id, settings.clickhouse_cluster, mend
        )
        for target in await asyncio.to_thread(landing.unchecked):
            log.warning("sink.target.unchecked", extra={"target": target, "cause": "its rows do not name their batch"})
        consumer = new_consumer(settings, member_name(instance, topics) if instance else None)
        cluster = SinkCluster(settings, consumer, topics, GROUP)
        runs = Sink(consumer, cluster, landing, topics, SinkMetrics(registry), options, announce)
        await cluster.start()
        try:
            await runs.run()
        finally:
            await cluster.stop()


def owner_name() -> str:
    """This sink's life, as other sinks and people read it."""
    return f"{GROUP}@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def patiently(asked_to_stop: threading.Event) -> Retrying:
    """Calls again while the store is not there yet: for a minute, or until asked to stop."""
    return Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_delay(WAIT_FOR_SERVERS_SECONDS) | stop_when_event_set(asked_to_stop),
        wait=wait_exponential(multiplier=0.1, max=2.0),
        sleep=sleep_using_event(asked_to_stop),
        before_sleep=tell_of_waiting,
        reraise=True,
    )


async def cluster_of(settings: Settings, topics: list[str]) -> str:
    """The Kafka cluster's id, once it answers (at most a minute) and has the topics (however long that takes)."""

    async def attempt() -> str:
        try:
            return await cluster_with(settings, topics)
        except (KafkaError, OSError) as error:
            raise await kafka_failure(settings, error) from error

    retrying = AsyncRetrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_delay(WAIT_FOR_SERVERS_SECONDS),
        wait=wait_exponential(multiplier=0.1, max=2.0),
        before_sleep=tell_of_waiting,
        reraise=True,
    )
    return await retrying(attempt)


def may_pass(error: BaseException) -> bool:
    """Whether trying again may help. PURE."""
    return is_retryable(error) or (isinstance(error, ConnectionFailed | TimedOut) and error.may_pass)


def tell_of_waiting(state: RetryCallState) -> None:
    """Log what is waited for, from the first attempt on."""
    log.warning("sink.waits", extra={"cause": str(state.outcome.exception()) if state.outcome is not None else ""})


def prepare_tables(settings: Settings, sagas: Mapping[str, SagaSchema]) -> tuple[Client, Window]:
    """Tables as they must be: a client of them, and their deduplication window. Blocks.

    Raises `ConnectionFailed` where the store cannot be used, the client's own error for a statement that it refuses.
    """
    try:
        client = prepare_schema(
            settings.store_url.get_secret_value(),
            settings.clickhouse_database,
            SCHEMA_FOLDER,
            settings.clickhouse_cluster,
        )
        window = smallest_window(client)
        note_types(client, sagas)
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        if code is None or code in LOGIN_CODES or code == ACCESS_DENIED:
            raise clickhouse_failure(settings, error) from error
        raise
    return client, window


@contextmanager
def instance_name(lock_file: Path, home: Path) -> Iterator[str | None]:
    """A name for this home's sink in the group, or None while another sink of this home has it.

    With the name, a sink that was killed gets its partitions back at once instead of after the session's timeout.
    """
    with lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        place = blake2b(f"{socket.gethostname()}:{home}".encode(), digest_size=6).hexdigest()
        yield f"{GROUP}.{place}"
