"""One transaction is written in as many requests as it needs, none of them larger than a broker reads."""

import random

from producers.batches import REQUEST_BYTES_MAX, Batches, next_request


def test_a_transaction_of_any_size_is_split_into_requests_that_a_broker_reads_and_keeps_each_partitions_order() -> None:
    rng = random.Random(7)
    batches: Batches = {
        ("order.commands", index): [bytes([number]) * rng.choice((100, 600_000, 8_000_000)) for number in range(3)]
        for index in range(40)
    }
    wanted = {partition: list(waiting) for partition, waiting in batches.items()}
    written: dict[tuple[str, int], list[bytes]] = {partition: [] for partition in wanted}
    while any(batches.values()):
        request = next_request(batches)
        assert request and (len(request) == 1 or sum(map(len, request.values())) <= REQUEST_BYTES_MAX)
        for partition, batch in request.items():
            written[partition].append(batch)
    assert written == wanted
