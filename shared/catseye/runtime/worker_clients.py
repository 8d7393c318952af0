"""How the two clients of a worker are set, and why."""

from collections.abc import Mapping

from catseye.contract.limits import RECORD_MAX_BYTES
from catseye.kafka.clients import IDEMPOTENT, client_config, reader_config
from catseye.settings import Settings

ANSWER_S = 10  # how long one call of the producer waits; a watchdog that ends a worker that hangs waits for longer
_SELDOM_MS = 200  # transactions that lie so far apart are seldom
_METADATA_MS = 2_000  # how often topics are asked for partitions that are new


def consumer_config(settings: Settings, group: str, identity: str) -> dict[str, object]:
    """Those of a static member (KIP-345) that reads what is committed.

    Args:
        settings: Common settings.
        group: Name of its group.
        identity: Its name there: a new process of this name has the partitions of the one before.
    """
    return (
        reader_config(settings, group)
        | {
            "group.instance.id": identity,
            "client.id": identity,
            "partition.assignment.strategy": "range",
            # New partitions are read within seconds; by default they would wait five minutes.
            "topic.metadata.refresh.interval.ms": _METADATA_MS,
            "session.timeout.ms": settings.session_timeout_ms,
            "heartbeat.interval.ms": settings.heartbeat_ms,
            "max.poll.interval.ms": max(60_000, settings.session_timeout_ms),
        }
        | _fetches(settings.transaction_interval_ms)
    )


def producer_config(settings: Settings, identity: str) -> Mapping[str, object]:
    """Those of a producer with transactions, or of one that repeats, as *settings* have it delivered."""
    config: dict[str, object] = {
        **client_config(settings),
        **IDEMPOTENT,
        "client.id": identity,
        "queue.buffering.max.messages": 1_000_000,
        "message.max.bytes": RECORD_MAX_BYTES,
        "delivery.report.only.error": True,
        "linger.ms": 1,
        # The first request of a transaction is refused while the broker still ends the one before (KIP-98,
        # CONCURRENT_TRANSACTIONS): librdkafka's default of 100 ms turns 10 ms a transaction into 60.
        "retry.backoff.ms": 5,
        "retry.backoff.max.ms": 100,
        # The default forgets every broker that an answer does not name, and one that has just begun names none: the
        # offsets are then sent to a broker that is no more, without end (decision 0016).
        "metadata.recovery.strategy": "none",
        # Sending offsets lasts for as long as its request is unanswered, whatever its own limit: 30 s by default, in
        # which a broker that is paused had the watchdog end the worker.
        "socket.timeout.ms": ANSWER_S * 1_000,
    }
    if settings.delivery == "exactly_once":
        config |= {"transactional.id": identity, "transaction.timeout.ms": settings.transaction_timeout_ms}
    return config


def _fetches(interval_ms: float) -> dict[str, object]:
    """Who works seldom need not be handed each record as it comes: a hundred fetches a second cost more than that."""
    if interval_ms < _SELDOM_MS:
        return {}
    return {"fetch.min.bytes": 100_000, "fetch.wait.max.ms": int(interval_ms / 2)}
