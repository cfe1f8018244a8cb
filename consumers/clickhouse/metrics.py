"""The sink's figures."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class SinkMetrics:
    """Registered where it is told to; the metrics' names are a contract with the dashboards."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batch_rows = Histogram(
            "soma_sink_batch_rows",
            "Rows in one inserted batch.",
            buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000),
            registry=registry,
        )
        self.flush_seconds = Histogram(
            "soma_sink_flush_seconds",
            "From cutting a batch to the store's acknowledgement, retries included.",
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self.rows = Counter(
            "soma_sink_rows_total",
            "Rows sent, by what became of them: stored, replayed, retried.",
            ("table", "result"),
            registry=registry,
        )
        self.buffer_rows = Gauge("soma_sink_buffer_rows", "Rows read and not yet stored.", registry=registry)
        self.oldest_unflushed_age_seconds = Gauge(
            "soma_sink_oldest_unflushed_age_seconds", "Age of the oldest row that is not stored.", registry=registry
        )
        self.filled = Counter(
            "soma_sink_filled_batches_total",
            "Batches that a table lacked and that were filled.",
            ("target",),
            registry=registry,
        )
        self.gaps = Counter(
            "soma_sink_gaps_total",
            "Gaps that nothing fills, by table and cause; each one is a row of ledger_gaps.",
            ("target", "cause"),
            registry=registry,
        )
        self.behind = Gauge(
            "soma_sink_batches_behind",
            "Batches that a table lacked, or had more than once, when it was compared last.",
            ("target",),
            registry=registry,
        )
        self.unread = Gauge(
            "soma_sink_unread_partitions", "Partitions of the sagas' topics that no sink reads.", registry=registry
        )
        self.targets_behind: set[str] = set()

    def note_behind(self, target: str, count: int) -> None:
        """Show how many batches a table lacked; a table that was never behind is not shown."""
        self.behind.labels(target).set(count)
        if count:
            self.targets_behind.add(target)
