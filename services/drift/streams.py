"""Evidence that something has changed: what each stream is fed, and what becomes of a family of streams.

Every stream is a number in [0, 1] whose mean must not exceed a bound while nothing changes: a rank that goes up, down
or far out on either side, a probability that goes up or down, a loss. Bounds are the reference's mean, plus 1.64
standard errors, since a small reference lies, plus a tolerance, since small changes are tolerated.

A slow signal gives little evidence in a day, so it must not pay for what is fast: each stream's evidence counts as many
times as frames make one sample of it, and on average each gives the same share of the false alarms of a week.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.drift.decorrelation import inflation
from services.drift.detectors.esr import advance, combined
from services.drift.layout import (
    ANSWERS_LAG,
    CLASS_LAG,
    IN_MOST,
    LIGHT,
    LOSS_LAG,
    OPTIONAL,
    OUTCOME_FAMILIES,
    PHASES,
    PREDICTIONS,
    RANK_STREAMS,
    RANK_WAYS,
    RANKED,
    RANKED_PLACES,
    Layout,
    held,
    of_rows,
)
from services.drift.sample import Floats, Ints
from services.drift.signals import WAYS, Ranking, Slowest

SURE: Final = 1.64
"""Standard errors that a bound lies above the mean of its reference: one-sided 95 %."""
_UNIFORM: Final = 0.2887  # standard deviation of a rank
FAR: Final = 7
"""How far out a rank lies, 0 in the middle to 1 at either end, to this power: half of what such a stream is in the
mean comes from the outer tenth. Where nothing of the reference is, each sample multiplies evidence by five; the mean of
ranks, which cannot rise beyond twice its own, would not even double it."""
USUALLY_FAR: Final = 1 / (FAR + 1)
_SPREAD_OF_FAR: Final = float(np.sqrt(1 / (2 * FAR + 1) - USUALLY_FAR**2))
_HIGHEST: Final = 0.98  # a bound over this leaves nothing to see
_LOWEST: Final = 1e-3
_UP, _DOWN, _FAR = (slice(WAYS[Ranking.RANK].index(way), RANK_STREAMS, RANK_WAYS) for way in ("up", "down", "far"))
SHORTEST_WINDOW: Final = 60
_FASTER: Final = 3
"""How many times as fast as most signals of a picture one may be: a thousand frames do not show a correlation of .05,
which makes a mean's variance more than twice as large where it lasts as long as that of light does (decision 0011)."""
_OF_THE_VIEW: Final = held(Slowest.VIEW)
_LIKE_LIGHT: Final = held(Slowest.LIGHT)
_QUIET: Final = 10.0
"""Without a change evidence after R samples is R on average: ten times that comes in one window of ten at most."""


_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Fed:
    """What streams get.

    Attributes:
        x: [n, streams], 0 to 1; NaN where a stream takes nothing now.
        bound: [n, streams].
    """

    x: Floats
    bound: Floats


def of_frames(ranks: Floats, outputs: Floats, bound: Floats) -> Fed:
    """Streams of a frame, [n, frame streams].

    Args:
        ranks: [n, RANKED].
        outputs: [n, outputs].
        bound: What `bounds` gives for each frame's phase.
    """
    x = np.empty(bound.shape, np.float32)
    x[:, _UP], x[:, _DOWN], x[:, _FAR] = ranks, 1 - ranks, np.abs(2 * ranks - 1) ** FAR
    x[:, RANK_STREAMS:] = np.concatenate([outputs, 1 - outputs], axis=1)  # up, down
    x[np.isnan(bound)] = np.nan
    return Fed(x, bound)


def bounds(reference: NDArray[Any], rows: Ints, lag: NDArray[np.uint16], *, rank: float, probability: float) -> Floats:
    """Means that streams of frames must not exceed, [n, PHASES, frame streams]; NaN where there is nothing to see.

    Args:
        lag: What `lags` gives for the same rows.
        rank, probability: Tolerances.
    """
    layout = of_rows(reference)
    up, down = _of_answers(layout)
    ranked = reference["histogram"][rows].sum(axis=3, dtype=np.float32)
    larger = inflations(reference, rows, lag)[:, None]
    error = SURE * np.sqrt(larger[..., _UP] / np.maximum(ranked, 1))
    bound = np.empty((len(rows), PHASES, layout.frame_streams), np.float32)
    bound[..., _UP] = bound[..., _DOWN] = 0.5 + rank + _UNIFORM * error
    bound[..., _FAR] = USUALLY_FAR + rank + _SPREAD_OF_FAR * error
    mean, frames = reference["output_mean"][rows], reference["frames"][rows].astype(np.float32)
    of_outputs = reference["output_m2"][rows] * larger[..., up]
    slack = SURE * np.sqrt(of_outputs) / np.maximum(frames, 1)[..., None] + probability
    bound[..., up], bound[..., down] = mean + slack, 1 - mean + slack
    seen = (bound > 0) & (bound <= _HIGHEST)
    return np.where(seen, np.maximum(bound, _LOWEST), np.nan).astype(np.float32)


def lags(reference: NDArray[Any], rows: Ints) -> NDArray[np.uint16]:
    """How many frames, or labels, are one sample of each stream, [n, streams].

    How sure the model is depends on the picture, so that is taken for no faster than most of the picture's signals are.
    The four that measure light change with the light, so none of them is faster than most of them; and no other,
    nor the mix of classes, is more than three times as fast as most. In a fleet some cameras show too little of what is
    slow, dusk for example, while they learn. Composition is what it was measured to be: its bits do not follow light.
    """
    layout, lag = of_rows(reference), reference["decorrelation_lag"][rows]
    of_picture, of_light = _middle(lag[:, IN_MOST]), _middle(lag[:, LIGHT])
    ranked = lag[:, :RANKED].copy()
    ranked[:, _LIKE_LIGHT] = np.maximum(ranked[:, _LIKE_LIGHT], of_light[:, None])
    ranked[:, _OF_THE_VIEW] = np.maximum(ranked[:, _OF_THE_VIEW], of_picture[:, None] // _FASTER)
    # Of what is not known yet nothing is taken; it must not make its family seem faster.
    ranked[:, OPTIONAL] = np.where(lag[:, OPTIONAL] == 0, of_picture[:, None], ranked[:, OPTIONAL])
    shares = np.maximum(lag[:, CLASS_LAG], of_picture // _FASTER)
    sure = np.maximum(lag[:, ANSWERS_LAG].max(axis=1), of_picture)
    floor = lag[:, LOSS_LAG]
    loss = np.maximum(floor, reference["day_lag"][rows])
    of_outputs = _of_outputs(layout, shares, sure)
    every: NDArray[np.uint16] = np.maximum(by_stream(layout, ranked, of_outputs, loss, floor), 1)
    return every


def inflations(reference: NDArray[Any], rows: Ints, lag: NDArray[np.uint16]) -> Floats:
    """By how much the variance of a stream's mean is larger than if its frames were independent, [n, streams]: as it
    was measured, and where *lag*, which `lags` gives for the same rows, is longer than what was measured, by that."""
    layout = of_rows(reference)
    measured, own = (
        by_stream(
            layout,
            each[:, :RANKED],
            _of_outputs(layout, each[:, CLASS_LAG], each[:, ANSWERS_LAG].max(axis=1)),
            each[:, LOSS_LAG],
            each[:, LOSS_LAG],
        )
        for each in (reference["decorrelation_lag"][rows], reference["inflation"][rows].astype(np.float32))
    )
    larger: Floats = np.where(lag > measured, inflation(lag), np.maximum(own, 1))
    return larger


def by_stream(
    layout: Layout,
    ranked: NDArray[_Number],
    outputs: NDArray[_Number],
    accuracy: NDArray[_Number],
    floor: NDArray[_Number],
) -> NDArray[_Number]:
    """Numbers of ranked signals, [n, RANKED], of outputs of a prediction, [n, outputs], of accuracy and of its floor,
    [n] each, as those of their streams, [n, streams]."""
    numbers = np.concatenate([ranked, outputs, accuracy[:, None], floor[:, None]], axis=1)
    return numbers[:, layout.source]


def _of_outputs(layout: Layout, shares: NDArray[_Number], sure: NDArray[_Number]) -> NDArray[_Number]:
    """Numbers of shares of classes, and of entropy and margin, [n] each, as those of a prediction, [n, outputs]."""
    found = np.empty((len(shares), layout.outputs), np.result_type(shares, sure))
    found[:, layout.shares], found[:, layout.sure] = shares[:, None], sure[:, None]
    return found


def _of_answers(layout: Layout) -> tuple[slice, slice]:
    """Streams of the outputs of a prediction that go up, and those that go down."""
    first, each = layout.families[PREDICTIONS].first, layout.outputs
    up, down = (
        slice(first + each * number, first + each * (number + 1))
        for number in map(WAYS[Ranking.MEAN].index, ("up", "down"))
    )
    return up, down


def _middle(lag: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Median of an even number of columns, [n]."""
    half = lag.shape[1] // 2
    return np.asarray(np.sort(lag, axis=1)[:, half - 1 : half + 1].mean(axis=1), np.uint16)


def gathered(watch: NDArray[Any], rows: Ints, fed: Fed, families: slice, lag: NDArray[np.uint16]) -> Fed:
    """Means of as many frames, or labels, as count for one: what a stream takes now, NaN where they are not together
    yet, or none of them was for it.

    The mean of a stretch is bounded as each of its samples is, and is more evidence than one of them.

    Args:
        watch: Rows of the table; changed in place.
        families: As for `take`.
        lag: [n, streams].
    """
    streams = of(of_rows(watch), families)
    off = watch["excess"][rows, streams] + np.where(np.isnan(fed.x), 0, fed.x - fed.bound)
    count = watch["labelled" if families == OUTCOME_FAMILIES else "tested"][rows]
    due = count[:, None] % lag == 0
    watch["excess"][rows, streams] = np.where(due, 0, off)
    mean = np.clip(fed.bound + off / lag, 0, 1)
    return Fed(np.where(due & (off != 0), mean, np.nan).astype(np.float32), fed.bound)


def take(watch: NDArray[Any], rows: Ints, fed: Fed, families: slice, at_ms: Ints, weight: Floats) -> None:
    """Move the evidence of a block of streams, and that of their families.

    Args:
        watch: Rows of the table; changed in place.
        rows: [n], no two alike.
        fed: For all streams of *families*.
        families: Which of `layout.FAMILIES`: those of frames or those of outcomes.
        at_ms: Event time, [n].
        weight: What `weights` gives for these streams, [n, streams].
    """
    layout = of_rows(watch)
    streams = of(layout, families)
    taken = ~np.isnan(fed.x)
    # Most streams are slow: few of them take a sample now.
    place, stream = np.nonzero(taken)
    moved = rows[place], streams.start + stream
    watch["evidence"][moved] = advance(watch["evidence"][moved], fed.x[taken], fed.bound[taken])
    # Sums of a row at a time: what a product of matrices gives depends, in its last bits, on the rows beside it.
    starts = _starts(layout, families)
    now = np.add.reduceat(combined(watch["evidence"][rows, streams]) * weight, starts, axis=1)
    was = watch["family"][rows, families]
    share = np.add.reduceat(taken * weight, starts, axis=1)  # what chance alone adds
    watch["family"][rows, families] = now
    # The evidence of this sample alone: the factor by which the mixture grew. Its CUSUM starts where the
    # change seems to (Page 1954).
    factor = np.log(np.maximum(now, 1e-20) / np.maximum(was + share, 1e-20))
    cusum = np.maximum(watch["cusum"][rows, families] + np.where(share > 0, factor, 0), 0)
    watch["cusum"][rows, families] = cusum
    since_ms = watch["since_ms"][rows, families]
    restarted = (cusum == 0) | (since_ms == 0)
    watch["since_ms"][rows, families] = np.where(restarted, at_ms[:, None], since_ms)
    watch["run"][rows, families] = np.where(restarted, 0, watch["run"][rows, families] + (share > 0))
    watch["window"][rows, families] += share > 0


def weights(layout: Layout, lag: NDArray[np.uint16], measured: NDArray[np.uint16] | None = None) -> Floats:
    """What a stream's evidence counts for in its family's, [n, streams], by its *lag*, [n, streams].

    Args:
        measured: Pace of each of the correlated numbers, [n, CORRELATED]: optional signals whose own is not known have
            no share, and leave theirs to the others. By default all are known.
    """
    one_each, shared = _shares(layout)
    weight: Floats = (one_each * lag).astype(np.float32)
    if measured is not None:
        for optional, of_them, all_of_it in shared:
            known = measured[:, optional] > 0
            streams = all_of_it.stop - all_of_it.start - RANK_WAYS * (len(optional) - known.sum(axis=1))
            weight[:, all_of_it] = (1 / streams).astype(np.float32)[:, None] * lag[:, all_of_it]
            weight[:, of_them] *= np.repeat(known, RANK_WAYS, axis=1)
    return weight


@lru_cache
def _shares(layout: Layout) -> tuple[Floats, list[tuple[list[int], list[int], slice]]]:
    """Share of each stream in its family's evidence, [streams]; and of each family that has optional signals: their
    places, their streams, and the streams of all."""
    found = []
    for family in layout.families:
        optional = [number for number in OPTIONAL if RANKED_PLACES[number].signal.family == family.kind]
        places = [RANKED_PLACES[each] for each in optional]
        of_them = [number for number, stream in enumerate(layout.stream) if stream.place in places]
        if optional:
            found.append((optional, of_them, family.slice))
    return layout.weights.sum(axis=1), found  # each stream is of one family


def weighed(watch: NDArray[Any], reference: NDArray[Any], rows: Ints) -> Floats:
    """Each stream's share of its family's evidence, [n, streams]."""
    weight = weights(of_rows(reference), lags(reference, rows), reference["decorrelation_lag"][rows])
    share: Floats = combined(watch["evidence"][rows]) * weight
    return share


def of(layout: Layout, families: slice) -> slice:
    """Streams of these families."""
    chosen = layout.families[families]
    return slice(chosen[0].first, chosen[-1].first + chosen[-1].streams)


def _starts(layout: Layout, families: slice) -> list[int]:
    """Where the streams of each begin among those of all of them."""
    chosen = layout.families[families]
    return [family.first - chosen[0].first for family in chosen]


def crossed(watch: NDArray[Any], rows: Ints, families: slice, threshold: Floats) -> NDArray[np.bool_]:
    """Families whose evidence has reached *threshold*, [n, families], and that were not raised yet."""
    raised = watch["raised"][rows, families].astype(bool)
    over: NDArray[np.bool_] = (watch["family"][rows, families] >= threshold) & ~raised
    return over


def calmed(
    watch: NDArray[Any], rows: Ints, families: slice, lag: NDArray[np.uint16]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of raised families: whose window ended without evidence, and whose window must begin again, [n, families].

    A window is as long as the alarm took to be raised, twice, so that a weak change is not taken for none.

    Args:
        lag: [n, streams of *families*].
    """
    fastest = np.minimum.reduceat(lag, _starts(of_rows(watch), families), axis=1)
    raised = watch["raised"][rows, families].astype(bool)
    window = watch["window"][rows, families]
    ended = raised & (window >= np.maximum(SHORTEST_WINDOW, 2 * watch["span"][rows, families]))
    quiet = watch["family"][rows, families] <= _QUIET * fastest * window
    return ended & quiet, ended & ~quiet


def forget(watch: NDArray[Any], row: int, family: int) -> None:
    """Begin again with a family: no evidence, a new window."""
    streams = of_rows(watch).families[family].slice
    watch["evidence"][row, streams] = 0
    watch["excess"][row, streams] = 0
    watch["family"][row, family] = 0
    watch["cusum"][row, family] = 0
    watch["window"][row, family] = 0


def count_window(watch: NDArray[Any], rows: Ints, family: int) -> None:
    """The engine takes nothing in a family whose streams are all a chosen detector's: its window goes on by itself."""
    watch["window"][rows, family] += 1
