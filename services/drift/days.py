"""What labels of whole days show: how much more days differ than labels that are independent of each other would make
them, and the usual loss, which goes on being learned while nothing changes.

Labels of one day, or of one batch, share what that day was like: a season of the week, weather, one person's way to
label. Lags measured over some 64 labels do not see it, and a fleet of such cameras alarms thirty times as often as it
may. So losses are summed by the day in which labels came, and two things follow of *k* days with *W* labels:

- **Inflation.** Chi squared of the means of whole days, over its degrees of freedom: 1 where labels are independent. By
  as much is the error of the usual loss larger.
- **Spread.** Rates of single days are taken for drawn from a Beta distribution of concentration A; its spread is 1 / A,
  from the same chi squared (Kleinman, "Proportions with extraneous variance", 1973). Of the next label of a day with n
  labels, of which s times as many as usual were wrong, such a distribution expects (A + n s) / (A + n) times the usual
  loss. That is what is bet against: one bad day is learned within itself and is little evidence, many are, and a rise
  that no day would have is found as soon as if all days were alike.

Labels of a batch may be sorted, so some of them are gathered into each mean even where correlation shows nothing.

New days wait until a quarter as many labels as are known have come, and are taken as usual while there is little
evidence that anything changed. The first reference stays beside it: what is learned away slowly is found by that.

All functions work on columns: n cameras at once, each once.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.sample import Floats, Ints

DAY_MS: Final = 86_400_000
FEWEST: Final = 5
"""Days of which an inflation is known; before that none is claimed, nor anything learned on."""
_WAIT: Final = 0.25
"""New labels, as a share of those that are known, that are taken together."""
_TOGETHER: Final = 8
"""Labels, fewer than a day's, that are gathered into one mean."""
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
        for column, of_it in (("recent", (labels, losses)), ("recent_whole", (labels.sum(axis=1), losses.sum(axis=1)))):
            for name, of_day in zip(_SUMS, _sums(*of_it), strict=True):
                days[column][name][ended] += of_day
        for name in _SUMS:
            days["today"][name][ended] = 0
        days["day"][ended] = day[over]
    return over


def learn(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_]) -> None:
    """Take days that wait as usual, of each phase in which they are enough: all while its reference is not whole.

    Args:
        reference: Rows of the table, touched; changed in place, as *days*.
        rows: [n], no two alike: those that `may_learn`.
        calm: Whether there is little evidence that anything changed, [n].
    """
    due = _due(reference, days, rows, calm)
    # Whole days when neither phase waits: what is not usual in one of them is not usual for the other.
    whole = (due | (days["recent"]["weights"][rows] == 0)).all(axis=1)
    for recent, usual, taken in (("recent", "usual", due), ("recent_whole", "usual_whole", whole)):
        for name in _SUMS:
            waiting = days[recent][name][rows]
            days[usual][name][rows] += np.where(taken, waiting, 0)
            days[recent][name][rows] = np.where(taken, 0, waiting)
    known = days["usual_whole"][rows]
    days["day_inflation"][rows], days["day_spread"][rows] = inflation(known), spread(known)
    reference["day_lag"][rows] = _lag(days, rows)


def may_learn(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether days wait that are to be taken as usual, [n]; *calm* as in `learn`."""
    return np.asarray(_due(reference, days, rows, calm).any(axis=1))


def forget(days: Days, row: int) -> None:
    """Begin again."""
    days[row] = np.zeros((), days.dtype)


def drop_recent(days: Days, row: int) -> None:
    """What came lately is not usual."""
    for column in ("recent", "recent_whole", "today"):
        days[column][row] = np.zeros((), days.dtype[column].base)


def usual(days: Days, rows: Ints, phase: Ints | slice) -> tuple[Floats, Floats]:
    """Mean loss of all usual days and how many labels it is of, [n] each, or [n, PHASES]; no labels where there are
    not days enough."""
    known = days["usual"][rows, phase]
    labels = np.where(known["days"] >= FEWEST, known["weights"], 0)
    return known["losses"] / np.maximum(known["weights"], 1e-9), labels


def today(days: Days, rows: Ints, bound: Floats) -> Floats:
    """How many times the usual loss the next label of today has, by those that came today, [n], 1 and more.

    Args:
        bound: Mean loss that must not be exceeded, [n, PHASES]; NaN where there is none.
    """
    labels = np.where(np.isnan(bound), 0, days["today"]["weights"][rows])
    losses = np.where(np.isnan(bound), 0, days["today"]["losses"][rows]).sum(axis=1)
    usual = (labels * np.nan_to_num(bound)).sum(axis=1)
    counted = labels.sum(axis=1) * days["day_spread"][rows]
    times: Floats = (1 + counted * losses / np.maximum(usual, 1e-9)) / (1 + counted)
    return np.maximum(times, 1)


def inflation(sums: NDArray[Any]) -> Floats:
    """How much more the means of days vary than those of independent labels, [n], 1 and more. Of fewer than `FEWEST`
    days, or where no answer was ever wrong, 1.

    Args:
        sums: Labels, losses, squared losses over labels, and days, summed, [n].
    """
    labels, losses, squares, count = (sums[name].astype(np.float64) for name in _SUMS)
    mean = losses / np.maximum(labels, 1e-9)
    chi_squared = (squares - losses * mean) / np.maximum(mean * (1 - mean), 1e-9)
    known = (count >= FEWEST) & (losses > 0)
    found: Floats = np.where(known, np.maximum(chi_squared / np.maximum(count - 1, 1), 1), 1).astype(np.float32)
    return found


def spread(sums: NDArray[Any]) -> Floats:
    """One over the concentration of the rates of days, [n], 0 and more; *sums* as for `inflation`."""
    a_day = sums["weights"] / np.maximum(sums["days"], 1)
    return np.asarray((inflation(sums) - 1) / np.maximum(a_day, 1), np.float32)


def _sums(labels: Floats, losses: Floats) -> tuple[NDArray[Any], ...]:
    """What a day, [...], adds to `_SUMS`."""
    return labels, losses, losses**2 / np.where(labels > 0, labels, 1), labels > 0


def _due(reference: NDArray[Any], days: Days, rows: Ints, calm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Phases whose waiting days are taken now, [n, PHASES]."""
    recent = days["recent"]["weights"][rows]
    enough = recent >= _WAIT * days["usual"]["weights"][rows]
    first = reference["labels_closed"][rows] == 0
    found: NDArray[np.bool_] = (recent > 0) & (first | (enough & calm[:, None]))
    return found


def _lag(days: Days, rows: Ints) -> NDArray[np.uint16]:
    """Labels that are gathered into one mean, [n], 0 where nothing is known of days."""
    known = days["usual_whole"][rows]
    a_day = known["weights"] / np.maximum(known["days"], 1)
    return np.asarray(np.where(known["days"] >= FEWEST, np.minimum(a_day, _TOGETHER), 0), np.uint16)
