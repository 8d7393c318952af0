"""Reports of cameras for incidents, and one worker in memory that takes them."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from fastavro import schemaless_writer
from msgspec.structs import replace

from catseye.contract.codec import SINGLE_OBJECT, Codec, schema_fingerprint
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, Alert, AlertAction, AlertCommand, CameraReport, DeadLetter, ModelEvent
from catseye.contract.rollback import Rollback
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.incidents import BATCHES, NAME, WRITES
from services.incidents.core import IncidentsCore
from services.incidents.incidents_state import IncidentsState
from services.incidents.rules import Rules
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
SCHEMAS = Path(__file__).parents[2] / "schemas"
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


Taken = CameraReport | AlertCommand | ModelEvent


def asked(alert: Alert, action: AlertAction, **changes: Any) -> AlertCommand:
    """What a person wants done with an alert, now that its newest record is *alert*."""
    sound = AlertCommand(
        command_id=digest("asked", alert.alert_id, alert.revision, action, repr(sorted(changes.items()))),
        alert_id=alert.alert_id,
        action=action,
        revision=alert.revision,
        by="ada",
        at_ms=alert.updated_at_ms,
    )
    return replace(sound, **changes)


def silenced(alert: Alert, until_ms: int | None = None, **changes: Any) -> AlertCommand:
    """The command that `catseye alerts suppress` writes."""
    return asked(alert, "suppress", **{"until_ms": until_ms, "reason": "road works"} | changes)


def seen(alert: Alert, **changes: Any) -> AlertCommand:
    """The command that `catseye alerts acknowledge` writes."""
    return asked(alert, "acknowledge", **changes)


def message(record: Taken | bytes | None, topic: str = "drift.reports") -> FakeMessage:
    """A record as it lies on its topic."""
    if isinstance(record, ModelEvent):
        return FakeMessage("models", CODEC.encode(record))
    if isinstance(record, AlertCommand):
        return FakeMessage("alert.commands", CODEC.encode(record), 0, 0, record.alert_id.encode())
    return FakeMessage(topic, CODEC.encode(record) if isinstance(record, CameraReport) else record)


def version_2(alert: Alert) -> bytes:
    """*alert* as a writer of version 2 of its schema wrote it."""
    schema = json.loads((SCHEMAS / "versions" / "2" / "alert.avsc").read_text())
    body = BytesIO()
    schemaless_writer(body, schema, msgspec.to_builtins(alert))
    return SINGLE_OBJECT + schema_fingerprint(schema) + body.getvalue()


def rolled_back(**metrics: float) -> ModelEvent:
    """Rollout's word that A is champion again after B was worse."""
    why = Rollback(since_ms=ms(0), accuracy_new=0.25, accuracy_old=0.75, evidence=30.0, evidence_needed=20.0)
    return ModelEvent(
        event_id="e" * 32,
        model="vehicles",
        version="A",
        stage="champion",
        sha256="0" * 64,
        signature=b"",
        previous_version="B",
        because="rollback_worse: on 7 labelled frames B is worse",
        by="rollout",
        at_ms=ms(60),
        metrics=why.metrics() | metrics,
    )


def core_of(rules: Rules) -> Router[IncidentsState]:
    """The core as its worker runs it."""
    return Router(IncidentsCore(rules), NAME, BATCHES, WRITES, CODEC, "", 1)


class Incidents:
    """The service, in memory."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.partition: Partition[IncidentsState] = Partition(lambda: core_of(self.rules))

    @property
    def alerts(self) -> list[Alert]:
        """All records so far."""
        return [CODEC.decode(output.value, Alert) for output in self.partition.outputs if output.topic == "alerts"]

    @property
    def answers(self) -> list[Alert]:
        """Those of them that a command led to."""
        return [alert for alert in self.alerts if alert.command_id is not None]

    @property
    def refused(self) -> list[DeadLetter]:
        """What it could not accept."""
        letters = [output for output in self.partition.outputs if output.topic == "dead-letters"]
        return [CODEC.decode(output.value, DeadLetter) for output in letters]

    def take(self, *records: Taken) -> list[Alert]:
        """One batch, and what came of it; answers to commands are left out."""
        return self.batch([message(record) for record in records])

    def ask(self, *records: Taken) -> list[Alert]:
        """One batch, and the answers to its commands."""
        before = len(self.answers)
        self.take(*records)
        return self.answers[before:]

    def batch(self, messages: Sequence[FakeMessage]) -> list[Alert]:
        """As `take`, with bytes as they are."""
        before = len(self.alerts)
        self.partition.take(messages)
        return [alert for alert in self.alerts[before:] if alert.command_id is None]

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
