"""Many simulated streams side by side: what they draw, what watches them, and when each threshold is first reached.

A statistic that is never reset passes all thresholds on one path, so one simulation gives run length, or delay, as a
function of the threshold: what is tuned to an equal run length is read off a curve, not searched for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import lgamma
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.drift.detectors.esr import FRACTIONS, advance, combined

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_CHUNK = 256


@dataclass(frozen=True)
class Law:
    """What one sample is drawn from.

    Attributes:
        mean: In (0, 1).
        concentration: a + b of a Beta distribution; 0 for 0 or 1, as a wrong or right prediction is.
    """

    mean: float
    concentration: float = 0.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...] | int) -> Floats:
        """Independent samples, in [0, 1]."""
        if self.concentration:
            return rng.beta(self.mean * self.concentration, (1 - self.mean) * self.concentration, shape)
        return (rng.random(shape) < self.mean).astype(np.float64)

    def evidence_against(self, other: Law) -> Callable[[Floats], Floats]:
        """Return x -> log of the density ratio of this law to the *other*, which has the same concentration."""
        if not self.concentration:
            hit = np.log(self.mean / other.mean)
            miss = np.log((1 - self.mean) / (1 - other.mean))
            return lambda x: miss + x * (hit - miss)
        shift = self.concentration * (self.mean - other.mean)
        constant = _log_beta(other) - _log_beta(self)
        tiny = np.finfo(np.float64).tiny
        return lambda x: constant + shift * (np.log(np.maximum(x, tiny)) - np.log(np.maximum(1 - x, tiny)))


def _log_beta(law: Law) -> float:
    a, b = law.mean * law.concentration, (1 - law.mean) * law.concentration
    return lgamma(a) + lgamma(b) - lgamma(a + b)


class Source(Protocol):
    """Streams that are drawn from side by side."""

    def draw(self, steps: int) -> tuple[Floats, Floats]:
        """The next samples, [steps, n], and the bound of each, of a shape that broadcasts to it."""

    def keep(self, rows: Mask) -> None:
        """Go on with these streams alone."""


@dataclass
class Changing:
    """Independent samples whose law changes once.

    Attributes:
        rng: Of all chance.
        rows: Streams.
        before, after: Laws.
        change_at: Samples before the change; 0: all are of the law *after*.
    """

    rng: np.random.Generator
    rows: int
    before: Law
    after: Law
    change_at: int = 0
    drawn: int = 0

    def draw(self, steps: int) -> tuple[Floats, Floats]:
        """As `Source`; the bound is the mean before."""
        first = min(max(self.change_at - self.drawn, 0), steps)
        self.drawn += steps
        x = np.concatenate(
            [self.before.draw(self.rng, (first, self.rows)), self.after.draw(self.rng, (steps - first, self.rows))]
        )
        return x, np.array(self.before.mean)

    def keep(self, rows: Mask) -> None:
        """As `Source`."""
        self.rows = int(rows.sum())


@dataclass
class Unchanged:
    """Streams of 0 and 1 without drift that are not as simple as an independent one with a known mean.

    Attributes:
        rng: Of all chance.
        mean: [phases, n], of the samples.
        bound: [phases, n].
        persistence: [n], probability that a sample repeats the one before.
        phase_samples: Length of a phase; each stream begins somewhere in one.
    """

    rng: np.random.Generator
    mean: Floats
    bound: Floats
    persistence: Floats
    phase_samples: int = 1
    clock: NDArray[np.int64] = field(init=False)
    last: Floats = field(init=False)

    def __post_init__(self) -> None:
        rows = self.mean.shape[1]
        self.clock = self.rng.integers(0, self.phase_samples * len(self.mean), size=(rows,))
        self.last = (self.rng.random(rows) < self.mean[0]).astype(np.float64)

    def draw(self, steps: int) -> tuple[Floats, Floats]:
        """As `Source`."""
        times = self.clock + np.arange(steps)[:, None]
        phase = times // self.phase_samples % len(self.mean)
        column = np.arange(self.mean.shape[1])
        x = (self.rng.random(times.shape) < self.mean[phase, column]).astype(np.float64)
        if self.persistence.any():
            repeats = self.rng.random(times.shape) < self.persistence
            for step in range(steps):
                x[step] = self.last = np.where(repeats[step], self.last, x[step])
        self.clock = self.clock + steps
        return x, self.bound[phase, column]

    def keep(self, rows: Mask) -> None:
        """As `Source`."""
        self.mean, self.bound = self.mean[:, rows], self.bound[:, rows]
        self.persistence, self.clock, self.last = self.persistence[rows], self.clock[rows], self.last[rows]


class Watch(Protocol):
    """A statistic of n streams."""

    def take(self, x: Floats, bound: Floats) -> Floats:
        """Its values, [n], after one more sample of each."""

    def keep(self, rows: Mask) -> None:
        """Go on with these streams alone."""


class Engine:
    """The service's own, in the precision that it keeps."""

    def __init__(self, rows: int) -> None:
        self._evidence = np.zeros((rows, len(FRACTIONS)), np.float32)

    def take(self, x: Floats, bound: Floats) -> Floats:
        """As `Watch`."""
        return combined(advance(self._evidence, x, bound, out=self._evidence)).astype(np.float64)

    def keep(self, rows: Mask) -> None:
        """As `Watch`."""
        self._evidence = self._evidence[rows]


class Oracle:
    """Page's CUSUM, which knows the law before and after; nothing is faster at its run length (Moustakides 1986)."""

    def __init__(self, rows: int, before: Law, after: Law) -> None:
        self._evidence = after.evidence_against(before)
        self._sum = np.zeros(rows)

    def take(self, x: Floats, bound: Floats) -> Floats:
        """As `Watch`."""
        self._sum = np.maximum(self._sum + self._evidence(x), 0)
        return self._sum

    def keep(self, rows: Mask) -> None:
        """As `Watch`."""
        self._sum = self._sum[rows]


def passages(
    source: Source, watch: Watch, rows: int, thresholds: Floats, longest: int, enough: float = np.inf
) -> Floats:
    """Return when each threshold is first reached.

    Args:
        source: Of *rows* streams.
        watch: On them.
        rows: Streams.
        thresholds: Ascending, [k].
        longest: Samples after which a stream ends.
        enough: Thresholds with a mean beyond it are not waited for; they come back half done.

    Returns:
        Samples until then, [rows, k]; infinite where it was not reached.
    """
    first = np.full((rows, len(thresholds)), np.inf)
    left = np.arange(rows)
    for start in range(0, longest, _CHUNK):
        steps = min(_CHUNK, longest - start)
        x, bound = source.draw(steps)
        bound = np.broadcast_to(bound, x.shape)
        values = np.stack([watch.take(x[step], bound[step]) for step in range(steps)])
        now = start + _below(np.maximum.accumulate(values), thresholds)
        first[left] = np.where(np.isinf(first[left]) & (now < start + steps), now + 1, first[left])
        # What lies beyond the run length that is asked for is left to itself.
        needed = int(np.searchsorted(np.minimum(first, start + steps).mean(axis=0), enough))
        going = np.isinf(first[left, min(needed, len(thresholds) - 1)])
        if not going.any():
            break
        if going.sum() < 0.8 * len(left):
            left = left[going]
            source.keep(going)
            watch.keep(going)
    return first


def _below(values: Floats, thresholds: Floats) -> Floats:
    """How many of *values*, [t, n], ascending along t, lie below each of *thresholds*: [n, k]."""
    rows, levels = values.shape[1], len(thresholds) + 1
    crossed = np.searchsorted(thresholds, values, side="right") + np.arange(rows) * levels
    counts = np.bincount(crossed.ravel(), minlength=rows * levels).reshape(rows, levels)
    below: Floats = counts.cumsum(axis=1)[:, :-1].astype(np.float64)
    return below


@dataclass(frozen=True)
class Curve:
    """Run length and delay of one detector, setting by setting.

    Attributes:
        run_length: Mean samples until a false alarm, ascending, [k].
        delay: Mean samples from the change to the alarm, of streams without an alarm before, [k].
        missed: Share of them that the detector has not found in three mean delays of the oracle, [k].
        early: Share of all streams with an alarm before the change, [k].
    """

    run_length: Floats
    delay: Floats
    missed: Floats
    early: Floats

    def at(self, run_length: float) -> tuple[float, float, float]:
        """Return delay, missed and early when tuned to *run_length*: between two settings linear in its logarithm, at
        an end that end's."""
        where, known = np.log(run_length), np.log(self.run_length)
        delay, missed, early = (float(np.interp(where, known, y)) for y in (self.delay, self.missed, self.early))
        return delay, missed, early


def curve(run_lengths: Floats, alarms: Floats, change_at: int, missed_after: float = np.inf) -> Curve:
    """Put together what `passages` gave without and with a change.

    Args:
        run_lengths: [n, k], without; thresholds that were not waited for are left out.
        alarms: [m, k], with a change.
        change_at: Samples before it.
        missed_after: Samples after it from which on it counts as missed.
    """
    whole = np.isfinite(run_lengths).all(axis=0) & np.isfinite(alarms).all(axis=0)
    late = np.where(alarms > change_at, alarms - change_at, np.nan)[:, whole]
    found = ~np.isnan(late)
    with np.errstate(invalid="ignore"):
        return Curve(
            run_lengths[:, whole].mean(axis=0),
            np.nansum(late, axis=0) / found.sum(axis=0),
            (late > missed_after).sum(axis=0) / found.sum(axis=0),
            1 - found.mean(axis=0),
        )
