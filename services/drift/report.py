"""What the drift service says of a camera: a report of its alarms, and statistics."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from catseye.records import Alarm, CameraReport, DriftStatistic, Place
from services.drift.alarms import FIRST_ABSENCE
from services.drift.chosen import NAMES
from services.drift.describe import PHASE_NAMES, class_of, estimate_of, recent_loss, signal_of
from services.drift.layout import (
    ACCURACY,
    ALARMED,
    ALARMS,
    CONFIDENCE_BINS,
    ENTROPY,
    FAMILIES,
    INPUT,
    MARGIN,
    OF_FRAMES,
    PICTURE,
    PREDICTIONS,
    RANKED,
    SAID,
    TELEMETRY,
)
from services.drift.outcomes import expected, worst
from services.drift.rules import Rules
from services.drift.streams import weighed
from services.drift.table import Table, Version

ENGINE: Final = NAMES[0]
RULE: Final = "rule"
_Z95: Final = 1.96
_RECENT: Final = 50  # samples in a running mean that forgets 2 % a sample
_SAME: Final = 0.05  # confidence and accuracy of the reference lie so near each other when confidence can be believed
_FEWEST_LABELS: Final = 20
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
        alarms=[_alarm(table, row, alarm, frames) for alarm in np.flatnonzero(watch["raised"]).tolist()],
        learning_left=learning_left(table, row, rules.reference_samples),
        recent_labels=float(watch["recent_labels"]),
        recent_errors=float(watch["recent_errors"]),
        worst_loss=min(worst(table.reference, row), 1.0),
        estimated_accuracy=estimate,
        estimate_valid=valid,
    )


def learning_left(table: Table, row: int, samples: int) -> int:
    """Frames that the reference of the camera's phase still needs; at least 1 until it is whole, then 0."""
    phase = int(table.watch["phase"][row])
    if table.reference["closed"][row, phase]:
        return 0
    return max(1, samples - int(table.reference["frames"][row, phase]))


def accuracy_without_labels(table: Table, row: int) -> tuple[float | None, bool]:
    """Accuracy of the recent frames as calibrated confidence tells it (CBPE: Białek et al., 2024), and whether that
    may be believed: confidence and accuracy agreed while the camera learned, and its pictures are as they were then.
    """
    watch, known = table.watch[row], table.reference[row]
    if not watch["tested"]:
        return None, False
    loss = float(expected(table.reference, np.array([row]))[0])
    agreed = abs((1 - loss) - _reference_confidence(known)) <= _SAME  # false for NaN: no label yet
    calm = not watch["raised"][FAMILIES.index(INPUT)] and not watch["raised"][len(FAMILIES) :].any()
    return float(watch["recent_confidence"]), bool(agreed and calm)


def statistics(
    table: Table, row: int, rules: Rules, at_ms: int, thresholds: tuple[float, float]
) -> list[DriftStatistic]:
    """Every signal of one camera.

    Args:
        thresholds: Of families of frames, and of labels.
    """
    watch = table.watch[row]
    phase = int(watch["phase"])
    version = version_of(table, row)
    left = learning_left(table, row, rules.reference_samples)
    name = f"{version.version[:12]}/{PHASE_NAMES[phase]}/{int(table.reference['frames'][row, phase])}"

    def one(signal: str, first: int, evidence: float, family: int, **more: Any) -> DriftStatistic:
        estimate, reference = estimate_of(table, row, first, rules.accuracy_floor)
        labelled = family >= OF_FRAMES
        fields = {
            "count": int(watch["labelled" if labelled else "tested"]),
            "estimate": estimate,
            "reference": reference,
            "learning_left": _labels_left(table, row, rules.reference_samples) if labelled else left,
        } | more
        return DriftStatistic(
            camera=table.names[row],
            signal=signal,
            phase=PHASE_NAMES[phase],
            detector=ENGINE,
            at_ms=at_ms,
            model=version.model,
            version=version.version,
            reference_name=name,
            evidence=evidence,
            threshold=thresholds[labelled],
            suspect_since_ms=int(watch["since_ms"][family]) if watch["cusum"][family] > 1 else None,
            **fields,
        )

    shares = weighed(table.watch, table.reference, np.array([row]))[0]
    said = []
    for signal in range(RANKED):
        known = signal < len(PICTURE) or table.reference["telemetry"][row, signal - len(PICTURE)]
        if known:
            family = INPUT if signal < len(PICTURE) else TELEMETRY
            evidence = float(shares[3 * signal : 3 * signal + 3].sum())
            called, _ = signal_of(table, row, 3 * signal)
            said.append(one(called, 3 * signal, evidence, FAMILIES.index(family)))
    for number in (*range(len(version.classes[: SAID - 2])), ENTROPY, MARGIN):
        stream = PREDICTIONS.first + number
        evidence = float(shares[stream] + shares[stream + SAID])
        called, bucket = signal_of(table, row, stream)
        called = called if bucket is None else f"class_share.{class_of(bucket, version.classes) or 'others'}"
        said.append(one(called, stream, evidence, FAMILIES.index(PREDICTIONS)))
    if watch["recent_labels"] > 0:  # of a new version none may have come yet
        loss = recent_loss(watch)
        spread = _Z95 * float(np.sqrt(max(loss * (1 - loss), 0.0) / max(float(watch["recent_labels"]), 1)))
        interval = {"low": max(loss - spread, 0.0), "high": min(loss + spread, 1.0)}
        evidence = float(shares[ACCURACY.slice].sum())
        said.append(one("loss", ACCURACY.first, evidence, FAMILIES.index(ACCURACY), **interval))
    if watch["tested"]:
        said += [
            one(
                signal,
                ACCURACY.first,
                0.0,
                0,
                estimate=value,
                reference=1 - float(np.nan_to_num(expected(table.reference, np.array([row]))[0])),
                low=max(value - spread, 0.0),
                high=min(value + spread, 1.0),
                valid=accuracy_without_labels(table, row)[1],
            )
            for signal, value, spread in _estimates(table, row)
        ]
    return said


def _estimates(table: Table, row: int) -> list[tuple[str, float, float]]:
    """Accuracy without labels by three methods, each with half of its 95 % interval: mean calibrated confidence (CBPE),
    the share of answers over the confidence that cuts the reference's errors off (ATC: Garg et al., 2022), and the
    reference's accuracy less the fall of confidence (DoC: Guillory et al., 2021)."""
    watch, known = table.watch[row], table.reference[row]
    confidence = float(watch["recent_confidence"])
    spread = _Z95 * float(np.sqrt(max(float(watch["recent_variance"]), 0.0) / _RECENT))
    found = [("accuracy_cbpe", confidence, spread)]
    loss = float(expected(table.reference, np.array([row]))[0])
    if not np.isnan(loss):
        share = np.cumsum(known["confidences"]) / max(float(known["confidences"].sum()), 1.0)
        recent = np.cumsum(watch["recent_histogram"]) / max(float(watch["recent_histogram"].sum()), 1e-9)
        edges = np.concatenate([[0.0], share]), np.concatenate([[0.0], recent])
        place = float(np.interp(loss, edges[0], np.arange(CONFIDENCE_BINS + 1)))
        below = min(float(np.interp(place, np.arange(CONFIDENCE_BINS + 1), edges[1])), 1.0)  # shares round up
        found.append(("accuracy_atc", 1 - below, _Z95 * float(np.sqrt(below * (1 - below) / _RECENT))))
        doc = min(max(1 - loss - (_reference_confidence(known) - confidence), 0.0), 1.0)
        found.append(("accuracy_doc", doc, spread))
    return found


def _reference_confidence(known: Any) -> float:
    """Mean confidence while the camera learned."""
    return float(known["confidence"]) / max(float(known["confidences"].sum()), 1.0)


def _labels_left(table: Table, row: int, samples: int) -> int:
    known = table.reference[row]
    if known["labels_closed"].any():
        return 0
    return max(1, samples - int(table.watch["labels"][row]))


def _alarm(table: Table, row: int, alarm: int, frames: tuple[str, int]) -> Alarm:
    watch = table.watch[row]
    version = version_of(table, row)
    kind, signal, label = ALARMS[alarm], ALARMS[alarm], None
    evidence, threshold, estimate, reference, detector = 1.0, 1.0, 1.0, 0.0, RULE
    if alarm < len(FAMILIES):
        numbers = dict(zip(ALARMED, watch["alarmed"][alarm].tolist(), strict=True))
        evidence, threshold = numbers["evidence"], numbers["threshold"]
        estimate, reference = numbers["estimate"], numbers["reference"]
        signal, bucket = signal_of(table, row, int(numbers["stream"]))
        label = None if bucket is None else class_of(bucket, version.classes)
        detector = NAMES[int(numbers["detector"])]
        kind = "camera_moved" if numbers["moved"] else kind
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
        examples_after=_places(at, frames) if alarm < FIRST_ABSENCE else [],
    )


def _places(offsets: Sequence[int], frames: tuple[str, int]) -> list[Place]:
    return [Place(topic=frames[0], partition=frames[1], offset=offset) for offset in sorted(set(offsets))]
