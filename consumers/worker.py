"""One worker: the participants it carries, from the first connection to the farewell."""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError
from fast_depends import Provider
from faststream import FastStream
from faststream.kafka import KafkaBroker
from prometheus_client import CollectorRegistry

from consumers.endpoint import endpoint
from consumers.kinds import SagaKind
from consumers.loop_watch import LoopWatch
from consumers.runtime.attempts import watch_attempts
from consumers.runtime.breakers import Breaker, guarded
from consumers.runtime.broker_clock import BrokerClock
from consumers.runtime.bulkheads import Bulkheads
from consumers.runtime.calling import Caller
from consumers.runtime.lane import Host
from consumers.runtime.ledger import Ledger
from consumers.runtime.metrics import ItemFigures, StandingFigures
from consumers.runtime.participant import ParticipantGroup, Role
from consumers.runtime.quarantine import CountFault
from consumers.runtime.reader import Reader
from consumers.runtime.subscriber import register
from consumers.runtime.view import View, view_of
from consumers.topic_rules import Drift
from consumers.topic_watch import TopicWatch
from consumers.topics import TopicsDiffer, apply, plan
from consumers.tracker.figures import SagaFigures
from consumers.tracker.holding import HeldPartitions
from consumers.tracker.inspecting import Inspector
from consumers.tracker.ledger import TrackerLedger, tracker_of
from producers.brokers import AdminClient
from producers.cluster import connection
from producers.diagnosis import denial
from producers.errors import AccessDenied
from producers.group_coverage import Watch, words_for
from producers.groups import standing_of
from producers.open_transactions import look_for_open_transactions
from producers.rights import Operation, require
from producers.settings import Settings
from schemas.topics import state_topic

log = logging.getLogger(__name__)

POLL_SECONDS_MAX = 30.0
LOOK_AT_COVERAGE_EVERY_SECONDS = 15.0
STUCK_EXIT_CODE = 70


def roles(
    kind: SagaKind, settings: Settings, host: Host, breakers: dict[type, Breaker], figures: ItemFigures
) -> list[Role]:
    """Every participant of a saga kind, ready to be started; connects to nothing."""
    graph, topics = kind.graph, kind.graph.schema.topics
    ports, made = guarded(kind.adapters(settings), host.clock, breakers)
    breakers.update(made)
    caller = Caller(graph, ports, host.clock, figures.blocked)
    found: list[Role] = []
    for name in graph.participants:
        view = view_of(graph, name)
        remember = partial(_ledger, view, settings.tenant, figures.count_fault)
        found.append(Role(name, topics, view.is_door, remember, figures.counted(name, caller)))
    tracker = tracker_of(graph.saga)
    inspector = Inspector(partial(standing_of, settings), host.clock)
    # A status must not be readable before the event it tells of.
    found.append(
        Role(
            tracker,
            topics,
            is_door=False,
            remember=lambda partition, _: TrackerLedger(graph, partition, True, figures.count_fault),
            run_item=inspector,
            told_early=False,
        )
    )
    return found


def _ledger(view: View, tenant: str, count_fault: CountFault, partition: int, partitions: int) -> Ledger:
    return Ledger(view, partition, partitions, tenant, count_fault=count_fault)


def join_unread(unread: Mapping[str, Sequence[TopicPartition]], groups: Iterable[ParticipantGroup]) -> None:
    """Have each group balanced again in which partitions of its inputs have no reader."""
    for group in groups:
        missing = unread.get(group.role.name)
        if missing:
            place = {"participant": group.role.name, "partitions": words_for(missing)}
            log.warning("worker.partitions.unread", extra=place)
            group.join_again()


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def rights_of(carried: Iterable[Role]) -> dict[str, frozenset[Operation]]:
    """What carrying these takes, by topic. PURE."""
    wanted: dict[str, set[Operation]] = {}
    for role in carried:
        topics = role.topics
        for topic in (topics.events, state_topic(role.name), *((topics.commands,) if role.is_door else ())):
            wanted.setdefault(topic, set()).update((Operation.READ, Operation.WRITE))
        for topic in (topics.status, topics.dead):
            wanted.setdefault(topic, set()).add(Operation.WRITE)
    return {topic: frozenset(operations) for topic, operations in wanted.items()}


class Worker:
    """Carries the participants named, or all, as the subscribers of one FastStream app.

    `member` names it among the group's members, stable over restarts.
    """

    def __init__(
        self, settings: Settings, kinds: tuple[SagaKind, ...], only: Iterable[str] = (), member: str | None = None
    ) -> None:
        self._settings, self._kinds = settings, kinds
        self._member = member or f"{socket.gethostname()}-{os.getpid()}"
        self.breakers: dict[type, Breaker] = {}
        self.bulkheads = Bulkheads(settings.bulkheads, time.monotonic, self.breakers)
        clock = BrokerClock()
        self.host = Host(
            uuid.uuid4().hex,
            clock,
            self.bulkheads,
            settings.drain_seconds,
            monotonic=clock.monotonic,
            observe=clock.observe,
            is_told=clock.is_told,
        )
        self.registry = CollectorRegistry()
        figures = ItemFigures(self.registry)
        wanted = set(only)
        known = {name for kind in kinds for name in kind.participants}
        if wanted - known:
            unknown, there = ", ".join(sorted(wanted - known)), ", ".join(sorted(known))
            raise ValueError(f"no such participant: {unknown}; there are {there}")
        every = [role for kind in kinds for role in roles(kind, settings, self.host, self.breakers, figures)]
        dependencies = {port.__name__ for port in self.breakers}
        if settings.bulkheads.keys() - dependencies:
            unknown, there = (
                ", ".join(sorted(settings.bulkheads.keys() - dependencies)),
                ", ".join(sorted(dependencies)),
            )
            raise ValueError(f"SOMA_BULKHEADS: no such dependency: {unknown}; there are {there}")
        self._roles = [role for role in every if not wanted or role.name in wanted]
        self.groups: list[ParticipantGroup] = []
        self._readers: list[Reader] = []
        self._life = AsyncExitStack()
        self.registry.register(StandingFigures(lambda: self.groups, self.breakers, self.bulkheads.running))
        self.registry.register(SagaFigures(lambda: self.groups))
        self._loop_watch = LoopWatch()
        self.registry.register(self._loop_watch)
        inputs = {topic for role in self._roles for topic in (role.topics.commands, role.topics.events)}
        self._held = HeldPartitions(partial(look_for_open_transactions, settings, inputs), time.time)
        self.registry.register(self._held)
        self._topic_watch = TopicWatch(self._drift)
        self.registry.register(self._topic_watch)

    @property
    def participants(self) -> list[str]:
        """The names of the participants it carries."""
        return [role.name for role in self._roles]

    async def start(self) -> None:
        """See to the topics, and join every group at once. Raises what the cluster answers; may then be tried again.

        Raises `TopicsDiffer` where a topic's settings would lose records.
        """
        watch_attempts(asyncio.get_running_loop())
        await self._look_at_topics()
        # The participants bring connections of their own; FastStream opens none beside them.
        broker = KafkaBroker(self._settings.bootstrap_servers, consumer_only=True, apply_types=False, logger=None)
        app = FastStream(broker, logger=None, provider=Provider(), lifespan=self._lifespan)
        async with AsyncExitStack() as life:
            await life.enter_async_context(app.lifespan_context())
            named = connection(self._settings)
            # A saga kind has a reader: what is wrong with the topics of one holds up no other.
            readers = {topics: Reader(named) for topics in dict.fromkeys(role.topics for role in self._roles)}
            self._readers = list(readers.values())
            for reader in self._readers:
                life.push_async_callback(reader.stop)
                await reader.start()
            self.groups = [
                ParticipantGroup(role, self.host, named, self._member, readers[role.topics]) for role in self._roles
            ]
            subscribers = [register(broker, group) for group in self.groups]
            life.push_async_callback(app.stop)
            await app.start()
            await asyncio.gather(*(subscriber.joined() for subscriber in subscribers))
            watching = asyncio.create_task(self._watch_coverage(), name="coverage")
            life.push_async_callback(cancelled, watching)
            life.push_async_callback(self._held.stop)
            await self._held.start()
            watching_topics = asyncio.create_task(self._topic_watch.watch(), name="topic settings")
            life.push_async_callback(cancelled, watching_topics)
            self._life = life.pop_all()

    async def _watch_coverage(self) -> None:
        admin = AdminClient(**connection(self._settings))
        watch = Watch(admin, {role.name: role.inputs for role in self._roles})
        started = False
        try:
            while True:
                await asyncio.sleep(LOOK_AT_COVERAGE_EVERY_SECONDS)
                try:
                    if not started:
                        await admin.start()
                        started = True
                    join_unread(await watch.look(), self.groups)
                except Exception as error:
                    # It is a look from outside: no lane depends on it.
                    log.warning("worker.coverage.unknown", extra={"cause": repr(error)})
        finally:
            await admin.close()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """What is there before the first participant starts, and goes after the last one."""
        # Before, for what is there; after, for what was created.
        await require(self._settings, rights_of(self._roles))
        await apply(self._settings, self._kinds)
        await require(self._settings, rights_of(self._roles))
        host, port = self._settings.worker_metrics_host, self._settings.worker_metrics_port
        watching = asyncio.create_task(self._loop_watch.watch(), name="loop watch")
        try:
            async with endpoint(host, port, self.registry, self._causes):
                yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _look_at_topics(self) -> None:
        """Log what differs in the topics that it reads and writes; raise `TopicsDiffer` for what is dangerous of it."""
        try:
            found = await self._drift()
        except AccessDenied as denied:
            # What a topic is like is looked at from outside: carrying sagas takes no such right.
            log.warning("worker.topics.unknown", extra={"cause": str(denied)})
            return
        self._topic_watch.note(found)
        if dangerous := [one for one in found if one.is_dangerous]:
            raise TopicsDiffer("\n".join(map(str, dangerous)))

    async def _drift(self) -> list[Drift]:
        ours = rights_of(self._roles)
        return [one for one in (await plan(self._settings, self._kinds)).drift if one.topic in ours]

    def _causes(self) -> list[str]:
        # A member without any lane is a spare one, and well.
        lanes = [lane for group in self.groups for lane in group.lanes.values()]
        causes = [f"{lane.name} {lane.trouble}" for lane in lanes if lane.trouble]
        return causes if self.is_polling() else [*causes, "a participant no longer polls"]

    async def is_ready(self, seconds: float) -> bool:
        """Wait until every lane assigned to it has read its backlog; False where one is not open for so many seconds.

        A backlog takes as long as it takes: ending the worker because of it would begin it again. A lane whose position
        is lost is not waited for. Raises `AccessDenied` at once where a right is missing.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if denied := self.denials():
                raise denied[0]
            if all(group.is_ready() for group in self.groups):
                return True
            if all(group.is_open() for group in self.groups):
                deadline = time.monotonic() + seconds
            await asyncio.sleep(0.02)
        return False

    def troubles(self) -> dict[str, str]:
        """What keeps each lane or group from its work just now, by its name."""
        found = {
            group.role.name: f"{type(group.poll_error).__name__}: {group.poll_error}"
            for group in self.groups
            if group.poll_error is not None
        }
        return found | self._closed_lanes()

    def _closed_lanes(self) -> dict[str, str]:
        return {
            lane.name: lane.logs.position_lost or (repr(lane.last_error) if lane.last_error is not None else "not yet")
            for group in self.groups
            for lane in group.lanes.values()
            if not lane.is_live
        }

    def denials(self) -> list[AccessDenied]:
        """The rights that a group or a lane was last found to lack."""
        found: list[AccessDenied | None] = []
        for group in self.groups:
            if group.poll_error is not None:
                found.append(denial(self._settings, group.poll_error, f"READ on group {group.role.name}"))
            for lane in group.lanes.values():
                needs = f"WRITE on transactional id {lane.name}"
                if isinstance(lane.last_error, TopicAuthorizationFailedError):
                    needs = f"READ and WRITE on the topics of {group.role.name}: {', '.join(group.topics())}"
                found.append(denial(self._settings, lane.last_error, needs))
        return [one for one in found if one is not None]

    def is_polling(self) -> bool:
        """Whether every group and reader polls, or its brokers are away; a worker that does not is better dead."""
        return all(group.is_polling(POLL_SECONDS_MAX) for group in self.groups) and all(
            reader.is_polling(POLL_SECONDS_MAX) for reader in self._readers
        )

    async def stop(self) -> None:
        """Drain the lanes and leave the groups. May be called twice."""
        await self._life.aclose()
