"""What waits for a process, as metrics, heartbeats and doctor show it."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from catseye.cli.service_faults import Services, backlogs_of
from catseye.contract.records import Backlog, Heartbeat
from catseye.runtime.health import Health
from catseye.runtime.metrics import Metrics


def waits(topic: str, records: int, oldest_ms: int) -> Backlog:
    return Backlog(topic=topic, records=records, oldest_ms=oldest_ms)


def beat(instance: str, state: Any, *backlogs: Backlog) -> Heartbeat:
    return Heartbeat(
        service="drift",
        instance=instance,
        host="h",
        pid=1,
        started_at_ms=0,
        at_ms=0,
        every_ms=3_000,
        state=state,
        backlogs=list(backlogs),
    )


def test_metrics_show_what_waits_by_topic() -> None:
    """Records and seconds; a topic that the worker has no more of is gone, and all while nothing can be known."""
    registry = CollectorRegistry()
    health = Health(Metrics(registry), lambda *_, **__: None)

    def shown() -> list[str]:
        names = ("catseye_lag", "catseye_oldest")
        return [line for line in generate_latest(registry).decode().splitlines() if line.startswith(names)]

    health.waiting([waits("outcomes", 0, 0), waits("predictions", 7, 1_500)])
    assert shown() == [
        'catseye_lag_records{topic="outcomes"} 0.0',
        'catseye_lag_records{topic="predictions"} 7.0',
        'catseye_oldest_record_seconds{topic="outcomes"} 0.0',
        'catseye_oldest_record_seconds{topic="predictions"} 1.5',
    ]
    health.waiting([waits("outcomes", 1, 10)])
    assert shown() == [
        'catseye_lag_records{topic="outcomes"} 1.0',
        'catseye_oldest_record_seconds{topic="outcomes"} 0.01',
    ]
    health.waiting(None)
    assert (shown(), health.backlogs) == ([], [])


def test_doctor_adds_up_the_workers_of_a_service_and_names_what_is_old() -> None:
    """Records together, the age of the oldest; those of a worker that has ended are another's now."""
    beats = [
        beat("0", "ready", waits("predictions", 1_200, 14_500), waits("outcomes", 3, 900)),
        beat("1", "not_ready", waits("predictions", 34, 61_000)),
        beat("2", "stopped", waits("predictions", 5, 90_000)),
    ]
    found = Services([], incidents_runs=True, backlogs=backlogs_of(beats))
    assert found.backlogs["drift", "outcomes"] == waits("outcomes", 3, 900)
    assert found.waiting == ["drift: 1,234 records of predictions wait, the oldest for 61 s"]
