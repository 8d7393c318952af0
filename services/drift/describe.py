"""What streams and families are called, and what a person is told of them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from services.drift.layout import (
    ACCURACY,
    BUCKETS,
    COMPOSITION,
    ENTROPY,
    FAMILIES,
    FLOOR,
    INPUT,
    LIGHT,
    PICTURE,
    RANKED,
    SAID,
)
from services.drift.outcomes import expected
from services.drift.reference import usual
from services.drift.sample import Floats
from services.drift.streams import weighed
from services.drift.table import Table

PHASE_NAMES: Final = ("night", "day")
_MOVED: Final = 1e-3
"""A camera that moved shows the same light: its evidence is less than this share of the composition's."""


def signal_of(table: Table, row: int, stream: int) -> tuple[str, int | None]:
    """Name of the signal of a stream, and the bucket of the class that it is about."""
    if stream < 3 * RANKED:
        signal = stream // 3
        if signal < len(PICTURE):
            return PICTURE[signal], None
        return f"telemetry.{table.reference['telemetry'][row, signal - len(PICTURE)].decode()}", None
    if stream < ACCURACY.first:
        said = (stream - 3 * RANKED) % SAID
        if said < BUCKETS:
            return "class_share", said
        return ("entropy" if said == ENTROPY else "margin"), None
    if stream < FLOOR.first:
        bucket = stream - ACCURACY.first - 1
        return "loss", bucket if bucket >= 0 else None
    return "accuracy", None


def class_of(bucket: int, classes: Sequence[str]) -> str | None:
    """Class of a bucket; None where it has several or none."""
    alone = bucket < BUCKETS - 1 or len(classes) == BUCKETS
    return classes[bucket] if alone and bucket < len(classes) else None


def estimate_of(table: Table, row: int, stream: int, floor: float) -> tuple[float, float]:
    """Current estimate of a stream's signal, and what is normal for it in the camera's phase."""
    watch, known = table.watch[row], table.reference
    phase = int(watch["phase"])
    if stream < 3 * RANKED:
        mean, _ = usual(known, np.array([row]), np.array([phase]), stream // 3)
        return float(watch["values"][stream // 3]), float(mean[0])
    if stream < ACCURACY.first:
        said = (stream - 3 * RANKED) % SAID
        return float(watch["values"][RANKED + said]), float(known["said_mean"][row, phase, said])
    loss = recent_loss(watch)
    if stream < FLOOR.first:
        return loss, float(np.nan_to_num(expected(known, np.array([row]))[0]))
    return 1 - loss, floor


def recent_loss(watch: Any) -> float:
    """Share of the recent labels of a camera that contradict their prediction, 0 to 1; NaN without labels."""
    return float(watch["recent_errors"] / watch["recent_labels"]) if watch["recent_labels"] > 0 else float("nan")


def alarmed(
    table: Table, row: int, family: int, threshold: float, floor: float, chosen: tuple[int, int] | None = None
) -> tuple[float, ...]:
    """What the alarm of a family says while it lasts, in the order of `layout.ALARMED`.

    Args:
        chosen: Stream and number of the detector, where it was not the engine that raised it.
    """
    watch = table.watch[row]
    shares = weighed(table.watch, table.reference, np.array([row]))[0]
    most = FAMILIES[family].first + int(shares[FAMILIES[family].slice].argmax())
    stream, detector = chosen or (most, 0)
    estimate, reference = estimate_of(table, row, stream, floor)
    moved = FAMILIES[family] is INPUT and _has_moved(shares)
    evidence = float(watch["family"][family]) if chosen is None else threshold
    return evidence, threshold, stream, estimate, reference, moved, detector


def _has_moved(shares: Floats) -> bool:
    """Another view under the same light, by the *shares* of evidence, [STREAMS]."""
    by_signal = shares[INPUT.slice].reshape(-1, 3).sum(axis=1)
    return bool(by_signal[LIGHT].max() < _MOVED * by_signal[COMPOSITION])
