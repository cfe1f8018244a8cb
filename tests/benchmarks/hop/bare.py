"""The bare loop, by aiokafka alone: getmany, decode, send_batch, commit.

`python -m tests.benchmarks.hop.bare BOOTSTRAP`. It has one transactional producer for each partition, as a participant
has one for each lane, and says for each record one of the same size. It keeps no journal, no position and no promise:
what it does is the least that could be done. It fetches as much at once as aiokafka does by itself, which is fastest.
"""

import asyncio
import sys

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.producer import sender

INPUT, OUTPUT = "hop.bare.in", "hop.bare.out"
BATCH_BYTES = 512 * 1024
# aiokafka rests 20 ms between two transactions; that would make the comparison too easy for us.
sender.BACKOFF_OVERRIDE = 0.001


async def run(bootstrap: str) -> None:
    """Answer until cancelled; prints `ready` when it has begun."""
    async with AIOKafkaConsumer(
        INPUT,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
    ) as consumer:
        await consumer.seek_to_end()
        producers: dict[int, AIOKafkaProducer] = {}
        for partition in sorted(one.partition for one in consumer.assignment()):
            producers[partition] = AIOKafkaProducer(
                bootstrap_servers=bootstrap, transactional_id=f"bare.{partition}", max_batch_size=BATCH_BYTES
            )
            await producers[partition].start()
        await asyncio.gather(*(consumer.position(one) for one in consumer.assignment()))
        print("ready", flush=True)
        while True:
            batches = await consumer.getmany(timeout_ms=200)
            await asyncio.gather(*(_answer(producers[one.partition], one, found) for one, found in batches.items()))


async def _answer(producer: AIOKafkaProducer, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
    async with producer.transaction():
        sent, batch = [], producer.create_batch()
        for record in records:
            msgspec.json.decode(record.value)
            answer = {"key": record.key, "value": record.value, "headers": list(record.headers), "timestamp": None}
            if batch.append(**answer) is None:
                sent.append(await producer.send_batch(batch, OUTPUT, partition=partition.partition))
                batch = producer.create_batch()
                batch.append(**answer)
        sent.append(await producer.send_batch(batch, OUTPUT, partition=partition.partition))
        await asyncio.gather(*sent)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
