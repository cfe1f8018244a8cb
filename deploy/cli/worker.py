"""`soma worker`: carry the sagas' participants."""

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys

from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from consumers.kinds import SagaKind
from consumers.topics import TopicsDiffer
from consumers.worker import STUCK_EXIT_CODE, Worker
from deploy.cli.application import check_adapters, sagas_of
from deploy.cli.sink import instance_name
from deploy.local.files import write_whole
from deploy.local.places import Places
from producers.errors import FlowError, NotReachable, PositionLost
from producers.settings import Settings

log = logging.getLogger(__name__)

REACHABLE_WITHIN_SECONDS = 60.0
OPEN_WITHIN_SECONDS = 90.0
LOOK_EVERY_SECONDS = 1.0
# A loop that hangs sends no heartbeat: by then its partitions are long somebody else's.
HANGS_AFTER_SECONDS = 30.0
COLLECTOR_THRESHOLDS = (100_000, 20, 100)


def worker(settings: Settings, only: list[str], check: bool = False) -> int:
    """Carry the participants named, or all, until SIGTERM or SIGINT; blocks. `check` only checks the flows.

    Writes `SOMA_HOME/run/worker.ready` once every lane is open. Returns 0 after a signal, 2 where flows, names or
    topics are wrong, 3 where Kafka does not answer, 70 where a participant no longer polls. Where a step has blocked
    the event loop for 30 s, the process tells where it stood and ends with 1. Whoever supervises it starts it again.
    """
    try:
        kinds = sagas_of(settings)
        check_adapters(settings, kinds)
        if check:
            print(f"checked: {', '.join(kind.graph.saga for kind in kinds)}", file=sys.stderr)
            return 0
        places = Places.of(settings.home)
        places.run.mkdir(parents=True, exist_ok=True)
        name = f"worker-{'-'.join(sorted(only))}" if only else "worker"
        with instance_name(places.run / f"{name}.lock", places.home) as instance:
            return asyncio.run(_carry(settings, kinds, only, places, f"{instance or os.getpid()}"))
    except (FlowError, PositionLost, TopicsDiffer, ValueError) as error:
        return _refuse(str(error), 2)
    except (KafkaError, NotReachable) as error:
        return _refuse(f"Kafka at {settings.bootstrap_servers} does not answer: {error}; is the stack up?", 3)


async def _carry(settings: Settings, kinds: tuple[SagaKind, ...], only: list[str], places: Places, member: str) -> int:
    carried = Worker(settings, kinds, only, member)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    retrying = AsyncRetrying(
        wait=wait_exponential(0.1, max=2),
        stop=stop_after_delay(REACHABLE_WITHIN_SECONDS),
        retry=retry_if_exception_type((KafkaError, OSError)),
        reraise=True,
    )
    await retrying(carried.start)
    if not await carried.is_ready(OPEN_WITHIN_SECONDS):
        raise NotReachable("not every lane could be opened in time")
    spare_the_collector()
    ready = places.ready_file("worker")
    write_whole(ready, {"pid": os.getpid(), "participants": carried.participants})
    log.info("worker.ready", extra={"participants": carried.participants})
    try:
        while not stopping.is_set():
            feed_watchdog(HANGS_AFTER_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_EVERY_SECONDS)
            carried.raise_failure()
            if not carried.is_polling():
                log.error("worker.no_longer_polls")
                os._exit(STUCK_EXIT_CODE)
        # A drain has a deadline of its own.
        faulthandler.cancel_dump_traceback_later()
        await carried.stop()
    finally:
        faulthandler.cancel_dump_traceback_later()
        ready.unlink(missing_ok=True)
    return 0


def feed_watchdog(seconds: float) -> None:
    """Called by the event loop: unless it is called again within so many seconds, the process ends with 1.

    Before that it tells on stderr what every thread was doing. It needs neither the loop nor the interpreter's lock.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def spare_the_collector() -> None:
    """Journals live long and hold no cycles: looking through all of them every few thousand records finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _refuse(words: str, exit_code: int) -> int:
    log.error("worker.refused", extra={"cause": words})
    print(f"soma worker: {words}", file=sys.stderr, flush=True)
    return exit_code
