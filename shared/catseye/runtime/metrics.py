"""Every metric, once. Names end in their unit or `_total`; no label holds an id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class Metrics:
    """Metrics of one process.

    Args:
        registry: Where they are collected; each process has its own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.records = Counter("catseye_records_total", "Records taken in and committed.", registry=registry)
        self.events = Counter(
            "catseye_events_total", "What became of them, by kind of event.", ["event"], registry=registry
        )
        self.aborts = Counter("catseye_aborts_total", "Transactions aborted and done again.", registry=registry)
        self.transaction_records = Histogram(
            "catseye_transaction_records", "Records a transaction.", buckets=RECORDS, registry=registry
        )
        self.work_seconds = Histogram(
            "catseye_work_seconds", "Deciding and writing, a transaction.", buckets=SECONDS, registry=registry
        )
        self.commit_seconds = Histogram(
            "catseye_commit_seconds", "Committing, a transaction.", buckets=SECONDS, registry=registry
        )
        self.partitions = Gauge("catseye_partitions", "Partitions assigned to this worker.", registry=registry)
        self.lag_records = Gauge(
            "catseye_lag_records", "Records that wait for this worker; markers are none.", ["topic"], registry=registry
        )
        self.oldest_record_seconds = Gauge(
            "catseye_oldest_record_seconds", "Age of the oldest of them; 0: none waits.", ["topic"], registry=registry
        )
        self.ready = Gauge("catseye_ready", "1 when this worker works on its partitions.", registry=registry)
