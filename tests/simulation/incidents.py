"""Reports of cameras for incidents, and one worker in memory that takes them."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, Alert, CameraReport, ModelEvent
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed
from catseye.runtime.stream import Output
from services.incidents.book import Book
from services.incidents.core import IncidentsCore
from services.incidents.life import Rules
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
START_MS = 1_800_000_000_000
"""Moments of the tests are seconds after it."""


def ms(at_s: float) -> int:
    """Unix milliseconds of a moment."""
    return START_MS + round(at_s * 1_000)


def alarm(kind: str, raised_s: float, **changes: Any) -> Alarm:
    """An alarm that began a second before it was raised; its cause is its kind and time."""
    sound = Alarm(
        kind=kind,
        cause=digest(kind, ms(raised_s)),
        signal={"input": "sharpness", "predictions": "class", "accuracy": "loss"}.get(kind, kind),
        phase="day",
        detector="rule" if kind.startswith("camera_") else "e-sr",
        estimate=0.25,
        reference=0.75,
        evidence=20.0,
        threshold=10.0,
        since_ms=ms(raised_s) - 1_000,
        raised_at_ms=ms(raised_s),
    )
    return replace(sound, **changes)


def report(camera: str, at_s: float, *alarms: Alarm, **changes: Any) -> CameraReport:
    """All that is wrong with a camera at a moment."""
    sound = CameraReport(
        camera=camera,
        at_ms=ms(at_s),
        model="vehicles",
        version="v1",
        version_since_ms=ms(-7_200),
        alarms=list(alarms),
        learning_left=0,
        recent_labels=0.0,
        recent_errors=0.0,
        estimate_valid=True,
    )
    return replace(sound, **changes)


def silenced(alert: Alert, until_ms: int = UNTIL_RESOLVED, **changes: Any) -> Alert:
    """The record that `catseye alerts suppress` writes."""
    text = suppressed(alert.explanation, "ada", until_ms, "road works")
    own = replace(alert, state="suppressed", by="ada", revision=alert.revision + 1, explanation=text)
    return replace(own, **changes)


def message(record: CameraReport | Alert | ModelEvent | bytes | None, topic: str = "drift.reports") -> FakeMessage:
    """A record as it lies on its topic."""
    if isinstance(record, ModelEvent):
        return FakeMessage("models", CODEC.encode(record))
    if isinstance(record, Alert):
        return FakeMessage("alerts", CODEC.encode(record), 0, 0, record.alert_id.encode())
    return FakeMessage(topic, CODEC.encode(record) if isinstance(record, CameraReport) else record)


class Incidents:
    """The service: what it writes to alerts comes in again, as it does on the broker."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.partition: Partition[Book] = Partition(lambda: IncidentsCore(CODEC, "", self.rules))

    @property
    def alerts(self) -> list[Alert]:
        """All records so far, people's not among them."""
        return [CODEC.decode(output.value, Alert) for output in self.partition.outputs if output.topic == "alerts"]

    def take(self, *records: CameraReport | Alert | ModelEvent) -> list[Alert]:
        """One batch, and what came of it."""
        return self.batch([message(record) for record in records])

    def batch(self, messages: Sequence[FakeMessage]) -> list[Alert]:
        """The same with bytes as they are."""
        before = len(self.alerts)
        self.partition.take(messages)
        said = self.alerts[before:]
        for alert in said:
            count = len(self.partition.outputs)
            self.partition.take([message(alert)])
            assert len(self.partition.outputs) == count  # an echo says nothing new
        return said

    def wait(self, seconds: float, step_s: float = 0.5) -> list[Alert]:
        """Let time pass here while no report comes."""
        before, now_ms = len(self.alerts), 0
        while now_ms <= seconds * 1_000:
            core, state = self.partition.core, self.partition.state
            outputs = core.on_time({0: state}, now_ms)
            self.partition.state_log += state.changes()
            self.partition.outputs += [Output(*row) for row in outputs]
            state.commit()
            now_ms += round(step_s * 1_000)
        return self.alerts[before:]
