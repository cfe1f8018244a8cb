"""`soma worker`: carry the sagas' participants."""

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_exponential

from consumers.kinds import SagaKind
from consumers.topics import TopicsDiffer
from consumers.worker import STUCK_EXIT_CODE, Worker
from deploy.cli.application import check_adapters, sagas_of
from deploy.cli.in_flight import as_json as json_of
from deploy.cli.in_flight import compare, tell
from deploy.cli.talking import Invalid, guarded, say, show
from deploy.local.errors import StackError
from deploy.local.files import read_object, write_whole
from deploy.local.members import member_name, worker_program
from deploy.local.places import Places
from producers.diagnosis import kafka_failure
from producers.errors import (
    ConnectionFailed,
    FlowError,
    Misconfigured,
    TimedOut,
)
from producers.settings import Settings

log = logging.getLogger(__name__)

REACHABLE_WITHIN_SECONDS = 60.0
OPEN_WITHIN_SECONDS = 90.0
LOOK_EVERY_SECONDS = 1.0
# What the lanes' last transactions and leaving the groups may take after the drain; the supervisor waits 15 s for both.
FAREWELL_SECONDS = 6.0
# A loop that hangs sends no heartbeat: by then its partitions are long somebody else's.
HANGS_AFTER_SECONDS = 30.0
COLLECTOR_THRESHOLDS = (100_000, 20, 100)


def worker(settings: Settings, only: list[str], check: bool = False, name: str | None = None) -> int:
    """Carry the participants named, or all, until SIGTERM or SIGINT; blocks. `check` only checks, see `check_build`.

    Writes `SOMA_HOME/run/worker.ready` once every lane is open. Returns 0 after a signal, 2 where flows, names,
    settings or topics are wrong or a worker of this name runs already, 3 where Kafka cannot be used, 70 where a
    participant no longer polls. Where a step has blocked the event loop for 30 s, or the end takes longer than draining
    may, the process tells where it stood and ends with 1. Its supervisor starts it again.
    """
    if check:
        return check_build(settings, only)
    try:
        kinds = sagas_of(settings)
        check_adapters(settings, kinds)
        places = Places.of(settings.home)
        with member_name(places.run, worker_program(only, name)) as member:
            return asyncio.run(_carry(settings, kinds, only, places, member))
    except (FlowError, TopicsDiffer, ValueError) as error:
        return _refuse(str(error), 2)
    except (ConnectionFailed, Misconfigured, TimedOut, StackError) as error:
        return _refuse(str(error), error.exit_code)
    except KafkaError as error:
        return _refuse(str(asyncio.run(kafka_failure(settings, error))), 3)
    finally:
        faulthandler.cancel_dump_traceback_later()


def check_build(settings: Settings, only: list[str], in_flight: bool = False, as_json: bool = False) -> int:
    """Check the flows, and compare them with the sagas that are in flight; blocks.

    Returns 0 when this build can carry all of them, 1 when it cannot, 2 for mistakes in the flows and wrong names, 3
    where Kafka cannot be used. Where Kafka is not there at all, only the flows are checked, and that is said: it is an
    error only if `in_flight` asks for the comparison.
    """

    def work() -> int:
        try:
            kinds = sagas_of(settings)
            check_adapters(settings, kinds)
        except FlowError as error:
            return _refuse(str(error), 2)
        names = [name for kind in kinds for name in kind.participants]
        strange = [name for name in only if name not in names]
        if strange:
            raise Invalid(f"there is no participant {', '.join(strange)}; there are {', '.join(names)}")
        say(f"checked: {', '.join(kind.graph.saga for kind in kinds)}")
        compared = compare(settings, kinds, only)
        if as_json:
            show(json_of(kinds, compared))
        else:
            tell(compared)
        if compared.cause:
            return 3 if in_flight else 0
        return 1 if compared.concerned else 0

    return guarded(settings, work)


async def _carry(settings: Settings, kinds: tuple[SagaKind, ...], only: list[str], places: Places, member: str) -> int:
    carried = Worker(settings, kinds, only, member)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    ready = places.ready_file("worker")
    try:
        if await unless_stopped(stopping, _start(settings, carried)):
            spare_the_collector()
            write_whole(ready, {"pid": os.getpid(), "participants": carried.participants})
            log.info("worker.ready", extra={"participants": carried.participants})
            await _look_after(settings, carried, stopping)
        return 0
    finally:
        # Whatever is stuck from here on (a group that cannot be left, a task that swallows its cancellation, the loop's
        # own end), the process ends in time and tells where it stood.
        feed_watchdog(settings.drain_seconds + FAREWELL_SECONDS)
        log.info("worker.stopping", extra={"drain_seconds": settings.drain_seconds})
        if read_object(ready).get("pid") == os.getpid():
            ready.unlink(missing_ok=True)
        await carried.stop()


async def _start(settings: Settings, carried: Worker) -> None:
    """Join the groups and open the lanes; raises what keeps it from that, after a minute or at once where it stays."""

    async def attempt() -> None:
        try:
            await carried.start()
        except (KafkaError, OSError) as error:
            raise await kafka_failure(settings, error) from error

    retrying = AsyncRetrying(
        wait=wait_exponential(0.1, max=2),
        stop=stop_after_delay(REACHABLE_WITHIN_SECONDS),
        retry=retry_if_exception(may_pass),
        before_sleep=lambda state: log.warning("worker.waits", extra={"cause": _cause_of(state)}),
        reraise=True,
    )
    await retrying(attempt)
    if not await carried.is_ready(OPEN_WITHIN_SECONDS):
        causes = "; ".join(f"{lane}: {cause}" for lane, cause in carried.troubles().items())
        raise TimedOut(
            f"not every lane could be opened within {OPEN_WITHIN_SECONDS:.0f} s: {causes or 'no group joined'}"
        )


async def _look_after(settings: Settings, carried: Worker, stopping: asyncio.Event) -> None:
    """Keep the watchdog fed until asked to stop; says of each missing right what it is, once."""
    told: set[str] = set()
    while not stopping.is_set():
        feed_watchdog(HANGS_AFTER_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_EVERY_SECONDS)
        for denied in map(str, carried.denials()):
            if denied not in told:
                told.add(denied)
                log.error("worker.denied", extra={"cause": denied})
        if not carried.is_polling():
            log.error("worker.no_longer_polls", extra={"causes": carried.troubles()})
            os._exit(STUCK_EXIT_CODE)


async def unless_stopped(stopping: asyncio.Event, starting: Coroutine[Any, Any, None]) -> bool:
    """Whether the start came to its end before the signal; else it is cancelled, and waited for no longer."""
    start, asked = asyncio.ensure_future(starting), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            return False
        start.result()
        return True
    finally:
        start.cancel()
        asked.cancel()


def may_pass(error: BaseException) -> bool:
    """Whether trying again may help. PURE."""
    return isinstance(error, ConnectionFailed | TimedOut) and error.may_pass


def _cause_of(state: RetryCallState) -> str:
    return str(state.outcome.exception()) if state.outcome is not None else ""


def feed_watchdog(seconds: float) -> None:
    """Called by the event loop: unless it is called again within so many seconds, the process ends with 1.

    Before that it tells on stderr what every thread was doing. It needs neither the loop nor the interpreter's lock.
    """
    # sys.stderr itself may be an object without a file descriptor.
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)


def spare_the_collector() -> None:
    """Journals live long and hold no cycles: looking through all of them every few thousand records finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _refuse(words: str, exit_code: int) -> int:
    log.error("worker.refused", extra={"cause": words})
    print(f"soma worker: {words}", file=sys.stderr, flush=True)
    return exit_code
