"""The alerts of a demo, read back from their topic when the road has ended."""

import time
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace

from catseye.contract.records import Alert
from catseye.contract.topics import full_name
from catseye.kafka.clients import log_bounds, reader_config
from catseye.kafka.reading import partitions_of, read_to_end
from catseye.kafka.registry import codec_for
from catseye.settings import Settings
from services import drift, incidents

PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.3
_MARKERS: Final = 2
"""The end of a transaction is a record that no position goes past until another record follows."""


def wait_for_alerts(settings: Settings) -> bool:
    """Return when drift and incidents have read all that was written so far; False when they get no further.

    Raises:
        Unavailable: the broker does not answer.
    """
    for service, reads in ((drift, drift.READS), (incidents, incidents.BATCHES)):
        left, until_s = -1, time.monotonic() + PATIENCE_S
        while (still := _unread(settings, service.NAME, reads)) > 0:
            if still != left:
                left, until_s = still, time.monotonic() + PATIENCE_S
            if time.monotonic() > until_s:
                return False
            time.sleep(_POLL_S)
    return True


def _unread(settings: Settings, service: str, reads: tuple[str, ...]) -> int:
    """Records on the topics of a service that it has not read, but for the last few."""
    reader = Consumer(reader_config(settings, f"{settings.topic_prefix}{service}"))
    try:
        unread = 0
        for read in reads:
            topic = full_name(read, settings.topic_prefix)
            bounds = log_bounds(settings, topic, partitions_of(settings, read))
            for place in reader.committed([TopicPartition(topic, partition) for partition in bounds], timeout=10):
                first, end = bounds[place.partition]
                unread += max(0, end - max(first, place.offset) - _MARKERS)
        return unread
    finally:
        reader.close()


def read_alerts(settings: Settings) -> list[Alert]:
    """Every record on the topic, from the first one on."""
    codec = codec_for(settings)
    return [codec.decode(message.value(), Alert) for message in read_to_end(settings, "alerts")]


def alert_figures(
    alerts: Iterable[Alert], started_at_ms: float, ended_at_ms: float
) -> tuple[list[dict[str, Any]], list[Alert]]:
    """What holds of each alert when publishing ends, in the order in which they opened, and what is left out.

    A road that ends looks like cameras that fall silent: what is written after its end counts no more, and alerts that
    opened after it are left out. One that was suppressed from its first record on has not opened.

    Args:
        alerts: Records in the order of the topic.
        started_at_ms: When publishing began, Unix milliseconds.
        ended_at_ms: When it ended.
    """
    holds: dict[str, Alert] = {}
    late: dict[str, Alert] = {}
    for alert in alerts:
        if alert.updated_at_ms <= ended_at_ms:
            holds[alert.alert_id] = alert
        elif alert.alert_id not in holds and alert.opened_at_ms <= ended_at_ms:
            # What was written of it before is compacted away: it was open then.
            holds[alert.alert_id] = replace(alert, state="updated", resolved_at_ms=None)
        elif alert.alert_id not in holds:
            late[alert.alert_id] = alert
    listed = sorted(holds.values(), key=lambda alert: (alert.opened_at_ms, alert.alert_id))
    return [_figures(alert, started_at_ms) for alert in listed], list(late.values())


def _figures(alert: Alert, started_at_ms: float) -> dict[str, Any]:
    def at_s(at_ms: int) -> float:
        return round((at_ms - started_at_ms) / 1_000, 3)

    return {
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "camera": alert.camera,
        "state": alert.state,
        "opened_at_s": at_s(alert.opened_at_ms),
        "times_opened": alert.times_opened,
        "resolved_at_s": None if alert.resolved_at_ms is None else at_s(alert.resolved_at_ms),
    }
