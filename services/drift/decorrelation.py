"""How far apart frames must be to count as independent, measured while a camera learns.

A statistic that takes every frame of a slow signal for a new fact raises false alarms (ARL 10,000 becomes 535 at a
persistence of .6); so a stream takes one frame in k, where k is the lag at which autocorrelation has fallen to .01. Two
measurements find it, and the longer k holds.

- Correlation at lags 1, 4 and 16: from each that is beyond chance, k is where an exponential decay through it reaches
  .01.
- Means of blocks of 4, 16 and 64 frames. A weak but long correlation, such as light under a signal that is mostly
  noise, is beyond chance at no single lag and yet makes means of blocks vary many times as much as those of independent
  frames do. Where they vary more than the first measurement explains, k is twice the longest such block.

How far a reference's mean may be off follows from the same: its variance is larger than that of independent frames by
(1 + r) / (1 - r) of the decay r (Sokal, "Monte Carlo methods in statistical mechanics", 1997), less than half of k; or,
where blocks showed it, by twice what their means vary more, since they are not much longer than what they show.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fields import BLOCKS, LAGS, MOST
from services.drift.layout import LOSS_LAG
from services.drift.sample import Floats, Ints

_LAGS: Final = np.array(LAGS)
_BLOCKS: Final = np.array(BLOCKS)
_SMALL: Final = 0.01
_BEYOND_CHANCE: Final = 3.0  # standard deviations of a correlation that is none, 1 / sqrt(pairs)
_FEWEST_PAIRS: Final = 16
_FEWEST_BLOCKS: Final = 6
_LONGEST: Final = 10_000
_FEWEST_ERRORS: Final = 4
"""Pairs of errors at a lag before it is believed: of rare ones a single pair, by chance, is a correlation near 1."""
_INFLATION: Final = 1 / np.tanh(np.log(1 / _SMALL) / 2 / np.maximum(np.arange(_LONGEST + 1), 1)).astype(np.float32)
"""By lag."""


def measure(learning: NDArray[Any], rows: Ints, columns: slice, values: Floats) -> None:
    """Take one more sample of each row.

    Args:
        learning: Rows of the table; changed in place.
        rows: [n], no two alike.
        columns: Which of the correlated numbers these are, c of them.
        values: [n, c]; NaN is no sample.
    """
    count = learning["count"][rows, columns].astype(np.int64)
    there = ~np.isnan(values) & (count < MOST)
    mean = learning["mean"][rows, columns]
    known = np.where(there, values, mean)
    step = known - mean
    mean = mean + step / (count + 1)
    learning["mean"][rows, columns] = mean
    learning["m2"][rows, columns] += step * (known - mean)
    due = (count[..., None] % _LAGS == 0) & there[..., None]
    last = learning["last"][rows, columns]
    off = (known - mean)[..., None]
    learning["products"][rows, columns] += np.where(due & (count > 0)[..., None], off * (last - mean[..., None]), 0)
    learning["last"][rows, columns] = np.where(due, known[..., None], last)
    count = count + there
    block = learning["block"][rows, columns] + np.where(there[..., None], known[..., None], 0)
    full = (count[..., None] % _BLOCKS == 0) & there[..., None]
    learning["squares"][rows, columns] += np.where(full, (block / _BLOCKS - mean[..., None]) ** 2, 0)
    learning["block"][rows, columns] = np.where(full, 0, block)
    learning["count"][rows, columns] = count


def keep(reference: NDArray[Any], learning: NDArray[Any], row: int, columns: slice) -> None:
    """Keep the decorrelation lag of these numbers of a camera and forget what it was measured by."""
    known = reference[row]
    known["decorrelation_lag"][columns], known["inflation"][columns] = decorrelation_lag(learning, row, columns)
    for name in learning.dtype.names or ():
        learning[name][row, columns] = 0


def forget_signal(reference: NDArray[Any], row: int, signal: int) -> None:
    """The lag of a ranked signal is not known: too little was seen of it."""
    reference["decorrelation_lag"][row, signal] = 0
    reference["inflation"][row, signal] = 0


def forget(reference: NDArray[Any], row: int) -> None:
    """Keep the lag of the loss alone: labels are of the road, whatever predicts it."""
    reference["decorrelation_lag"][row, :LOSS_LAG] = 0
    reference["inflation"][row, :LOSS_LAG] = 0


def inflation(lag: NDArray[np.uint16]) -> Floats:
    """By how much the variance of a mean over many frames is larger than if they were independent, [...], 1 and more,
    where correlation decays to .01 within *lag* frames, [...], 1 to 10,000."""
    larger: Floats = _INFLATION[lag]
    return larger


def decorrelation_lag(learning: NDArray[Any], row: int, columns: slice) -> tuple[NDArray[np.uint16], Floats]:
    """One frame in how many is taken, of each number of *columns*, [c], 1 to 10,000, and its inflation, [c]."""
    count = learning["count"][row, columns].astype(np.int64)[:, None]
    variance = np.maximum(learning["m2"][row, columns][:, None] / np.maximum(count, 1), 1e-12)
    pairs = np.maximum((count - 1) // _LAGS, 1)
    correlation = learning["products"][row, columns] / pairs / variance
    real = (correlation > _BEYOND_CHANCE / np.sqrt(pairs)) & (pairs >= _FEWEST_PAIRS)
    if columns.start == LOSS_LAG:
        real &= learning["products"][row, columns] >= _FEWEST_ERRORS * (1 - learning["mean"][row, columns, None]) ** 2
    decay = np.log(_SMALL) / np.log(np.clip(correlation, _SMALL, 0.999))
    lag = np.where(real, np.minimum(np.ceil(_LAGS * decay), _LONGEST), 1).max(axis=1, keepdims=True)
    blocks = np.maximum(count // _BLOCKS, 1)
    # 1 for independent frames; (1 + r) / (1 - r) at most for a decay r, and that is less than the lag found above.
    factor = _BLOCKS * learning["squares"][row, columns] / blocks / variance
    chance = 1 + _BEYOND_CHANCE * np.sqrt(2 / blocks)
    slow = (factor > np.minimum(lag, _BLOCKS) * chance) & (blocks >= _FEWEST_BLOCKS)
    longest: NDArray[np.uint16] = np.maximum(lag, np.where(slow, 2 * _BLOCKS, 1)).max(axis=1).astype(np.uint16)
    of_decay = inflation(lag[:, 0].astype(np.uint16))
    return longest, np.maximum(of_decay, np.where(slow, 2 * factor, 1).max(axis=1)).astype(np.float32)
