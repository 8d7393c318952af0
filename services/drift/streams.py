"""Evidence that something has changed: what each stream is fed, and what becomes of a family of streams.

Every stream is a number in [0, 1] whose mean must not exceed a bound while nothing changes: a rank that goes up, down
or to both ends, a probability that goes up or down, a loss. Bounds are the reference's mean, plus 1.64 standard
errors, since a small reference lies, plus a tolerance, since not every change is somebody's business.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.detectors.esr import advance, combined
from services.drift.layout import (
    FAMILIES,
    FRAME_STREAMS,
    OF_FRAMES,
    RANKED,
    SAID,
    WEIGHTS,
)
from services.drift.sample import Floats, Ints

_SURE: Final = 1.64  # standard errors: one-sided 95 %
_UNIFORM: Final = 0.2887  # standard deviation of a rank
_HIGHEST: Final = 0.98  # a bound over this leaves nothing to see
SHORTEST_WINDOW: Final = 60
_QUIET: Final = 10.0
"""Without a change evidence after R samples is R in the mean: ten times that comes in one window of ten at most."""


@dataclass(frozen=True)
class Fed:
    """What streams get.

    Attributes:
        x: [n, streams], 0 to 1; NaN where a stream takes nothing now.
        bound: [n, streams].
    """

    x: Floats
    bound: Floats


def of_frames(
    ranks: Floats, said: Floats, reference: NDArray[Any], rows: Ints, phase: Ints, *, rank: float, probability: float
) -> Fed:
    """Streams of a frame, [n, FRAME_STREAMS].

    Args:
        ranks: [n, RANKED].
        said: [n, SAID].
        rank, probability: Tolerances.
    """
    pace = reference["pace"][rows].astype(np.float32)
    ranked = reference["histogram"][rows, phase].sum(axis=2, dtype=np.float32)
    allowed = 0.5 + rank + _SURE * _UNIFORM * np.sqrt(pace[:, :RANKED] / np.maximum(ranked, 1))
    x = np.empty((len(rows), FRAME_STREAMS), np.float32)
    bound = np.empty_like(x)
    spread = np.abs(2 * ranks - 1)
    x[:, 0 : 3 * RANKED : 3], x[:, 1 : 3 * RANKED : 3], x[:, 2 : 3 * RANKED : 3] = ranks, 1 - ranks, spread
    bound[:, : 3 * RANKED] = np.repeat(allowed, 3, axis=1)
    mean, frames = reference["said_mean"][rows, phase], reference["frames"][rows, phase].astype(np.float32)
    said_pace = pace[:, RANKED : RANKED + 2].max(axis=1)
    error = np.sqrt(reference["said_m2"][rows, phase] * said_pace[:, None]) / np.maximum(frames, 1)[:, None]
    slack = _SURE * error + probability
    first = 3 * RANKED
    x[:, first : first + SAID], x[:, first + SAID :] = said, 1 - said
    bound[:, first : first + SAID], bound[:, first + SAID :] = mean + slack, 1 - mean + slack
    x[(bound > _HIGHEST) | (bound <= 0)] = np.nan
    return Fed(x, np.clip(bound, 1e-3, _HIGHEST))


def paces(reference: NDArray[Any], rows: Ints) -> NDArray[np.uint16]:
    """One frame in how many each stream of frames takes, [n, FRAME_STREAMS]."""
    pace = reference["pace"][rows]
    said = np.repeat(pace[:, RANKED : RANKED + 2].max(axis=1, keepdims=True), 2 * SAID, axis=1)
    every: NDArray[np.uint16] = np.maximum(np.concatenate([np.repeat(pace[:, :RANKED], 3, axis=1), said], axis=1), 1)
    return every


def take(watch: NDArray[Any], rows: Ints, fed: Fed, families: slice, at_ms: Ints) -> None:
    """Move the evidence of a block of streams, and that of their families.

    Args:
        watch: Rows of the table; changed in place.
        rows: [n], no two alike.
        fed: For all streams of *families*.
        families: Which of `FAMILIES`: those of frames or those of outcomes.
        at_ms: Event time, [n].
    """
    first = FAMILIES[families][0].first
    streams = slice(first, first + fed.x.shape[1])
    before = watch["evidence"][rows, streams]
    taken = ~np.isnan(fed.x)
    after = advance(before, np.where(taken, fed.x, fed.bound), fed.bound)
    after = np.where(taken[..., None], after, before)
    watch["evidence"][rows, streams] = after
    weights = WEIGHTS[streams, families]
    weighed = combined(after)
    now = weighed @ weights
    was = watch["family"][rows, families]
    share = taken.astype(np.float32) @ weights  # of the family's streams that took something
    watch["family"][rows, families] = now
    # What the evidence says of this sample alone: the factor by which the mixture grew. Its CUSUM starts where the
    # change seems to (Page 1954).
    factor = np.log(np.maximum(now, 1e-20) / np.maximum(was + share, 1e-20))
    cusum = np.maximum(watch["cusum"][rows, families] + np.where(share > 0, factor, 0), 0)
    watch["cusum"][rows, families] = cusum
    restarted = (cusum == 0) | (watch["since_ms"][rows, families] == 0)
    watch["since_ms"][rows, families] = np.where(restarted, at_ms[:, None], watch["since_ms"][rows, families])
    watch["run"][rows, families] = np.where(restarted, 0, watch["run"][rows, families] + (share > 0))
    watch["window"][rows, families] += share > 0
    for place, family in enumerate(FAMILIES[families]):
        local = slice(family.first - first, family.first - first + family.streams)
        watch["top"][rows, (families.start or 0) + place] = (weighed[:, local] * weights[local, place]).argmax(axis=1)


def weighed(watch: NDArray[Any], rows: Ints, families: slice) -> Floats:
    """Each stream's share of its family's evidence, [n, streams of *families*]."""
    chosen = FAMILIES[families]
    streams = slice(chosen[0].first, chosen[-1].first + chosen[-1].streams)
    share: Floats = combined(watch["evidence"][rows, streams]) * WEIGHTS[streams, families].sum(axis=1)
    return share


def crossed(watch: NDArray[Any], rows: Ints, families: slice, threshold: Floats) -> NDArray[np.bool_]:
    """Families whose evidence has reached *threshold*, [n, families], and that were not raised yet."""
    raised = watch["raised"][rows, families].astype(bool)
    over: NDArray[np.bool_] = (watch["family"][rows, families] >= threshold) & ~raised
    return over


def calmed(watch: NDArray[Any], rows: Ints, families: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of raised families: whose window ended without evidence, and whose window must begin again, [n, families].

    A window is as long as the alarm took to be raised, twice, so that a weak change is not taken for none.
    """
    raised = watch["raised"][rows, families].astype(bool)
    window = watch["window"][rows, families]
    ended = raised & (window >= np.maximum(SHORTEST_WINDOW, 2 * watch["span"][rows, families]))
    quiet = watch["family"][rows, families] <= _QUIET * window
    return ended & quiet, ended & ~quiet


def forget(watch: NDArray[Any], row: int, family: int) -> None:
    """Begin again with a family: no evidence, a new window."""
    watch["evidence"][row, FAMILIES[family].slice] = 0
    watch["family"][row, family] = 0
    watch["cusum"][row, family] = 0
    watch["window"][row, family] = 0


FRAMES_FAMILIES: Final = slice(0, OF_FRAMES)
OUTCOME_FAMILIES: Final = slice(OF_FRAMES, len(FAMILIES))
