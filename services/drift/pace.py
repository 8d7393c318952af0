"""How far apart frames must be to count as independent, measured while a camera learns.

A statistic that takes every frame of a slow signal for a new fact raises false alarms (ARL 10,000 becomes 535 at a
persistence of .6); so a stream takes one frame in k, where k is the lag at which autocorrelation has fallen to .01. It
is measured at six lags, of which only the first few have many pairs: from each lag whose correlation is beyond chance,
k is where an exponential decay through it reaches .01, and the longest such k holds.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.layout import LAGS
from services.drift.sample import Floats, Ints

_LAGS: Final = np.array(LAGS)
_SMALL: Final = 0.01
_BEYOND_CHANCE: Final = 3.0  # standard deviations of a correlation that is none, 1 / sqrt(pairs)
_FEWEST_PAIRS: Final = 16
_LONGEST: Final = 10_000


def measure(learning: NDArray[Any], rows: Ints, columns: slice, values: Floats, count: Ints) -> None:
    """Take one more sample of each row.

    Args:
        learning: Rows of the table; changed in place.
        rows: [n], no two alike.
        columns: Which of the correlated numbers these are, c of them.
        values: [n, c]; NaN counts as the mean.
        count: Samples before this one, [n].
    """
    mean = learning["mean"][rows, columns]
    known = np.where(np.isnan(values), mean, values)
    step = known - mean
    mean = mean + step / (count + 1).astype(np.float32)[:, None]
    learning["mean"][rows, columns] = mean
    learning["m2"][rows, columns] += step * (known - mean)
    due = (count[:, None] % _LAGS == 0)[:, None, :]
    last = learning["last"][rows, columns]
    product = (known - mean)[..., None] * (last - mean[..., None])
    learning["products"][rows, columns] += np.where(due & (count > 0)[:, None, None], product, 0)
    learning["last"][rows, columns] = np.where(due, known[..., None], last)


def pace(learning: NDArray[Any], row: int, columns: slice, count: int) -> NDArray[np.uint16]:
    """One frame in how many is taken, of each number of *columns*, 1 to 10,000.

    Args:
        count: Samples that were measured.
    """
    variance = learning["m2"][row, columns] / max(count, 1)
    pairs = np.maximum((count - 1) // _LAGS, 1)
    correlation = learning["products"][row, columns] / pairs / np.maximum(variance, 1e-12)[:, None]
    real = (correlation > _BEYOND_CHANCE / np.sqrt(pairs)) & (pairs >= _FEWEST_PAIRS)
    decay = np.log(_SMALL) / np.log(np.clip(correlation, _SMALL, 0.999))
    lag = np.where(real, np.minimum(np.ceil(_LAGS * decay), _LONGEST), 1)
    longest: NDArray[np.uint16] = lag.max(axis=1).astype(np.uint16)
    return longest
