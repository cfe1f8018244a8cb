"""The transactional producer when leaders and coordinators move, fall silent or refuse, on brokers of a few lines."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import DuplicateSequenceNumber, KafkaError, ProducerFenced

from producers import transactions
from producers.brokers import first_answer
from producers.error_codes import ERROR_CODES, Reaction
from producers.errors import RecordRefused
from producers.pauses import Pauses
from producers.records import Outgoing
from producers.transactions import TransactionalProducer
from tests.unit.producers.brokers_on_wire import ADD, END, FIND, INIT, PRODUCE, SILENCE, Asked, Brokers

EVENT = Outgoing("said.events", 0, b"saga", b"said")
OTHER = Outgoing("said.events", 1, b"saga", b"said too")
BY_REACTION = {
    reaction: sorted(code for code, entry in ERROR_CODES.items() if entry.reaction is reaction) for reaction in Reaction
}
PASSING = [*BY_REACTION[Reaction.RETRY], *BY_REACTION[Reaction.LOOK_AGAIN]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "PAUSE_SECONDS_MAX", 0.02)


@pytest.fixture
def looks_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which a broker does not answer at all."""
    monkeypatch.setattr(first_answer, "__defaults__", (0.02,))
    monkeypatch.setattr(transactions, "LOOK_SECONDS", 0.02)


@asynccontextmanager
async def speaking(version: int = 2, coordinator: int = 1) -> AsyncIterator[tuple[Brokers, TransactionalProducer]]:
    """A producer that has started, and its brokers."""
    async with Brokers(version) as brokers:
        brokers.topics["said.events"], brokers.coordinator = 2, coordinator
        producer = TransactionalProducer({"bootstrap_servers": brokers.bootstrap_servers}, "said.0")
        try:
            await producer.start()
            yield brokers, producer
        finally:
            await producer.close()


def batches(brokers: Brokers) -> list[bytes]:
    """The batches that arrived, as they were sent."""
    return [part[1] for asked in brokers.requests(PRODUCE) for topic in asked.request.topics for part in topic[1]]


def at_request(number: int, api: int, then: Callable[[], None]) -> Callable[[Asked], None]:
    """Does something when the given request of a kind arrives, before it is answered."""
    seen = 0

    def before(asked: Asked) -> None:
        nonlocal seen
        if asked.api == api:
            seen += 1
            if seen == number:
                then()

    return before


def test_what_is_done_about_each_error_is_what_kafka_means_by_it() -> None:
    """By hand, from Kafka's list of errors: those that a moved broker, a missing replica or a bad record lead to."""
    assert {3, 5, 6, 13, 15, 16, 56, 72, 74} <= set(BY_REACTION[Reaction.LOOK_AGAIN])
    assert {2, 7, 14, 19, 20, 51, 55} <= set(BY_REACTION[Reaction.RETRY])
    assert BY_REACTION[Reaction.REFUSED] == [10, 18, 32, 87]
    assert BY_REACTION[Reaction.FENCED] == [47, 90]
    assert BY_REACTION[Reaction.WRITTEN] == [46]
    assert {-1, 29, 45, 48, 49, 50, 53, 59, 120} <= set(BY_REACTION[Reaction.REOPEN])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("code", PASSING)
async def test_a_batch_that_is_refused_for_a_moment_is_sent_again_as_the_same_bytes(version: int, code: int) -> None:
    async with speaking(version) as (brokers, producer):
        brokers.codes[1, PRODUCE] = [code, code]
        await producer.write([EVENT])
        assert len(batches(brokers)) == 3 and len(set(batches(brokers))) == 1
        assert len(brokers.requests(END)) == 1


@pytest.mark.parametrize("version", [1, 2])
async def test_a_batch_follows_its_leader(version: int) -> None:
    async with speaking(version) as (brokers, producer):
        brokers.codes[1, PRODUCE] = [6]
        brokers.before = at_request(1, PRODUCE, lambda: brokers.leaders.__setitem__(("said.events", 0), 2))
        await producer.write([EVENT])
        assert [asked.node for asked in brokers.requests(PRODUCE)] == [1, 2]
        assert len(set(batches(brokers))) == 1


@pytest.mark.usefixtures("looks_soon")
@pytest.mark.parametrize("version", [1, 2])
async def test_a_batch_is_not_waited_for_at_a_silent_broker_once_another_one_leads(version: int) -> None:
    # With version 1 an end that the frozen broker has been asked for is not repeated; here it coordinates nothing then.
    async with speaking(version, coordinator=1 if version == 2 else 3) as (brokers, producer):

        def freeze() -> None:
            brokers.silent.add(1)
            brokers.leaders["said.events", 0] = 2
            brokers.coordinator = 3

        brokers.codes[1, PRODUCE] = [SILENCE]
        brokers.before = at_request(1, PRODUCE, freeze)
        places = await producer.write([EVENT])
        assert [asked.node for asked in brokers.requests(PRODUCE)] == [1, 2]
        assert len(set(batches(brokers))) == 1 and set(places) == {("said.events", 0)}


@pytest.mark.usefixtures("looks_soon")
async def test_a_leader_that_waits_for_a_frozen_coordinator_is_asked_again_once_that_has_moved() -> None:
    async with speaking(2, coordinator=2) as (brokers, producer):
        brokers.codes[1, PRODUCE] = [SILENCE]
        brokers.before = at_request(1, PRODUCE, lambda: setattr(brokers, "coordinator", 3))
        await producer.write([EVENT])
        # The same connection would answer nothing more.
        assert [asked.node for asked in brokers.requests(PRODUCE)] == [1, 1]
        assert [asked.node for asked in brokers.requests(END)] == [3]


async def test_only_the_partitions_that_are_not_written_are_sent_again() -> None:
    async with speaking() as (brokers, producer):
        brokers.leaders["said.events", 1] = 2
        brokers.codes[2, PRODUCE] = [19, 7]
        await producer.write([EVENT, OTHER])
        assert sorted(asked.node for asked in brokers.requests(PRODUCE)) == [1, 2, 2, 2]


async def test_a_batch_that_was_written_the_first_time_is_written_once() -> None:
    async with speaking() as (brokers, producer):
        brokers.codes[1, PRODUCE] = [7, 46]
        assert await producer.write([EVENT]) == {}
        assert len(batches(brokers)) == 2 and len(brokers.requests(END)) == 1


async def test_a_sequence_that_is_used_before_it_was_sent_is_an_error() -> None:
    async with speaking() as (brokers, producer):
        brokers.codes[1, PRODUCE] = [46]
        with pytest.raises(DuplicateSequenceNumber):
            await producer.write([EVENT])
        assert not brokers.requests(END)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("code", BY_REACTION[Reaction.REFUSED])
async def test_a_record_that_kafka_refuses_is_named_by_its_partition_and_reason(version: int, code: int) -> None:
    async with speaking(version) as (brokers, producer):
        brokers.codes[1, PRODUCE] = [code]
        with pytest.raises(RecordRefused, match=f"said.events 0 .*{ERROR_CODES[code].name}") as refused:
            await producer.write([EVENT])
        assert (refused.value.topic, refused.value.partition) == ("said.events", 0)
        assert refused.value.reason == ERROR_CODES[code].name
        assert refused.value.indexes == ((0,) if version == 2 else ())
        assert not brokers.requests(END)


@pytest.mark.parametrize("api", [PRODUCE, END])
@pytest.mark.parametrize("code", BY_REACTION[Reaction.FENCED])
async def test_a_fenced_producer_repeats_nothing(api: int, code: int) -> None:
    async with speaking() as (brokers, producer):
        brokers.codes[1, api] = [code]
        with pytest.raises(ProducerFenced):
            await producer.write([EVENT])
        assert len(brokers.requests(api)) == 1


@pytest.mark.parametrize("api", [PRODUCE, END])
@pytest.mark.parametrize("code", [*BY_REACTION[Reaction.REOPEN], 9_999])
async def test_what_no_other_attempt_mends_is_raised_at_once(api: int, code: int) -> None:
    async with speaking() as (brokers, producer):
        brokers.codes[1, api] = [code]
        with pytest.raises(KafkaError):
            await producer.write([EVENT])
        assert len(brokers.requests(api)) == 1


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("code", PASSING)
async def test_an_end_that_was_not_done_is_asked_for_again_wherever_the_coordinator_is(version: int, code: int) -> None:
    async with speaking(version) as (brokers, producer):
        brokers.codes[1, END] = [code]
        brokers.before = at_request(1, END, lambda: setattr(brokers, "coordinator", 3))
        await producer.write([EVENT])
        ends = brokers.requests(END)
        looks_again = ERROR_CODES[code].reaction is Reaction.LOOK_AGAIN
        assert [asked.node for asked in ends] == [1, 3 if looks_again else 1]
        assert len({(asked.request.producer_id, asked.request.producer_epoch) for asked in ends}) == 1


@pytest.mark.usefixtures("looks_soon")
async def test_an_end_without_an_answer_is_repeated_where_each_transaction_has_an_epoch_of_its_own() -> None:
    async with speaking(2) as (brokers, producer):
        brokers.codes[1, END] = [SILENCE]
        brokers.before = at_request(1, END, lambda: setattr(brokers, "coordinator", 3))
        await producer.write([EVENT])
        assert [asked.node for asked in brokers.requests(END)] == [1, 3]
        await producer.write([EVENT])
        epochs = [asked.request.producer_epoch for asked in brokers.requests(END)]
        assert epochs[0] == epochs[1] and epochs[2] == epochs[1] + 1


@pytest.mark.usefixtures("looks_soon")
async def test_an_end_without_an_answer_is_not_repeated_where_it_could_end_the_next_transaction() -> None:
    async with speaking(1) as (brokers, producer):
        brokers.codes[1, END] = [SILENCE]
        brokers.before = at_request(1, END, lambda: setattr(brokers, "coordinator", 3))
        with pytest.raises(transactions.Moved):
            await producer.write([EVENT])
        assert len(brokers.requests(END)) == 1


async def test_partitions_are_added_at_the_coordinator_wherever_it_is() -> None:
    async with speaking(1) as (brokers, producer):
        brokers.codes[1, ADD] = [51, 16]
        brokers.before = at_request(2, ADD, lambda: setattr(brokers, "coordinator", 2))
        await producer.write([EVENT])
        assert [asked.node for asked in brokers.requests(ADD)] == [1, 1, 2]


async def test_a_producer_starts_on_a_cluster_that_chooses_its_coordinator_just_now() -> None:
    async with Brokers() as brokers:
        brokers.codes |= {(node, FIND): [15, 15] for node in (1, 2, 3)}
        brokers.codes[1, INIT] = [14, 51, 16]
        producer = TransactionalProducer({"bootstrap_servers": brokers.bootstrap_servers}, "said.0")
        await producer.start()
        await producer.close()
        assert len(brokers.requests(INIT)) == 4


async def test_a_transaction_whose_outcome_is_unknown_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with speaking() as (brokers, producer):
        monkeypatch.setattr(transactions, "COMMIT_SECONDS_MAX", 0.2)
        brokers.silent |= {1, 2, 3}
        with pytest.raises(TimeoutError, match=r"said\.0 .*broker"):
            await producer.write([EVENT])


async def test_a_broker_that_throttles_is_left_alone_for_as_long_as_it_says() -> None:
    async with speaking() as (brokers, producer):
        brokers.throttle_ms = 150
        await producer.write([EVENT])
        (produced,), (ended,) = brokers.requests(PRODUCE), brokers.requests(END)
        assert ended.at - produced.at >= 0.15


async def test_two_producers_do_not_ask_again_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(2):
        pauses = Pauses(0.001, 0.25)
        for _ in range(20):
            await pauses.wait()
    assert slept[:20] != slept[20:]
    assert max(slept) <= 0.25 and min(slept[15:20]) > 0.12 > max(slept[0], slept[20])
