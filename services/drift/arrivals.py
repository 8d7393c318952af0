"""When frames and labels of a camera come: how often, with what pauses, and how many."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fault_rules import MOST_IN_A_ROW, share_of, smoothed
from services.drift.sample import Frames, Ints

GAPS: Final = 5
GRACE_MS: Final = {"": 15_000, "label_": 5_000}
"""Of frames: in less time the partitions of a worker that was killed are another's."""
WEEK_MS: Final = 7 * 86_400_000
_GAP_FADES: Final = np.float32(0.999)


def waited_ms(watch: NDArray[Any], seen: Frames) -> NDArray[np.float64]:
    """For how much longer than usual each frame has waited to be received, [n]: by how much more our clock is ahead of
    the camera's. A pause of so long was a service's, or the broker's, and not the camera's."""
    skew = (seen.at_ms - seen.captured_ms).astype(np.float64)
    usual_ms = np.where(watch["frames"][seen.rows] > 0, watch["skew_ms"][seen.rows], skew)
    return np.maximum(skew - usual_ms, 0.0)


def came(
    watch: NDArray[Any],
    rows: Ints,
    at_ms: Ints,
    of: str,
    passed: Ints | int = 0,
    waited_ms: NDArray[np.float64] | float = 0.0,
) -> None:
    """Count a frame (*of* is empty) or a label (``label_``) of each camera; keep the mean and the longest time between
    two of them.

    The mean is that of a week, so that a pause does not make a camera seem slow. The longest one fades with a thousand
    frames, but of labels by half in a week: thousands may come in one batch a day.

    Args:
        watch: Rows of the table; changed in place.
        rows: [n], no two alike.
        at_ms: When ingest took it, [n].
        passed: Frames since the one before that were passed over, [n].
        waited_ms: How much of the pause before each was not the camera's, [n]: no part of the longest time between two.
    """
    count = "labels" if of else "frames"
    last = watch[f"{of}seen_ms"][rows]
    gap = (np.maximum(at_ms - last, 0) * (last > 0)).astype(np.float64)
    counted = watch[count][rows].astype(np.float64)
    every = watch[f"{of}every_ms"][rows]
    watch[f"{of}every_ms"][rows] = every + np.maximum(every / WEEK_MS, 1 / (counted + 1)) * (gap - every)
    fades = np.exp2(-gap / WEEK_MS) if of else _GAP_FADES
    watch[f"{of}gap_max_ms"][rows] = np.maximum(watch[f"{of}gap_max_ms"][rows] * fades, gap - waited_ms)
    if not of:
        each = (gap / (1 + passed + watch["passed"][rows].astype(np.int64))).astype(np.float32)
        watch["gap_ms"][rows] = smoothed(watch["gap_ms"][rows], each, share_of(counted))
        watch["passed"][rows] = 0
    watch[f"{of}seen_ms"][rows] = np.maximum(last, at_ms)
    watch[count][rows] += 1


def passed_over(watch: NDArray[Any], rows: list[int], count: Ints) -> None:
    """Count frames of cameras that were passed over, [n], since the last one that was sampled."""
    watch["passed"][rows] = np.minimum(watch["passed"][rows] + count, MOST_IN_A_ROW)


def overdue_ms(watch: NDArray[Any], rows: Ints, of: str) -> NDArray[np.float64]:
    """How long a pause of frames or labels must last to be one, [n]: five times the longest one lately, and a grace.

    Of frames the longest one is the mean at least: a clock that stands makes each frame seem to have waited.

    Of a Poisson process with a thousand samples in memory that happens by chance less than once in 10^10 samples; what
    comes in daily batches is not missed before five days.
    """
    longest_ms = watch[f"{of}gap_max_ms"][rows].astype(np.float64)
    if not of:
        longest_ms = np.maximum(longest_ms, watch["every_ms"][rows])
    overdue: NDArray[np.float64] = GAPS * longest_ms + GRACE_MS[of]
    return overdue
