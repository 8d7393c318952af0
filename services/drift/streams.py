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
    COMPOSITION,
    FAMILIES,
    FRAME_STREAMS,
    LIGHT,
    LOSS_PACE,
    OF_FRAMES,
    PICTURE,
    RANKED,
    SAID,
    WEIGHTS,
)
from services.drift.sample import Floats, Ints

_SURE: Final = 1.64  # standard errors: one-sided 95 %
_UNIFORM: Final = 0.2887  # standard deviation of a rank
_HIGHEST: Final = 0.98  # a bound over this leaves nothing to see
SHORTEST_WINDOW: Final = 60
_OF_THE_VIEW: Final = [signal for signal in range(len(PICTURE)) if signal not in (COMPOSITION, *LIGHT)]
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
    ranks: Floats,
    said: Floats,
    pace: NDArray[np.uint16],
    reference: NDArray[Any],
    rows: Ints,
    phase: Ints,
    *,
    rank: float,
    probability: float,
) -> Fed:
    """Streams of a frame, [n, FRAME_STREAMS].

    Args:
        ranks: [n, RANKED].
        said: [n, SAID].
        pace: What `paces` gives for the same rows.
        rank, probability: Tolerances.
    """
    ranked = reference["histogram"][rows, phase].sum(axis=2, dtype=np.float32)
    allowed = 0.5 + rank + _SURE * _UNIFORM * np.sqrt(pace[:, : 3 * RANKED : 3] / np.maximum(ranked, 1))
    x = np.empty((len(rows), FRAME_STREAMS), np.float32)
    bound = np.empty_like(x)
    spread = np.abs(2 * ranks - 1)
    x[:, 0 : 3 * RANKED : 3], x[:, 1 : 3 * RANKED : 3], x[:, 2 : 3 * RANKED : 3] = ranks, 1 - ranks, spread
    bound[:, : 3 * RANKED] = np.repeat(allowed, 3, axis=1)
    mean, frames = reference["said_mean"][rows, phase], reference["frames"][rows, phase].astype(np.float32)
    of_said = pace[:, -1:].astype(np.float32)
    error = np.sqrt(reference["said_m2"][rows, phase] * of_said) / np.maximum(frames, 1)[:, None]
    slack = _SURE * error + probability
    first = 3 * RANKED
    x[:, first : first + SAID], x[:, first + SAID :] = said, 1 - said
    bound[:, first : first + SAID], bound[:, first + SAID :] = mean + slack, 1 - mean + slack
    x[(bound > _HIGHEST) | (bound <= 0)] = np.nan
    return Fed(x, np.clip(bound, 1e-3, _HIGHEST))


def paces(reference: NDArray[Any], rows: Ints) -> NDArray[np.uint16]:
    """How many frames are one sample of each stream of frames, [n, FRAME_STREAMS].

    What the model says depends on the picture, so it is taken for no faster than most of the picture's signals are. The
    four that tell how light it is change with the light, so none of them is faster than most of them; and no other is
    more than ten times as fast as most. In a fleet some cameras show too little of what is slow, dusk for example,
    while they learn. Composition is what it was measured to be: its bits do not follow light.
    """
    pace = reference["pace"][rows]
    of_picture, of_light = _middle(pace[:, : len(PICTURE)]), _middle(pace[:, LIGHT])
    said = np.maximum(pace[:, RANKED:LOSS_PACE].max(axis=1), of_picture)
    said = np.repeat(said[:, None], 2 * SAID, axis=1)
    ranked = pace[:, :RANKED].copy()
    ranked[:, LIGHT] = np.maximum(ranked[:, LIGHT], of_light[:, None])
    ranked[:, _OF_THE_VIEW] = np.maximum(ranked[:, _OF_THE_VIEW], of_picture[:, None] // 10)
    every: NDArray[np.uint16] = np.maximum(np.concatenate([np.repeat(ranked, 3, axis=1), said], axis=1), 1)
    return every


def _middle(pace: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Median of an even number of columns, [n]."""
    half = pace.shape[1] // 2
    return np.asarray(np.sort(pace, axis=1)[:, half - 1 : half + 1].mean(axis=1), np.uint16)


def gathered(watch: NDArray[Any], rows: Ints, fed: Fed, pace: NDArray[np.uint16]) -> Fed:
    """Means of as many frames as count for one: what a stream takes now, NaN where its frames are not together yet.

    The mean of a stretch is bounded as each of its frames is, and says more than one frame of it would.

    Args:
        watch: Rows of the table; changed in place.
        pace: [n, FRAME_STREAMS].
    """
    off = watch["excess"][rows] + np.where(np.isnan(fed.x), 0, fed.x - fed.bound)
    due = watch["tested"][rows][:, None] % pace == 0
    watch["excess"][rows] = np.where(due, 0, off)
    mean = np.clip(fed.bound + off / pace, 0, 1)
    return Fed(np.where(due & ~np.isnan(fed.x), mean, np.nan).astype(np.float32), fed.bound)


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
    weights = WEIGHTS[streams, families].sum(axis=1)
    weighed = combined(after) * weights
    # Sums of a row at a time: what a product of matrices gives depends, in its last bits, on the rows beside it.
    starts = [family.first - first for family in FAMILIES[families]]
    now = np.add.reduceat(weighed, starts, axis=1)
    was = watch["family"][rows, families]
    share = np.add.reduceat(taken * weights, starts, axis=1)  # of the family's streams that took something
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
        watch["top"][rows, (families.start or 0) + place] = weighed[:, local].argmax(axis=1)


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
    streams = FAMILIES[family].slice
    watch["evidence"][row, streams] = 0
    if family < OF_FRAMES:
        watch["excess"][row, streams] = 0
    watch["family"][row, family] = 0
    watch["cusum"][row, family] = 0
    watch["window"][row, family] = 0


FRAMES_FAMILIES: Final = slice(0, OF_FRAMES)
OUTCOME_FAMILIES: Final = slice(OF_FRAMES, len(FAMILIES))
