"""Drift and incidents on a broker, killed again and again: state and alerts are those of a run that nothing disturbed.

Cameras are slow in event time, so that the time that a restart takes is no silence of theirs.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from catseye.contract.alert_kinds import OF_SERVICES
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import Alert, CameraReport, Outcome, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config, log_bounds, reader_config
from catseye.kafka.reading import read_to_end
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from services.drift.__main__ import rules_of
from services.drift.alarms import FIRST_ABSENCE
from services.drift.cameras import Cameras
from services.drift.layout import ABSENCES
from services.drift.settings import DriftSettings
from services.incidents.rules import Rules
from tests.simulation.cameras import Camera, drift_service
from tests.simulation.incidents import Incidents
from tests.simulation.partitions import FakeMessage
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

CODEC: Final = Codec()
PARTITIONS: Final = 2
LONG_S: Final = 600
"""Of event time, whose clock goes on while nothing comes: longer than restarts take in all. What opened or ended by
less would do so by the machine's speed."""
SETTINGS: Final = {
    "CATSEYE_PARTITIONS": str(PARTITIONS),
    "CATSEYE_INCIDENTS_SETTLE_S": "0",
    "CATSEYE_INCIDENTS_RESOLVE_S": str(LONG_S),
    "CATSEYE_INCIDENTS_AFTER_FAULT_S": str(LONG_S),
    "CATSEYE_DRIFT_REFERENCE_SAMPLES": "200",
    "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0",
    "CATSEYE_DRIFT_FLEET_CAMERAS": "4",
    "CATSEYE_DRIFT_FALSE_INCIDENTS_PER_WEEK": "1000",
    "CATSEYE_SESSION_TIMEOUT_MS": "6000",
    "CATSEYE_TRANSACTION_INTERVAL_MS": "50",  # many transactions: each moment of one is hit
}
INCIDENTS: Final = Rules(settle_ms=0, resolve_ms=1_000 * LONG_S, after_fault_ms=1_000 * LONG_S)
WATCHERS: Final = [service for service in PASSING if service.name in ("drift", "incidents")]
CHUNKS: Final = 6
FPS: Final = 0.2
"""A frame every five seconds: what is late by less than a minute is not missed."""


def road() -> tuple[list[Prediction], list[Outcome]]:
    """Four cameras: one goes black for a while, one sees another light, one is wrong half the time, one is as ever."""
    black, bright, wrong, same = (Camera(name, seed=seed, fps=FPS) for seed, name in enumerate("abcd"))
    shots = {camera.name: camera.shots(300) for camera in (black, bright, wrong, same)}
    shots["a"] += [*black.shots(40, brightness=0.001), *black.shots(160)]
    bright.light, wrong.error_share = 0.8, 0.5
    for camera in (bright, wrong, same):
        shots[camera.name] += camera.shots(200)
    in_turn = [shot for at_once in zip(*shots.values(), strict=True) for shot in at_once]
    cameras = {camera.name: camera for camera in (black, bright, wrong, same)}
    return in_turn, [label for shot in in_turn for label in cameras[shot.camera].labelled([shot])]


def undisturbed(records: Sequence[Prediction | Outcome]) -> tuple[dict[str, dict[str, bytes]], list[Alert]]:
    """State of each camera, by part, and all alerts, when nothing ever fails; a record a batch."""
    settings = DriftSettings(
        partitions=PARTITIONS,
        drift_reference_samples=200,
        drift_reference_span_h=0,
        drift_fleet_cameras=4,
        drift_false_incidents_per_week=1_000,
    )
    core = drift_service(rules_of(settings))
    states = {partition: core.new_state() for partition in range(PARTITIONS)}
    incidents = Incidents(INCIDENTS)
    for record in records:
        topic = "predictions" if isinstance(record, Prediction) else "outcomes"
        message = FakeMessage(topic, CODEC.encode(record), partition_of(record.camera, PARTITIONS))
        for output in core.on_batch([message], states, 0):
            if output.topic == "drift.reports":
                incidents.take(CODEC.decode(output.value, CameraReport))
        for cameras in states.values():
            cameras.commit()
    return {name: parts for each in states.values() for name, parts in of_cameras(each).items()}, incidents.alerts


def of_cameras(cameras: Cameras) -> dict[str, dict[str, bytes]]:
    """Bytes of each field of each camera's rows, but for when absences were noticed and statistics told: that is at the
    end of a batch."""
    table = cameras.table
    table.watch["reported_ms"] = 0
    table.watch["back_from_s"] = 0
    for field in ("raised_since_ms", "raised_at_ms", "cause"):
        table.watch[field][:, FIRST_ABSENCE:] = np.zeros((), table.watch[field].dtype)
    return {
        name: {
            f"{part}.{field}": getattr(table, part)[field][row].tobytes()
            for part in ("reference", "watch", "learning")
            for field in getattr(table, part).dtype.names
        }
        for name, row in zip(cameras, cameras.rows, strict=True)
    }


def restored(found: Running) -> dict[str, dict[str, bytes]]:
    """The same from the log of the service's state."""
    states = [Cameras() for _ in range(PARTITIONS)]
    for message in read_to_end(found.settings, "drift.state"):
        states[message.partition()].restore(message.key(), message.value())
    return {name: parts for cameras in states for name, parts in of_cameras(cameras).items()}


def publish(found: Running, topic: str, records: Sequence[Any]) -> None:
    """Write *records* where their cameras live."""
    producer = Producer(client_config(found.settings))
    for record in records:
        place = partition_of(record.camera, PARTITIONS)
        producer.produce(full_name(topic, found.settings.topic_prefix), CODEC.encode(record), record.camera, place)
    assert producer.flush(30) == 0


def wait_until_taken(found: Running, service: str, topics: Sequence[str]) -> None:
    """Wait until the group of *service* has committed all that lies on *topics*."""
    prefix = found.settings.topic_prefix
    reader = Consumer(reader_config(found.settings, f"{prefix}{service}"))

    def left() -> int:
        unread = 0
        for topic in topics:
            partitions = list(range(PARTITIONS if topic != "drift.reports" else 1))
            bounds = log_bounds(found.settings, full_name(topic, prefix), partitions)
            places = [TopicPartition(full_name(topic, prefix), partition) for partition in bounds]
            for place in reader.committed(places, timeout=10):
                first, end = bounds[place.partition]
                # Behind the last record of a transaction lies its marker, which no position goes past.
                unread += max(0, end - max(first, place.offset) - (topic == "drift.reports"))
        return unread

    try:
        wait_until(lambda: left() == 0, f"{service} has taken all of {', '.join(topics)}")
    finally:
        reader.close()


UNCOUNTED = {*ABSENCES, *OF_SERVICES}


def last_kinds(alerts: Sequence[Alert]) -> dict[str, tuple[str | None, str]]:
    """Camera and kind of each alert, by id, but for absences, and for services that are killed again and again."""
    kinds = {alert.alert_id: (alert.camera, alert.kind) for alert in alerts}
    return {alert_id: statistics_in for alert_id, statistics_in in kinds.items() if statistics_in[1] not in UNCOUNTED}


def kill(found: Running, service: str, chance: random.Random) -> None:
    """kill -9 up to half a second after it runs, or after it is ready: some transactions long, or while it restores."""

    def is_there() -> bool:
        (status,) = [each for each in found.stack.status()["services"] if each["name"] == f"{service}-0"]
        return bool(status["ready"] if wants_ready else status["pid"])

    wants_ready = chance.random() < 0.7
    wait_until(is_there, f"{service} is there")
    time.sleep(chance.random() * 0.5)
    found.process(service).kill()


def test_kill_9_repeats_no_alert_and_loses_none(
    request: pytest.FixtureRequest, broker: KafkaCluster, prefix: str, tmp_path: Any
) -> None:
    """Each is killed a dozen times at moments of chance (`--chaos-first-seed`) while it catches up."""
    chance = random.Random(request.config.getoption("--chaos-first-seed"))
    predictions, labels = road()
    expected_rows, expected = undisturbed([*predictions, *labels])
    with running(broker.bootstrap_servers, tmp_path, prefix, WATCHERS, variables=SETTINGS) as found:
        kills = 0
        for topic, records in (("predictions", predictions), ("outcomes", labels)):
            size = len(records) // CHUNKS + 1
            for start in range(0, len(records), size):
                publish(found, topic, records[start : start + size])
                for service in ("drift", "incidents"):
                    kill(found, service, chance)
                    kills += 1
            wait_until_taken(found, "drift", ["predictions", "outcomes"])
        wait_until_taken(found, "incidents", ["drift.reports"])
        wait_until(lambda: len(last_kinds(found.records("alerts"))) >= len(last_kinds(expected)), "all alerts are open")
        rows, statistics_in = restored(found), found.records("alerts")
    assert kills == 2 * 2 * CHUNKS
    for name, parts in expected_rows.items():
        assert [part for part in parts if rows[name][part] != parts[part]] == [], name
    assert last_kinds(statistics_in) == last_kinds(expected)
    assert set(last_kinds(expected).values()) >= {("a", "camera_black"), ("b", "input")}
    assert "c" in {camera for camera, _ in last_kinds(expected).values()}
    assert max(Counter((alert.alert_id, alert.revision) for alert in statistics_in).values()) == 1
    assert max(Counter(alert.alert_id for alert in statistics_in if alert.state == "opened").values()) == 1
