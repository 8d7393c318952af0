"""What labels of whole days show: how much more days differ than labels that are independent of each other would make
them, and the usual loss, which goes on being learned while nothing changes.

Labels of one day, or of one batch, share what that day was like: a season of the week, weather, one person's way to
label. Lags measured over some 64 labels do not see it, and a fleet of such cameras alarms thirty times as often as it
may. So losses are summed by the day in which labels came, and two things follow of *k* days with *W* labels:

- **Inflation.** Chi squared of the days' means, over its degrees of freedom, k - 1: 1 where labels are independent.
  The upper end of its interval counts, since a week of days is a small sample.
- **Lag.** Losses are gathered into means of L labels (`streams.gathered`). A bet of the share f of the largest, 1 /
  bound, gains from what a day is above the mean, var(day) / 2, as much as it loses to the distance between mean and
  bound while f L >= (inflation - 1) variance / (2 bound (bound - mean)); a day is the most that is gathered.

New days wait until a quarter as many labels as are known have come, and are taken as usual while there is little
evidence that anything changed. The first reference stays beside it: what is learned away slowly is found by that.

All functions work on columns: n cameras at once, each once.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.rules import Rules
from services.drift.sample import Floats, Ints

DAY_MS: Final = 86_400_000
FEWEST: Final = 5
"""Days of which an inflation is known; before that none is claimed, nor anything learned on."""
_SURE: Final = 1.64
"""Standard deviations of the end of the inflation's interval: one-sided 95 %."""
_WAIT: Final = 0.25
"""New labels, as a share of those that are known, that are taken together."""
_LEAST_OF_QUANTILE: Final = 0.05
_MOST: Final = 60_000
_SUMS: Final = ("weights", "losses", "squares", "days")

Days = NDArray[Any]
"""Rows of `Layout.days`."""


def take(days: Days, rows: Ints, phase: Ints, loss: Floats, weight: Floats) -> None:
    """Count one label of each camera, [n], in its day; `turn` was called before."""
    days["today"]["weights"][rows, phase] += weight
    days["today"]["losses"][rows, phase] += weight * loss


def turn(days: Days, rows: Ints, at_ms: Ints) -> NDArray[np.bool_]:
    """Add a day that is over to those that wait; whether it was one, [n].

    Args:
        days: Changed in place.
        at_ms: When a label of each came, [n].
    """
    day = at_ms // DAY_MS
    over = np.asarray(day > days["day"][rows])
    if over.any():
        ended = rows[over]
        labels, losses = (days["today"][name][ended] for name in ("weights", "losses"))
        squares = losses**2 / np.where(labels > 0, labels, 1)
        for name, of_day in zip(_SUMS, (labels, losses, squares, labels > 0), strict=True):
            days["recent"][name][ended] += of_day
            days["today"][name][ended] = 0
        days["day"][ended] = day[over]
    return over


def learn(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_], rules: Rules) -> None:
    """Take days that wait as usual, of each phase in which they are enough: all while its reference is not whole.

    Args:
        reference: Rows of the table, touched; changed in place, as *days*.
        rows: [n], no two alike: those that `may_learn`.
        calm: Whether there is little evidence that anything changed, [n].
    """
    due = _due(reference, days, rows, calm)
    for name in _SUMS:
        recent = days["recent"][name][rows]
        days["usual"][name][rows] += np.where(due, recent, 0)
        days["recent"][name][rows] = np.where(due, 0, recent)
    larger = inflation(days["usual"][rows])
    days["day_inflation"][rows] = larger.max(axis=1)
    reference["day_lag"][rows] = _lag(days, rows, larger, rules)


def may_learn(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether days wait that are to be taken as usual, [n]; *calm* as in `learn`."""
    return np.asarray(_due(reference, days, rows, calm).any(axis=1))


def forget(days: Days, row: int) -> None:
    """Begin again."""
    days[row] = np.zeros((), days.dtype)


def drop_recent(days: Days, row: int) -> None:
    """What came lately is not usual."""
    for name in _SUMS:
        days["recent"][name][row] = 0
        days["today"][name][row] = 0


def usual(days: Days, rows: Ints, phase: Ints | slice) -> tuple[Floats, Floats]:
    """Mean loss of all usual days and how many labels it is of, [n] each, or [n, PHASES]; no labels where there are
    not days enough."""
    known = days["usual"][rows, phase]
    labels = np.where(known["days"] >= FEWEST, known["weights"], 0)
    return known["losses"] / np.maximum(known["weights"], 1e-9), labels


def inflation(sums: NDArray[Any]) -> Floats:
    """How much more the means of days vary than those of independent labels, [...], 1 and more: the upper end of its
    interval. Of fewer than `FEWEST` days 1.

    Args:
        sums: Labels, losses, squared losses over labels, and days, summed, [...].
    """
    labels, losses, squares, count = (sums[name].astype(np.float64) for name in _SUMS)
    mean = losses / np.maximum(labels, 1e-9)
    chi_squared = (squares - losses * mean) / np.maximum(mean * (1 - mean), 1e-9)
    freedom = np.maximum(count - 1, 1)
    # Wilson and Hilferty's approximation of a quantile of chi squared, 1931.
    part = 2 / (9 * freedom)
    quantile = freedom * np.maximum(1 - part - _SURE * np.sqrt(part), _LEAST_OF_QUANTILE) ** 3
    known = (count >= FEWEST) & (losses > 0)
    found: Floats = np.where(known, np.maximum(chi_squared / quantile, 1), 1).astype(np.float32)
    return found


def _due(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Phases whose waiting days are taken now, [n, PHASES]."""
    recent = days["recent"]["weights"][rows]
    enough = recent >= _WAIT * days["usual"]["weights"][rows]
    first = reference["labels_closed"][rows] == 0
    found: NDArray[np.bool_] = (recent > 0) & (first | (enough & calm[:, None]))
    return found


def _lag(days: Days, rows: Ints, larger: Floats, rules: Rules) -> NDArray[np.uint16]:
    """Labels that are gathered into one mean, [n], 0 where nothing is known of days; the longest of both phases.

    Args:
        larger: Inflation, [n, PHASES].
    """
    mean, labels = usual(days, rows, slice(None))
    variance = mean * (1 - mean)
    slack = _SURE * np.sqrt(variance * larger / np.maximum(labels, 1)) + rules.tolerated(mean)
    a_day = labels / np.maximum(days["usual"]["days"][rows], 1)
    needed = np.ceil(np.minimum((larger - 1) * variance / (2 * (mean + slack) * np.maximum(slack, 1e-6)), a_day))
    found: NDArray[np.uint16] = np.clip(np.where(labels > 0, needed, 0).max(axis=1), 0, _MOST).astype(np.uint16)
    return found
