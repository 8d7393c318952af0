"""The report of a camera that changed: all that is wrong with it now."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from catseye.contract.identity import digest
from catseye.contract.records import Alarm, CameraReport, Place
from services.drift import absences
from services.drift.alarms import DEAD_LETTERS
from services.drift.cameras import Version
from services.drift.describe import signal_of, signals_off
from services.drift.detector_choice import NAMES
from services.drift.fault_rules import ALARMS
from services.drift.layout import ALARMED, FAMILIES, FAULT_ALARMS, INPUT, PHASE_NAMES
from services.drift.outcomes import expected, worst
from services.drift.rules import Rules
from services.drift.table import Table

RULE: Final = "rule"
MOVED: Final = "camera_moved"
_SAME: Final = 0.05  # confidence and accuracy of the reference lie so near each other when confidence can be believed
NOBODY: Final = Version("", "", ())


def version_of(table: Table, row: int) -> Version:
    """Model of a camera; one without a name while it has shown no prediction."""
    return table.cameras(row).versions.get(int(table.watch["version"][row]), NOBODY)


def report(table: Table, row: int, rules: Rules, at_ms: int, frames: tuple[str, int]) -> CameraReport:
    """Everything that is wrong with one camera.

    Args:
        frames: Topic and partition of the camera's frames, for examples.
    """
    watch = table.watch[row]
    version = version_of(table, row)
    estimate, valid = accuracy_without_labels(table, row)
    return CameraReport(
        camera=table.names[row],
        at_ms=at_ms,
        model=version.model,
        version=version.version,
        version_since_ms=int(watch["version_since_ms"]),
        alarms=_alarms(table, row, frames),
        learning_left=learning_left(table, row, rules.reference_samples),
        recent_labels=float(watch["recent_labels"]),
        recent_errors=float(watch["recent_errors"]),
        worst_loss=min(worst(table.reference, row), 1.0),
        estimated_accuracy=estimate,
        estimate_valid=valid,
        signals_off=signals_off(table, row),
    )


def learning_left(table: Table, row: int, samples: int) -> int:
    """Frames that the reference of the camera's phase still needs; at least 1 until it is whole, then 0."""
    phase = int(table.watch["phase"][row])
    if table.reference["closed"][row, phase]:
        return 0
    return max(1, samples - int(table.reference["frames"][row, phase]))


def accuracy_without_labels(table: Table, row: int) -> tuple[float | None, bool]:
    """Accuracy of the recent frames as calibrated confidence estimates it (CBPE: Białek et al., 2024), and whether that
    may be believed: confidence and accuracy agreed while the camera learned, and its pictures are as they were then.
    """
    watch, known = table.watch[row], table.reference[row]
    if not watch["tested"]:
        return None, False
    loss = float(expected(table.reference, np.array([row]))[0])
    agreed = abs((1 - loss) - reference_confidence(known)) <= _SAME  # false for NaN: no label yet
    calm = not watch["raised"][INPUT] and not watch["raised"][len(FAMILIES) :].any()
    return float(watch["recent_confidence"]), bool(agreed and calm)


def reference_confidence(known: Any) -> float:
    """Mean confidence of a camera, a row of references, while it learned."""
    return float(known["confidence"]) / max(float(known["confidences"].sum()), 1.0)


def _alarms(table: Table, row: int, frames: tuple[str, int]) -> list[Alarm]:
    """All that is raised; that the camera has moved is known by its views where it sends some."""
    raised = [_alarm(table, row, alarm, frames) for alarm in np.flatnonzero(table.watch["raised"][row]).tolist()]
    followed = table.cameras(row).followed.get(table.names[row])
    if followed is None or followed.moved is None or any(each.kind == MOVED for each in raised):
        return raised
    since = followed.moved
    moved = Alarm(
        kind=MOVED,
        cause=digest("alarm", table.names[row], MOVED, since.cause.hex()),
        signal=MOVED,
        phase=PHASE_NAMES[int(table.watch["phase"][row])],
        detector=RULE,
        estimate=1.0,
        reference=0.0,
        evidence=1.0,
        threshold=1.0,
        since_ms=since.since_ms,
        raised_at_ms=since.raised_at_ms,
    )
    return [*raised, moved]


def _alarm(table: Table, row: int, alarm: int, frames: tuple[str, int]) -> Alarm:
    watch = table.watch[row]
    version = version_of(table, row)
    kind, signal, label = ALARMS[alarm], ALARMS[alarm], None
    evidence, threshold, estimate, reference, detector = 1.0, 1.0, 1.0, 0.0, RULE
    if alarm == DEAD_LETTERS:
        signal = absences.reason_of(watch) or signal
    if alarm < len(FAMILIES):
        numbers = dict(zip(ALARMED.names or (), watch["alarmed"][alarm].tolist(), strict=True))
        evidence, threshold = numbers["evidence"], numbers["threshold"]
        estimate, reference = numbers["estimate"], numbers["reference"]
        signal, bucket = signal_of(table, row, numbers["stream"])
        label = None if bucket is None else table.layout.class_of(bucket, version.classes)
        detector = NAMES[numbers["detector"]]
        kind = MOVED if numbers["moved"] else kind
    frames_seen = int(watch["frames"])
    at = [int(watch["offsets"][number % 4]) for number in range(max(frames_seen - 3, 1), frames_seen + 1)]
    before = [int(offset) for offset in table.reference["examples"][row] if offset]
    return Alarm(
        kind=kind,
        cause=watch["cause"][alarm].tobytes().hex(),
        signal=signal,
        label=label,
        phase=PHASE_NAMES[int(watch["phase"])],
        detector=detector,
        estimate=estimate,
        reference=reference,
        evidence=evidence,
        threshold=threshold,
        since_ms=int(watch["raised_since_ms"][alarm]),
        raised_at_ms=int(watch["raised_at_ms"][alarm]),
        examples_before=_places(before, frames),
        examples_after=_places(at, frames) if alarm < FAULT_ALARMS.stop else [],
    )


def _places(offsets: Sequence[int], frames: tuple[str, int]) -> list[Place]:
    return [Place(topic=frames[0], partition=frames[1], offset=offset) for offset in sorted(set(offsets))]
