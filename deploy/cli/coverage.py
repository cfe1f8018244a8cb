"""What `soma doctor` asks of a running hub: has every partition its readers, and did the sink lose anything?"""

import asyncio
from collections.abc import Iterable, Iterator

from consumers.kinds import SagaKind
from deploy.local.checks import Check
from producers.errors import ConnectionFailed, FlowError
from producers.settings import Settings

SETTLES_WITHIN_SECONDS = 10.0
ASK_AGAIN_AFTER_SECONDS = 0.5
SHOWN_GAPS = 3
SHOWN_TOPICS = 3
SHOWN_LANES = 5
NO_SUCH_TABLE, NO_SUCH_DATABASE = 60, 81
UNACKNOWLEDGED = (
    "SELECT _topic, _partition, first_offset, last_offset, target, cause, count() OVER () FROM ledger_gaps FINAL"
    f" WHERE NOT acknowledged ORDER BY found_at DESC LIMIT {SHOWN_GAPS}"
)
ACKNOWLEDGE = (
    '`soma query "SELECT * FROM ledger_gaps FINAL"` lists them all; once you have taken note, `soma query "INSERT INTO'
    ' ledger_gaps SELECT * REPLACE (true AS acknowledged) FROM ledger_gaps FINAL"` lets this check pass'
)


def running_checks(settings: Settings) -> Iterator[Check]:
    """Look at who reads what, and into the sink's ledger; for a Kafka and a store that answer. Never raises."""
    from deploy.cli.application import sagas_of

    try:
        kinds = sagas_of(settings)
    except (FlowError, ImportError, AttributeError) as error:
        yield Check("readers", False, f"{settings.application}: {error}", "`soma worker --check` shows what is wrong")
        return
    yield check_topics(settings, kinds)
    yield check_readers(settings, kinds)
    yield check_positions(settings, kinds)
    yield check_ledger(settings)


def wanted_readers(kinds: Iterable[SagaKind]) -> dict[str, list[str]]:
    """Every consumer group that must run, with the topics that it reads: the sink's and each participant's."""
    from consumers.clickhouse.kafka import GROUP, topics_of

    chosen = list(kinds)
    wanted = {GROUP: topics_of(kind.graph.schema for kind in chosen)}
    for kind in chosen:
        wanted |= kind.inputs()
    return wanted


def check_topics(settings: Settings, kinds: tuple[SagaKind, ...]) -> Check:
    """Is each topic that is there as it should be? What is not dangerous is told, and fails nothing."""
    from aiokafka.errors import KafkaError

    from consumers.topics import plan

    try:
        found = asyncio.run(plan(settings, kinds))
    except ConnectionFailed as failure:
        return Check("topics", False, f"{failure.server} {failure.cause}", failure.remedy)
    except (KafkaError, OSError) as error:
        return Check(
            "topics", False, f"Kafka does not tell what they are like: {error!r}", "see the check of kafka above"
        )
    dangers = [one for one in found.drift if one.is_dangerous]
    shown = "; ".join(map(str, (dangers or found.drift)[:SHOWN_TOPICS]))
    more = f"; {len(found.drift)} settings differ: `soma topics plan` lists them" if found.drift else ""
    if dangers:
        return Check("topics", False, shown + more, "`soma topics apply` mends what can be mended")
    return Check("topics", True, shown + more or "each that is there is as it should be")


def check_readers(settings: Settings, kinds: Iterable[SagaKind]) -> Check:
    """Is every partition of every topic read by a sink, and by each worker's participant that needs it?"""
    from aiokafka.errors import KafkaError

    try:
        lacking, settled = asyncio.run(_lacking(settings, wanted_readers(kinds)))
    except (KafkaError, OSError) as error:
        return Check("readers", False, f"Kafka does not tell who reads: {error!r}", "see the check of kafka above")
    if not settled:
        return Check("readers", False, "the consumer groups are still being balanced", "run `soma doctor` again")
    if not lacking:
        return Check("readers", True, "every partition has its sink and its workers")
    remedy = "`soma up` starts sink and worker; where they run, their log says why they do not join"
    return Check("readers", False, "; ".join(lacking), remedy)


def check_positions(settings: Settings, kinds: Iterable[SagaKind]) -> Check:
    """Is there a lane that stays closed because no position of it fits its logs?"""
    from aiokafka.errors import KafkaError

    from consumers.runtime.positions import reset_command
    from producers.groups import lost_positions

    groups = [participant for kind in kinds for participant in kind.participants]
    try:
        lost = asyncio.run(lost_positions(settings, groups))
    except (KafkaError, OSError) as error:
        return Check("positions", False, f"Kafka does not tell them: {error!r}", "see the check of kafka above")
    if not lost:
        return Check("positions", True, "every lane's position fits its logs")
    commands = dict.fromkeys(f"`{reset_command(*place)}`" for place in list(lost)[:SHOWN_LANES])
    more = f"; and {len(lost) - SHOWN_LANES} more" if len(lost) > SHOWN_LANES else ""
    # The command stands in the remedy, once.
    shown = [cause.partition(". `")[0] for cause in list(lost.values())[:SHOWN_LANES]]
    return Check("positions", False, "; ".join(shown) + more, "; ".join(commands))


async def _lacking(settings: Settings, wanted: dict[str, list[str]]) -> tuple[list[str], bool]:
    from consumers.clickhouse.kafka import GROUP
    from producers.brokers import AdminClient
    from producers.cluster import connection
    from producers.group_coverage import coverage_of, words_for

    admin = AdminClient(**connection(settings))
    await admin.start()
    try:
        deadline = asyncio.get_running_loop().time() + SETTLES_WITHIN_SECONDS
        while True:
            found = await coverage_of(admin, wanted)
            settled = all(one.is_settled for one in found.values())
            if settled or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(ASK_AGAIN_AFTER_SECONDS)
    finally:
        await admin.close()
    lines = [
        f"{words_for(one.missing)} {'has no sink' if group == GROUP else f'has no worker for {group}'}"
        for group, one in sorted(found.items())
        if one.missing
    ]
    return lines, settled


def check_ledger(settings: Settings) -> Check:
    """Did the sink find anything that it could not store?"""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from consumers.clickhouse.connecting import connect

    try:
        client = connect(settings.store_url.get_secret_value(), settings.clickhouse_database)
        rows = client.query(UNACKNOWLEDGED).result_rows
        client.close()
    except ClickHouseError as error:
        if getattr(error, "code", None) in (NO_SUCH_TABLE, NO_SUCH_DATABASE):
            return Check("ledger", True, "no sink has run yet")
        return Check("ledger", False, "ClickHouse does not tell", "see the check of clickhouse above")
    if not rows:
        return Check("ledger", True, "the sink has lost nothing")
    shown = "; ".join(
        f"{topic}[{partition}] {first}..{'?' if last is None else last} in {target}: {cause}"
        for topic, partition, first, last, target, cause, _ in rows
    )
    return Check("ledger", False, f"{rows[0][-1]} gaps, newest first: {shown}", ACKNOWLEDGE)
