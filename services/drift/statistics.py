"""Statistics of cameras: how each signal is now, how it usually is, and how much evidence there is that it changed."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np

from catseye.contract.records import DriftStatistic
from catseye.intervals import wilson
from services.drift.describe import estimates, off, signal_of
from services.drift.detector_choice import NAMES
from services.drift.fields import CONFIDENCE_BINS
from services.drift.layout import ACCURACY, INPUT, PHASE_NAMES, RANKED_PLACES, Layout, Place
from services.drift.outcomes import expected
from services.drift.report import accuracy_without_labels, learning_left, reference_confidence, version_of
from services.drift.rules import Rules
from services.drift.sample import Floats, Ints
from services.drift.signals import KINDS
from services.drift.streams import weighed
from services.drift.table import Table

_Signals = Iterator[tuple[int, int, dict[str, Any]]]
"""Of signals: place of the family, first of the streams, and fields beside their estimate and reference."""

ENGINE: Final = NAMES[0]
_LABELLED: Final = [kind.by == "outcomes" for kind in KINDS]
_KIND: Final = {kind.name: number for number, kind in enumerate(KINDS)}
_Z95: Final = 1.96
_RECENT: Final = 50  # samples in a running mean that forgets 2 % a sample


@lru_cache
def _places(layout: Layout) -> list[tuple[Place, list[int]]]:
    """What frames are watched by, each with its streams."""
    return [
        (place, [number for number, stream in enumerate(layout.stream) if stream.place == place])
        for place in (*RANKED_PLACES, *layout.output_places)
    ]


def statistics(
    table: Table, rows: Ints, rules: Rules, at_ms: int, of_frames: Floats, of_labels: Floats
) -> Iterator[DriftStatistic]:
    """Every signal of cameras, one camera after the other.

    Args:
        of_frames, of_labels: Thresholds of the families of each, [n].
    """
    # All cameras at once: numbers of one at a time are most of what a large fleet would cost.
    of_loss = table.layout.families[ACCURACY].first
    now, normal = estimates(table, rows, rules.accuracy_floor)
    shares, usual_loss = weighed(table.watch, table.reference, rows), expected(table.reference, rows)
    for place, row in enumerate(rows.tolist()):
        watch = table.watch[row]
        version, phase = version_of(table, row), int(watch["phase"])
        frames = int(table.reference["frames"][row, phase])
        of_camera = {
            "camera": table.names[row],
            "phase": PHASE_NAMES[phase],
            "detector": ENGINE,
            "at_ms": at_ms,
            "model": version.model,
            "version": version.version,
            "reference_name": f"{version.version[:12]}/{PHASE_NAMES[phase]}/{frames}",
        }
        left = learning_left(table, row, rules.reference_samples)
        labels_left = _labels_left(table, row, rules.reference_samples)
        of_family: list[dict[str, Any]] = [
            {
                "count": int(watch["labelled" if labelled else "tested"]),
                "learning_left": labels_left if labelled else left,
                "threshold": float((of_labels if labelled else of_frames)[place]),
                "suspect_since_ms": since_ms if cusum > 1 else None,
            }
            for labelled, since_ms, cusum in zip(_LABELLED, watch["since_ms"].tolist(), watch["cusum"], strict=True)
        ]
        for family, stream, more in (
            *_of_frames(table, row, shares[place], version.classes, rules.reference_samples),
            *_of_labels(table, row, shares[place], float(now[place, of_loss])),
            *_without_labels(table, row, float(usual_loss[place])),
        ):
            numbers: dict[str, Any] = {"estimate": float(now[place, stream]), "reference": float(normal[place, stream])}
            yield DriftStatistic(**of_camera, **of_family[family] | numbers | more)


def _of_frames(table: Table, row: int, shares: Floats, classes: tuple[str, ...], samples: int) -> _Signals:
    """Signals of pictures, telemetry and predictions. One of which a whole reference holds nothing is off: it claims
    nothing until as many samples are learned from as make a reference.

    Args:
        shares: Of each stream in its family's evidence, [streams].
        samples: How many make a reference.
    """
    slots, lags = table.reference["telemetry"][row], table.reference["decorrelation_lag"][row]
    is_off = off(table, row)
    for place, streams in _places(table.layout):
        signal = place.signal
        if (signal.along == "slot" and not slots[place.number]) or (
            signal.along == "class" and place.number >= len(classes)
        ):
            continue
        if signal.optional and not lags[RANKED_PLACES.index(place)]:
            continue  # nothing is known of it
        called, bucket = signal_of(table, row, streams[0])
        called = called if bucket is None else f"{called}.{table.layout.class_of(bucket, classes) or 'others'}"
        shown: dict[str, Any] = {"signal": called, "evidence": float(shares[streams].sum())}
        if place in RANKED_PLACES and is_off[RANKED_PLACES.index(place)]:
            shown["learning_left"] = samples
        yield _KIND[signal.family], streams[0], shown


def _of_labels(table: Table, row: int, shares: Floats, loss: float) -> _Signals:
    """The loss of a camera once there are labels of its model; with a 95 % interval."""
    labels, family = float(table.watch["recent_labels"][row]), table.layout.families[ACCURACY]
    if labels > 0:  # of a new version none may have come yet
        low, high = interval_of_loss(loss, labels)
        evidence = float(shares[family.slice].sum())
        numbers_of_it = {"signal": "loss", "evidence": evidence, "low": low, "high": high}
        yield ACCURACY, family.first, numbers_of_it


def _without_labels(table: Table, row: int, usual_loss: float) -> _Signals:
    """Accuracy without labels by three methods, each with its 95 % interval: mean calibrated confidence (CBPE), the
    share of answers over the confidence that cuts the reference's errors off (ATC: Garg et al., 2022), and the
    reference's accuracy less the fall of confidence (DoC: Guillory et al., 2021).

    Args:
        usual_loss: NaN where there was no label yet; then only the first is there.
    """
    watch, known = table.watch[row], table.reference[row]
    if not watch["tested"]:
        return
    confidence = float(watch["recent_confidence"])
    spread = _Z95 * float(np.sqrt(max(float(watch["recent_variance"]), 0.0) / _RECENT))
    found = [("accuracy_cbpe", confidence, spread)]
    if not np.isnan(usual_loss):
        share = np.cumsum(known["confidences"]) / max(float(known["confidences"].sum()), 1.0)
        recent = np.cumsum(watch["recent_histogram"]) / max(float(watch["recent_histogram"].sum()), 1e-9)
        edges = np.concatenate([[0.0], share]), np.concatenate([[0.0], recent])
        place = float(np.interp(usual_loss, edges[0], np.arange(CONFIDENCE_BINS + 1)))
        below = min(float(np.interp(place, np.arange(CONFIDENCE_BINS + 1), edges[1])), 1.0)  # shares round up
        found.append(("accuracy_atc", 1 - below, _Z95 * float(np.sqrt(below * (1 - below) / _RECENT))))
        doc = min(max(1 - usual_loss - (reference_confidence(known) - confidence), 0.0), 1.0)
        found.append(("accuracy_doc", doc, spread))
    reference = 1 - float(np.nan_to_num(usual_loss))
    _, valid = accuracy_without_labels(table, row)
    for signal, value, half in found:
        numbers_of_it = {"signal": signal, "evidence": 0.0, "estimate": value, "reference": reference, "valid": valid}
        yield INPUT, table.layout.families[ACCURACY].first, numbers_of_it | _interval(value, half)


def interval_of_loss(loss: float, labels: float) -> tuple[float, float]:
    """95 % interval of a share of errors among weighed labels.

    Args:
        loss: Weighed share of errors, 0 to 1.
        labels: Sum of the weights, which are at most 1: no more than the labels' effective number, so the interval is
            no shorter than it must be.
    """
    counted = max(labels, 1.0)
    return wilson(min(max(loss, 0.0), 1.0) * counted, counted, _Z95)


def _interval(share: float, half: float) -> dict[str, float]:
    """A share and *half* of its interval on both sides."""
    return {"low": max(share - half, 0.0), "high": min(share + half, 1.0)}


def _labels_left(table: Table, row: int, samples: int) -> int:
    """As `learning_left`, of labels."""
    if table.reference["labels_closed"][row].any():
        return 0
    return max(1, samples - int(table.watch["labels"][row]))
