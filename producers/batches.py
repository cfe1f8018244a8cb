"""Records, packed into the batches of one transaction."""

import time
from collections import defaultdict
from collections.abc import Iterable

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from producers.records import Outgoing

BATCH_BYTES_MAX = 512 * 1024
# Brokers read no request of more than 100 MB; a door may forward to hundreds of partitions at once.
REQUEST_BYTES_MAX = 32 * 1024 * 1024

Partition = tuple[str, int]
# The batches of one partition, in order.
Batches = dict[Partition, list[bytes]]


class Packer:
    """Packs records for one producer id and epoch; `sequences` counts on what each partition has been sent in it."""

    def __init__(self, producer_id: int, epoch: int, sequences: dict[Partition, int]) -> None:
        self._producer_id, self._epoch, self._sequences = producer_id, epoch, sequences

    def pack(self, records: Iterable[Outgoing]) -> Batches:
        """Pack the records; one that is larger than a batch has one to itself."""
        now_ms = int(time.time() * 1_000)
        finished: Batches = defaultdict(list)
        filling: dict[Partition, tuple[DefaultRecordBatchBuilder, int]] = {}
        for record in records:
            partition = record.topic, record.partition
            builder, count = filling.get(partition) or (self._builder(partition), 0)
            headers = list(record.headers)
            if builder.append(count, now_ms, record.key, record.value, headers) is None:
                finished[partition].append(self._built(partition, builder, count))
                builder, count = self._builder(partition), 0
                builder.append(count, now_ms, record.key, record.value, headers)
            filling[partition] = builder, count + 1
        for partition, (builder, count) in filling.items():
            finished[partition].append(self._built(partition, builder, count))
        return finished

    def _builder(self, partition: Partition) -> DefaultRecordBatchBuilder:
        return DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=1,
            producer_id=self._producer_id,
            producer_epoch=self._epoch,
            base_sequence=self._sequences[partition],
            batch_size=BATCH_BYTES_MAX,
        )

    def _built(self, partition: Partition, builder: DefaultRecordBatchBuilder, count: int) -> bytes:
        self._sequences[partition] += count
        return bytes(builder.build())


def next_request(batches: Batches) -> dict[Partition, bytes]:
    """Take the next batch of each partition out, as many of them as fit into one request, and at least one. PURE."""
    request: dict[Partition, bytes] = {}
    size_bytes = 0
    for partition, waiting in batches.items():
        size_bytes += len(waiting[0]) if waiting else 0
        if request and size_bytes > REQUEST_BYTES_MAX:
            break
        if waiting:
            request[partition] = waiting.pop(0)
    return request
