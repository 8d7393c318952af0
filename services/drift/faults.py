"""Camera faults: rules that a person can check, on runs of frames. While one holds, all else about the camera is moot.

A rule must hold for `RUN` frames in a row and for `LASTING_MS`, that on clocks for `CLOCK_MS`; it ends when it does not
hold for `CLEAR` in a row. A clock that has kept its new time for `CLOCK_KEPT_MS` is taken to be right from then on:
most jumps are repairs.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.layout import ALARMS, FAULTS, FOCUS, MOST_IN_A_ROW, PICTURE
from services.drift.reference import usual
from services.drift.sample import Floats, Frames, Ints

RUN: Final = 12
CLEAR: Final = 20
LASTING_MS: Final = 500
CLOCK_MS: Final = 15_000
_BLACK: Final = 0.05
_WHITE: Final = 0.95
_FLAT: Final = 0.03  # standard deviation of luma: a lens that is covered shows an even surface, of any light
_BLURRED: Final = 1.6  # natural log: sharpness for its contrast has fallen to less than a fifth
_SPREADS: Final = 3.0
_RELIEF: Final = 0.5  # by so much sharper again before a blurred camera is said to be sharp
_CONTRAST_LEFT: Final = 0.65  # a lens out of focus keeps large shapes and their contrast; fog does not
_SMOOTH: Final = np.float32(0.05)
_FEW: Final = 20  # frames after which a running mean is believed
CLOCK_KEPT_MS: Final = 3_600_000
GAPS: Final = 5
GRACE_MS: Final = {"": 15_000, "label_": 5_000}
"""Of frames: in less time the partitions of a worker that was killed are another's."""
WEEK_MS: Final = 7 * 86_400_000
_CLOCK: Final = FAULTS.index("camera_clock")
_LASTING_MS: Final = np.array([CLOCK_MS if fault == _CLOCK else LASTING_MS for fault in range(len(FAULTS))])
_CATCHES_UP: Final = 0.2  # of the time that passes: frames that waited are by more less late
_BLURRED_ALARM: Final = ALARMS.index("camera_blurred")
_GAP_FADES: Final = np.float32(0.999)
_BRIGHTNESS, _CONTRAST = PICTURE.index("brightness"), PICTURE.index("contrast")


def look(
    watch: NDArray[Any], reference: NDArray[Any], phase: Ints, seen: Frames, *, skew_ms: float, latency_ms: float
) -> NDArray[np.bool_]:
    """Take one frame of each camera and say which rules hold now, [n, FAULTS], having lasted.

    Args:
        watch, reference: Rows of the table; *watch* is changed in place.
        phase: [n].
        seen: The frames.
        skew_ms: Jump of a clock that is a fault.
        latency_ms: Mean latency over which the service is too slow.
    """
    rows = seen.rows
    holds = np.zeros((len(rows), len(FAULTS)), bool)
    light, contrast = seen.ranked[:, _BRIGHTNESS], seen.ranked[:, _CONTRAST]
    count = watch["frames"][rows]
    share = _share(count)
    holds[:, 1] = light < _BLACK
    holds[:, 2] = light > _WHITE
    lit = ~(holds[:, 1] | holds[:, 2])
    holds[:, 0] = lit & (watch["content"][rows] == seen.content) & (count > 0)
    holds[:, 3] = lit & (contrast < _FLAT)
    holds[:, 4] = _blurred(watch, reference, phase, seen, share) & lit & ~holds[:, 3]
    holds[:, 5] = _clock_jumped(watch, seen, skew_ms)
    mean_ms = watch["latency_ms"][rows] = _smoothed(watch["latency_ms"][rows], seen.latency_ms, share)
    holds[:, 6] = mean_ms > latency_ms
    watch["content"][rows] = seen.content
    watch["fault_clear"][rows] = _one_more(watch["fault_clear"][rows]) * ~holds
    if not holds.any():
        watch["fault_run"][rows] = 0
        return holds
    run = _one_more(watch["fault_run"][rows]) * holds
    from_ms = np.where(run == 1, seen.at_ms[:, None], watch["fault_from_ms"][rows])
    watch["fault_run"][rows], watch["fault_from_ms"][rows] = run, from_ms
    lasting: NDArray[np.bool_] = (run >= RUN) & (seen.at_ms[:, None] - from_ms >= _LASTING_MS)
    return lasting


def gaps(watch: NDArray[Any], rows: Ints, at_ms: Ints, of: str, passed: Ints | int = 0) -> None:
    """Keep the mean and the longest time between two frames (`of` is empty) or two labels (``label_``).

    The mean is that of a week, so that a pause does not make a camera look slow. The longest one fades with a thousand
    frames, but of labels by half in a week: thousands may come in one batch a day.

    Args:
        passed: Frames since the one before that were passed over, [n].
    """
    last = watch[f"{of}seen_ms"][rows]
    gap = (np.maximum(at_ms - last, 0) * (last > 0)).astype(np.float64)
    counted = watch["labels" if of else "frames"][rows].astype(np.float64)
    every = watch[f"{of}every_ms"][rows]
    watch[f"{of}every_ms"][rows] = every + np.maximum(every / WEEK_MS, 1 / (counted + 1)) * (gap - every)
    fades = np.exp2(-gap / WEEK_MS) if of else _GAP_FADES
    watch[f"{of}gap_max_ms"][rows] = np.maximum(watch[f"{of}gap_max_ms"][rows] * fades, gap)
    if not of:
        each = (gap / (1 + passed + watch["passed"][rows].astype(np.int64))).astype(np.float32)
        watch["gap_ms"][rows] = _smoothed(watch["gap_ms"][rows], each, _share(counted))
        watch["passed"][rows] = 0
    watch[f"{of}seen_ms"][rows] = np.maximum(last, at_ms)


def overdue_ms(watch: NDArray[Any], rows: Ints, of: str) -> NDArray[np.float64]:
    """How long a pause of frames or labels must last to be one, [n]: five times the longest one lately, and a grace.

    Of a Poisson process with a thousand samples in memory that happens by chance less than once in 10^10 samples; what
    comes in daily batches is not missed before five days.
    """
    overdue: NDArray[np.float64] = GAPS * watch[f"{of}gap_max_ms"][rows].astype(np.float64) + GRACE_MS[of]
    return overdue


def _share(count: NDArray[Any]) -> Floats:
    """Share of a frame in a running mean, [n]: that of all at first, then fading."""
    share: Floats = np.maximum(_SMOOTH, 1 / (count.astype(np.float32) + 1))
    return share


def _smoothed(mean: Floats, value: Floats, share: Floats) -> Floats:
    """Running mean."""
    return mean + share * (value - mean)


def _one_more(run: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames in a row, with this one."""
    return np.minimum(run, MOST_IN_A_ROW - 1) + np.uint8(1)


def _blurred(
    watch: NDArray[Any], reference: NDArray[Any], phase: Ints, seen: Frames, share: Floats
) -> NDArray[np.bool_]:
    """Sharpness for its contrast has fallen far below what is usual, and contrast has not."""
    rows = seen.rows
    focus = watch["focus"][rows] = _smoothed(watch["focus"][rows], seen.ranked[:, FOCUS], share)
    contrast = watch["contrast"][rows] = _smoothed(watch["contrast"][rows], seen.ranked[:, _CONTRAST], share)
    learned = reference["closed"][rows, phase].astype(bool) & (watch["frames"][rows] > _FEW)
    if not learned.any():
        watch["blur_run"][rows] = 0
        return learned
    mean, spread = usual(reference, rows, phase, FOCUS)
    least = mean - np.maximum(_BLURRED, _SPREADS * spread * np.sqrt(_SMOOTH))
    least += _RELIEF * watch["raised"][rows, _BLURRED_ALARM]
    # By itself a frame says little; a run of such frames is kept from statistics until the running mean has spoken.
    looks = learned & (seen.ranked[:, FOCUS] < least)
    blurred: NDArray[np.bool_] = learned & (focus < least)
    if (looks | blurred).any():
        usual_contrast, _ = usual(reference, rows, phase, _CONTRAST)
        looks &= seen.ranked[:, _CONTRAST] > _CONTRAST_LEFT * usual_contrast
        blurred &= contrast > _CONTRAST_LEFT * usual_contrast
    watch["blur_run"][rows] = _one_more(watch["blur_run"][rows]) * looks
    return blurred


def _clock_jumped(watch: NDArray[Any], seen: Frames, skew_ms: float) -> NDArray[np.bool_]:
    """The camera's clock is not where it was against ours; a slow drift of it is followed.

    Frames that have waited are late too, the less the more of them are worked off; a wrong clock stays as wrong.
    """
    rows = seen.rows
    skew = (seen.at_ms - seen.captured_ms).astype(np.float64)
    counted = watch["frames"][rows]
    usual_ms = np.where(counted > 0, watch["skew_ms"][rows], skew)
    run = watch["fault_run"][rows, _CLOCK]
    first_ms = np.where(run == 0, skew, watch["skew_run_ms"][rows])
    watch["skew_run_ms"][rows] = first_ms
    off: NDArray[np.bool_] = np.abs(skew - usual_ms) > skew_ms
    if not off.any():
        watch["skew_ms"][rows] = usual_ms + _SMOOTH * (skew - usual_ms)
        return off
    lasted_ms = np.where(run == 0, 0, seen.at_ms - watch["fault_from_ms"][rows, _CLOCK])
    catches_up = (skew > usual_ms) & (first_ms - skew > skew_ms / 6 + _CATCHES_UP * lasted_ms)
    kept = (run >= RUN) & (lasted_ms >= CLOCK_KEPT_MS)
    usual_ms = np.where(off & kept, skew, usual_ms)
    watch["skew_ms"][rows] = np.where(off, usual_ms, usual_ms + _SMOOTH * (skew - usual_ms))
    jumped: NDArray[np.bool_] = off & ~kept & ~catches_up
    return jumped
