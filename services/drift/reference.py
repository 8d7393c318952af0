"""What is normal for a camera in a phase, learned from its own first frames and then kept.

The first quarter of the frames gives the mean features of each predicted class and the usual bits of the picture; the
second quarter the mean and spread of each signal; the other half fills a histogram of each, scaled so. A later frame's
value has a rank within that histogram, which is uniform as long as frames are exchangeable with those (split conformal
prediction: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005). Means are those of the predicted
class where it was seen often enough, so that a changed mix of classes alone does not move the ranks (Mondrian).

All functions work on columns: n cameras at once, each once.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fields import BINS, MOST
from services.drift.layout import RANKED, RANKED_PLACES, SLOTS
from services.drift.sample import Floats, Frames, Ints

EDGE: Final = 3.0
"""Histograms reach so many standard deviations; what lies beyond falls into the last bin."""
_OFTEN: Final = 10  # frames of a class before its own mean is believed
_COLUMNS: Final = np.arange(RANKED)
_LEAST_SPREAD: Final = np.array([each.signal.least_spread for each in RANKED_PLACES], np.float32)
_RELATIVE: Final = [(number, each.signal.relative) for number, each in enumerate(RANKED_PLACES) if each.signal.relative]

Reference = NDArray[Any]


def quarter(samples: int) -> int:
    """Frames of the first part, and of the second."""
    return samples // 4


def learn(reference: Reference, phase: Ints, seen: Frames, samples: int) -> None:
    """Take one more frame of each camera.

    Args:
        reference: Rows of the table; changed in place.
        phase: Phase of each frame, [n].
        seen: The frames.
        samples: How many make a reference.
    """
    rows = seen.rows
    so_far = reference["frames"][rows, phase]
    reference["frames"][rows, phase] = np.minimum(so_far + 1, 2**31)
    first = so_far < quarter(samples)
    second = ~first & (so_far < 2 * quarter(samples))
    third = ~first & ~second & (so_far < MOST + 2 * quarter(samples))
    _learn_outputs(reference, rows, phase, seen.outputs, so_far)
    if first.any():
        _learn_features(reference, rows[first], phase[first], seen.where(first))
    if not first.all():
        later = seen.where(~first)
        ranked = relative(reference, phase[~first], later)
        of_second = second[~first]
        if of_second.any():
            chosen = later.where(of_second)
            learn_scale(reference, chosen.rows, phase[second], chosen.bucket, ranked[of_second])
        of_third = third[~first]
        if of_third.any():
            chosen = later.where(of_third)
            count(reference, chosen.rows, phase[third], scaled(reference, phase[third], chosen, ranked[of_third]))


def relative(reference: Reference, phase: Ints, seen: Frames) -> Floats:
    """Values of the ranked signals, [n, RANKED], with those that only a reference gives a meaning."""
    ranked = seen.ranked.copy()
    for number, relative_to in _RELATIVE:
        ranked[:, number] = relative_to(reference, phase, seen)
    return ranked


def ranks(normal: NDArray[Any], phase: Ints, seen: Frames, ranked: Floats) -> Floats:
    """Mid-rank of each signal within the reference, [n, RANKED], 0 to 1; NaN where it has no value or no reference.

    Args:
        normal: Rows of `services.drift.normal`, whose those of *seen* are known.
        ranked: What `relative` gives.
    """
    rows = seen.rows
    off = (ranked - normal["centre"][rows, phase, :, seen.bucket]) / normal["spread"][rows, phase]
    bins = _bins(off)
    found: Floats = normal["ranks"][rows[:, None], phase[:, None], _COLUMNS, bins]
    found[bins < 0] = np.nan
    return found


def ranks_of_bins(histogram: NDArray[np.uint16]) -> Floats:
    """Mid-rank of a value in each bin, [..., BINS]; NaN where a histogram, [..., BINS], is empty."""
    counts = histogram.astype(np.float32)
    total = counts.sum(axis=-1, keepdims=True)
    # The frame itself counts as one more, in the middle of its bin: ranks stay off 0 and 1, as a p-value must.
    rank = (counts.cumsum(axis=-1) - counts / 2 + 0.5) / (total + 1)
    return np.where(total > 0, rank, np.nan).astype(np.float32)


def begin(reference: Reference, rows: Ints, phase: Ints, at_ms: Ints) -> None:
    """Note when the first frame of each camera came, [n]."""
    began = reference["began_s"][rows, phase]
    reference["began_s"][rows, phase] = np.where(began == 0, at_ms // 1_000, began)


def keep_examples(reference: Reference, phase: Ints, seen: Frames, samples: int) -> None:
    """Keep the last frame of each quarter, once it was learned from."""
    part = quarter(samples)
    so_far = reference["frames"][seen.rows, phase]
    kept = (so_far % part == 0) & (so_far <= 4 * part)
    reference["examples"][seen.rows[kept], (so_far[kept] // part - 1) % 4] = seen.offset[kept]


def close(reference: Reference, row: int, phase: int) -> None:
    """The reference of a phase is whole."""
    reference["closed"][row, phase] = 1


def leave_telemetry_out(reference: Reference, row: int, phase: int) -> None:
    """Do not watch the readings of the device of *row* in *phase*: too little of its wandering was seen to know what is
    normal. Without counts a signal has no ranks."""
    reference["histogram"][row, phase, SLOTS] = 0


def usual(reference: Reference, rows: Ints, phase: Ints, signal: int | slice = slice(None)) -> tuple[Floats, Floats]:
    """Mean of a ranked signal over all classes, and its standard deviation within a class, [n] each; of several
    signals [n, signals]."""
    counts = reference["counts"][rows, phase, signal].astype(np.float32)
    total = np.maximum(counts.sum(axis=-1), 1)
    mean = (counts * reference["means"][rows, phase, signal]).sum(axis=-1) / total
    return mean, np.sqrt(reference["m2"][rows, phase, signal] / total)


def _learn_outputs(reference: Reference, rows: Ints, phase: Ints, outputs: Floats, so_far: NDArray[Any]) -> None:
    mean = reference["output_mean"][rows, phase]
    known = np.nan_to_num(outputs)
    step = known - mean
    mean += step / (so_far + 1).astype(np.float32)[:, None]
    reference["output_mean"][rows, phase] = mean
    reference["output_m2"][rows, phase] += step * (known - mean)


def _learn_features(reference: Reference, rows: Ints, phase: Ints, seen: Frames) -> None:
    # Once a phase is whole, its ranks rest on the usual bits: another phase does not change them any more.
    open_ = np.asarray(reference["closed"][rows].max(axis=1) == 0)
    reference["bits"][rows] += (seen.bits * open_[:, None]).astype(np.uint16)
    reference["bits_of"][rows] += open_
    place = (rows, phase, seen.bucket)
    reference["class_frames"][place] += 1
    count = reference["class_frames"][place].astype(np.float32)[:, None]
    mean = reference["features"][place].astype(np.float32)
    step = np.nan_to_num(seen.features) - mean
    moved = mean + step / count
    reference["features"][place] = moved.astype(np.float16)
    reference["features_m2"][rows, phase] += step * (np.nan_to_num(seen.features) - moved)


def count(reference: Reference, rows: Ints, phase: Ints, off: Floats) -> None:
    """Count values in the histograms of their signals.

    Args:
        off: What `scaled` gives.
    """
    bins = _bins(off)
    row, signal = np.nonzero(bins >= 0)
    place = (rows[row], phase[row], signal, bins[row, signal])
    reference["histogram"][place] = np.minimum(reference["histogram"][place], MOST - 1) + 1


def forget_signal(reference: Reference, row: int, phase: int, signal: int) -> None:
    """Begin anew with a ranked signal in a phase."""
    reference["counts"][row, phase, signal] = 0
    reference["means"][row, phase, signal] = 0
    reference["m2"][row, phase, signal] = 0
    reference["histogram"][row, phase, signal] = 0


def learn_scale(reference: Reference, rows: Ints, phase: Ints, bucket: Ints, ranked: Floats) -> None:
    """Move mean and spread of each signal by one value of each camera, [n, RANKED]; NaN moves nothing."""
    there = ~np.isnan(ranked)
    place = (rows[:, None], phase[:, None], _COLUMNS, bucket[:, None])
    counts = reference["counts"][place] + there
    mean = reference["means"][place]
    known = np.where(there, ranked, mean)
    step = known - mean
    moved = mean + step / np.maximum(counts, 1)
    reference["counts"][place] = counts
    reference["means"][place] = moved
    reference["m2"][rows, phase] += step * (known - moved)


def scaled(reference: Reference, phase: Ints, seen: Frames, ranked: Floats) -> Floats:
    """Values of the ranked signals in standard deviations from the mean of their class, [n, RANKED]; NaN where a signal
    has no value or no scale.

    Args:
        ranked: What `relative` gives.
    """
    centre, spread = scales(*(reference[name][seen.rows, phase] for name in ("counts", "means", "m2")))
    off: Floats = (ranked - centre[np.arange(len(ranked)), :, seen.bucket]) / spread
    return off


def scales(counts: NDArray[np.uint16], means: Floats, m2: Floats) -> tuple[Floats, Floats]:
    """Mean of each signal within each class, [..., RANKED, buckets], that of all classes where it was seldom seen, and
    the standard deviation within a class, [..., RANKED]; NaN where it is not known.

    Args:
        counts, means: [..., RANKED, buckets].
        m2: Sum of squares off the means, [..., RANKED].
    """
    frames = counts.astype(np.float32)
    total = frames.sum(axis=-1)
    pooled = (frames * means).sum(axis=-1) / np.maximum(total, 1)
    centre = np.where(frames >= _OFTEN, means, pooled[..., None])
    spread = np.maximum(np.sqrt(m2 / np.maximum(total, 1)), _LEAST_SPREAD)
    return centre, np.where(total < _OFTEN, np.nan, spread).astype(np.float32)


def _bins(off: Floats) -> Ints:
    """Bin of each signal in its histogram, [n, RANKED]; -1 where it has no value or no scale.

    Args:
        off: What `scaled` gives.
    """
    none = np.isnan(off)
    bins: Ints = ((np.clip(np.where(none, 0, off), -EDGE, EDGE - 1e-3) + EDGE) * (BINS / (2 * EDGE))).astype(np.int64)
    bins[none] = -1
    return bins
