"""What is said of a transaction that hides records."""

from producers.open_transactions import OpenTransaction


def test_a_transaction_that_no_coordinator_knows_is_ended_by_its_place() -> None:
    hanging = OpenTransaction("order.events", 3, 812, 12, "", 1_800_000_000.0, None)
    assert hanging.remedy("kafka:9092") == (
        "kafka-transactions.sh --bootstrap-server kafka:9092 abort"
        " --topic order.events --partition 3 --start-offset 812"
    )
    assert "no coordinator is known" in hanging.words and "order.events 3 from offset 812" in hanging.words


def test_one_that_has_an_owner_is_ended_by_its_id() -> None:
    held = OpenTransaction("order.events", 3, 812, 12, "other.client", 1_800_000_000.0, 1_800_000_900.0)
    assert held.remedy("kafka:9092") == "soma topics abort other.client"
    hostile = OpenTransaction("order.events", 3, 812, 12, "a;\x1b[2Jrm -rf x", 1_800_000_000.0, None)
    assert hostile.remedy("kafka:9092") == "soma topics abort 'a;?[2Jrm -rf x'" and hostile.words.isprintable()
    assert "since 08:00:00 UTC" in held.words and "aborts it at 08:15:00 UTC" in held.words
