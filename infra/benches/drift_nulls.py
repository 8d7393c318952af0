"""Streams on which nothing changes, as roads have them, and how long the engine keeps still on them.

The first five are what the promise is assessed by. The others are negative controls: the same streams watched the way
that drift.md warns of, on which the promise must break, or this bench would see nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from infra.benches.drift_streams import Engine, Floats, Unchanged, passages
from infra.benches.harness import Interval
from services.drift.decorrelation import decorrelation_lag, measure
from services.drift.layout import CORRELATED, LOSS_LAG, NARROWEST
from services.drift.streams import SURE

ERROR: Final = 0.05
PERSISTENCE: Final = 0.6
REFERENCE: Final = 1_000

Make = Callable[[np.random.Generator, int], Unchanged]


@dataclass(frozen=True)
class Null:
    """Measured run length on one kind of stream.

    Attributes:
        name: Of the streams.
        over_nominal: Mean run length over the threshold, with a 95 % interval.
        soon: Share of streams with an alarm within a fifth of the threshold; 18 % where alarms have no memory.
        judged: Whether the promise is assessed by it; a negative control otherwise.
    """

    name: str
    over_nominal: Interval
    soon: float
    assessed: bool


def _streams(
    rng: np.random.Generator, mean: Floats, bound: Floats, persistence: Floats | float = 0.0, phase_samples: int = 1
) -> Unchanged:
    return Unchanged(rng, mean, bound, np.broadcast_to(persistence, mean.shape[1:]).astype(float), phase_samples)


def independent(rng: np.random.Generator, rows: int) -> Unchanged:
    """One error rate, known."""
    mean = np.full((1, rows), ERROR)
    return _streams(rng, mean, mean)


def every_sample(rng: np.random.Generator, rows: int) -> Unchanged:
    """A sample often repeats the one before, and all are taken."""
    mean = np.full((1, rows), ERROR)
    return _streams(rng, mean, mean, PERSISTENCE)


def thinned(rng: np.random.Generator, rows: int) -> Unchanged:
    """The same, one sample in k taken, with k as the service measures it on the reference of each stream.

    Of such a chain every k-th sample is a chain again, that repeats with the k-th power. Samples that are taken count.
    """
    source = every_sample(rng, rows)
    learning = np.zeros(rows, NARROWEST.learning)
    values, _ = source.draw(REFERENCE)
    column = slice(LOSS_LAG, CORRELATED)  # what is measured of losses
    for x in values.astype(np.float32):
        measure(learning, np.arange(rows), column, x[:, None])
    taken = np.array([decorrelation_lag(learning, row, column)[0].item() for row in range(rows)], float)
    return _streams(rng, source.mean, source.bound, PERSISTENCE**taken)


def day_and_night(rng: np.random.Generator, rows: int, *, pooled: bool = False) -> Unchanged:
    """Twelve hours of one sample a minute each; a bound for each phase, or one for both, and one statistic."""
    mean = np.repeat([[0.03], [0.09]], rows, axis=1)
    bound = np.full_like(mean, mean[:, 0].mean()) if pooled else mean
    return _streams(rng, mean, bound, phase_samples=720)


def cameras(rng: np.random.Generator, rows: int) -> Unchanged:
    """Each stream has its own error rate, 1 % to 30 %, and its own bound."""
    mean = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (1, rows)))
    return _streams(rng, mean, mean)


def finite_reference(rng: np.random.Generator, rows: int, *, samples: int = REFERENCE, sure: float = SURE) -> Unchanged:
    """The bound comes from a reference of so many samples, of each stream its own; no tolerance on top."""
    mean = np.full((1, rows), ERROR)
    known = np.maximum(rng.binomial(samples, mean), 1) / samples
    return _streams(rng, mean, known + sure * np.sqrt(known * (1 - known) / samples))


ASSESSED: Final[Mapping[str, Make]] = {
    "independent": independent,
    "persistent, thinned": thinned,
    "day and night": day_and_night,
    "different cameras": cameras,
    "finite reference": finite_reference,
}
CONTROLS: Final[Mapping[str, Make]] = {
    "persistent, every sample taken": every_sample,
    "day and night, one pooled reference": partial(day_and_night, pooled=True),
    "200 labels, their mean as bound": partial(finite_reference, samples=200, sure=0.0),
}


def run_length(name: str, make: Make, *, threshold: float, rows: int, seed: int, assessed: bool = True) -> Null:
    """Measure one kind of stream; a stream ends after eight times the threshold and counts as that long."""
    rng = np.random.default_rng(seed)
    longest = int(8 * threshold)
    lengths = passages(make(rng, rows), Engine(rows), rows, np.array([threshold]), longest)[:, 0]
    soon = float((lengths <= threshold / 5).mean())
    lengths = np.minimum(lengths, longest) / threshold
    error = 1.96 * float(lengths.std(ddof=1)) / math.sqrt(rows)
    mean = float(lengths.mean())
    return Null(name, Interval(mean, mean - error, mean + error, rows), soon, assessed)


def all_nulls(*, threshold: float, rows: int, seed: int) -> list[Null]:
    """Measure the five and the controls."""
    kinds = [(name, make, True) for name, make in ASSESSED.items()]
    kinds += [(name, make, False) for name, make in CONTROLS.items()]
    return [
        run_length(name, make, threshold=threshold, rows=rows, seed=seed + number, assessed=assessed)
        for number, (name, make, assessed) in enumerate(kinds)
    ]
