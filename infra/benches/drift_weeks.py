"""Months of labels as a fleet has them: how often accuracy alarms without a change, beside what is promised, and how
soon rare errors are found that become frequent.

The production code does the watching, from labels in columns on: reference, decorrelation, evidence, threshold of the
fleet. Dependence lasts days here: a season of a week, days of which each has a rate of its own, batches that somebody
sorted by class, and the weeks of a real stream (`river.datasets.WaterFlow`) in random order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river.datasets import WaterFlow

from infra.benches.drift_streams import Floats
from infra.benches.fleet import a_week
from infra.benches.harness import Interval
from services.drift.cameras import Cameras
from services.drift.layout import ACCURACY, FAMILIES
from services.drift.outcomes import Outcomes
from services.drift.rules import Rules
from services.drift.watcher import Watcher

FLEET: Final = 500
"""Cameras that the fleet's false alarms are shared by, however many are simulated."""
ERROR: Final = 0.05
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
BATCH: Final = 200
_HOURS_OF_A_WEEK: Final = 168
_SHARES: Final = np.array([0.5, 0.25, 0.15, 0.1])
_ERRORS_OF_CLASSES: Final = np.array([0.01, 0.04, 0.10, 0.20])  # 5 % of all
_CHUNK: Final = 1_000

Labels = NDArray[np.int64]
Draw = Callable[[Labels], tuple[Floats, Labels]]
"""Of label numbers, [t]: which answers are wrong, [t, n], 0 or 1, and their classes, [t, n]."""
Make = Callable[[np.random.Generator, int], Draw]


@dataclass(frozen=True)
class Season:
    """Labels of a fleet on whose roads nothing changes.

    Attributes:
        make: Draws them, from chance and a number of cameras.
        every_ms: Time between two labels of a camera, milliseconds.
        batch: How many come at once, one day's.
    """

    make: Make
    every_ms: float
    batch: int = 1

    def at_ms(self, numbers: Labels) -> Labels:
        """When labels come, [t]: those of a batch a second after each other, at the end of their day."""
        if self.batch == 1:
            return np.asarray(numbers * self.every_ms, np.int64)
        return np.asarray((numbers // self.batch + 1) * DAY_MS + 1_000 * (numbers % self.batch), np.int64)


def _drawn(rng: np.random.Generator, rates: Callable[[Labels], Floats], cameras: int) -> Draw:
    def draw(numbers: Labels) -> tuple[Floats, Labels]:
        wrong = (rng.random((len(numbers), cameras)) < rates(numbers)).astype(float)
        return wrong, rng.integers(0, len(_SHARES), wrong.shape)

    return draw


def steady(rng: np.random.Generator, cameras: int, *, error: float = ERROR) -> Draw:
    """One rate for ever."""
    return _drawn(rng, lambda numbers: np.full((len(numbers), 1), error), cameras)


def sine(rng: np.random.Generator, cameras: int, *, every_ms: float, swing: float) -> Draw:
    """A rate that swings with the week; each camera begins at an hour of its own."""
    began = rng.random(cameras)

    def rates(numbers: Labels) -> Floats:
        weeks = (numbers * every_ms / WEEK_MS)[:, None] + began
        return np.asarray(ERROR * (1 + swing * np.sin(2 * np.pi * weeks)))

    return _drawn(rng, rates, cameras)


def days(rng: np.random.Generator, cameras: int, *, a_day: int, concentration: float) -> Draw:
    """Each day of each camera has its own rate, of a Beta distribution."""
    today, rate = -1, np.zeros(cameras)

    def rates(numbers: Labels) -> Floats:
        nonlocal today, rate
        found = np.empty((len(numbers), cameras))
        for place, day in enumerate((numbers // a_day).tolist()):
            if day != today:
                today, rate = day, rng.beta(ERROR * concentration, (1 - ERROR) * concentration, cameras)
            found[place] = rate
        return found

    return _drawn(rng, rates, cameras)


def sorted_batches(rng: np.random.Generator, cameras: int) -> Draw:
    """A batch a day, in the order of classes, of which each has its own rate."""
    waiting = np.zeros((0, cameras), np.int64)

    def draw(numbers: Labels) -> tuple[Floats, Labels]:
        nonlocal waiting
        while len(waiting) < len(numbers):
            batch = np.sort(rng.choice(len(_SHARES), (BATCH, cameras), p=_SHARES), axis=0)
            waiting = np.concatenate([waiting, batch])
        classes, waiting = waiting[: len(numbers)], waiting[len(numbers) :]
        return (rng.random(classes.shape) < _ERRORS_OF_CLASSES[classes]).astype(float), classes

    return draw


@lru_cache
def _real_errors() -> Floats:
    """Whole weeks of hourly answers to "does the flow of water through a pipe rise or fall?" by one who says "as
    before", [weeks, 168]: 1 where that was wrong."""
    stream: Any = WaterFlow
    flow = np.array([float(y) for _, y in stream()])
    wrong = np.diff(np.sign(np.diff(flow))) != 0
    whole = len(wrong) // _HOURS_OF_A_WEEK
    weeks: Floats = wrong[: whole * _HOURS_OF_A_WEEK].reshape(whole, _HOURS_OF_A_WEEK).astype(float)
    return weeks


def real_weeks(rng: np.random.Generator, cameras: int) -> Draw:
    """A label an hour; each week of each camera is one of the real ones by chance."""
    weeks = _real_errors()
    week, chosen = -1, np.zeros(cameras, np.int64)

    def draw(numbers: Labels) -> tuple[Floats, Labels]:
        nonlocal week, chosen
        found = np.empty((len(numbers), cameras))
        for place, hour in enumerate(numbers.tolist()):
            if hour // _HOURS_OF_A_WEEK != week:
                week, chosen = hour // _HOURS_OF_A_WEEK, rng.integers(0, len(weeks), cameras)
            found[place] = weeks[chosen, hour % _HOURS_OF_A_WEEK]
        return found, rng.integers(0, len(_SHARES), found.shape)

    return draw


def _sine(every_min: float, swing: float) -> Season:
    return Season(partial(sine, every_ms=every_min * MINUTE_MS, swing=swing), every_min * MINUTE_MS)


SEASONS: Final[Mapping[str, Season]] = {
    "weekly sine ±60 %, a label a minute": _sine(1, 0.6),
    "weekly sine ±60 %, a label in 4.3 min": _sine(4.3, 0.6),
    "weekly sine ±30 %, a label a minute": _sine(1, 0.3),
    "each day its rate, Beta(5, 95), 200 a day": Season(partial(days, a_day=200, concentration=100), DAY_MS / 200),
    "each day its rate, Beta(10, 190), 1,000 a day": Season(
        partial(days, a_day=1_000, concentration=200), DAY_MS / 1_000
    ),
    "daily batches of 200 sorted by class": Season(sorted_batches, DAY_MS / BATCH, BATCH),
    "real weeks in random order, a label an hour": Season(real_weeks, 60 * MINUTE_MS),
    "independent, 1 %": Season(partial(steady, error=0.01), MINUTE_MS),
    "independent, 5 %": Season(steady, MINUTE_MS),
    "independent, 40 %": Season(partial(steady, error=0.40), MINUTE_MS),
}


@dataclass(frozen=True)
class Watched:
    """What a fleet was told of one kind of labels.

    Attributes:
        name: Of the labels.
        alarms: Camera and number of the label of each alarm of accuracy.
        cameras, labels: How many, and labels of each.
        promised: Alarms that accuracy may have had, as its share of the false alarms of the fleet.
        whole_at: Label with which most cameras' reference was whole; infinite where it never was.
    """

    name: str
    alarms: list[tuple[int, int]]
    cameras: int
    labels: int
    promised: float
    whole_at: float

    @property
    def over_promised(self) -> Interval:
        """Alarms over promised, with the exact 95 % interval of a Poisson mean."""
        return a_week(len(self.alarms), self.promised, self.cameras * self.labels)

    @property
    def early(self) -> float:
        """Share of cameras that alarm in the first fifth of their time after learning, among those that alarm in it at
        all: a fifth or so where alarms have no memory; NaN without an alarm."""
        first = dict(reversed(self.alarms))
        if not first:
            return math.nan
        fifth = self.whole_at + (self.labels - self.whole_at) / 5
        return float(np.mean([number < fifth for number in first.values()]))


def watched(name: str, season: Season, rules: Rules, *, cameras: int, labels: int, seed: int) -> Watched:
    """Let a fleet's labels come and count what is raised.

    Args:
        rules: Of drift; the fleet has `FLEET` cameras, of which *cameras* are simulated.
    """
    alarms, whole_at = raised(season, rules, cameras=cameras, labels=labels, seed=seed)
    weeks = labels * season.every_ms / WEEK_MS
    promised = rules.false_per_week * weeks / len(FAMILIES) * cameras / FLEET
    return Watched(name, alarms, cameras, labels, promised, whole_at)


def raised(
    season: Season, rules: Rules, *, cameras: int, labels: int, seed: int, first_alone: bool = False
) -> tuple[list[tuple[int, int]], float]:
    """Camera and label of each alarm of accuracy, in order; and the label with which most references were whole.

    Args:
        first_alone: End when every camera has had one.
    """
    rng = np.random.default_rng(seed)
    fleet = Cameras()
    rows = np.array([fleet.row(f"camera-{camera:03}") for camera in range(cameras)])
    watcher, table = Watcher(replace(rules, fleet_cameras=FLEET)), fleet.table
    draw, counts = season.make(rng, cameras), np.ones(cameras, bool)
    alarms: list[tuple[int, int]] = []
    whole_at = math.inf
    for start in range(0, labels, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, labels))
        wrong, classes = draw(numbers)
        for place, at_ms in enumerate((season.at_ms(numbers) + DAY_MS).tolist()):
            now = np.full(cameras, at_ms)
            seen = Outcomes(
                rows=rows,
                at_ms=now,
                received_ms=now,
                phase=np.ones(cameras, np.int64),
                bucket=classes[place],
                loss=wrong[place].astype(np.float32),
                propensity=np.ones(cameras, np.float32),
                confidence=np.full(cameras, 0.9, np.float32),
                cause=np.zeros(cameras, "V16"),
            )
            for row in sorted(watcher.labels(table, seen, counts)):
                if table.watch["raised"][row, ACCURACY] and table.watch["raised_at_ms"][row, ACCURACY] == at_ms:
                    alarms.append((row, int(numbers[place])))
        fleet.commit()
        if math.isinf(whole_at) and 2 * table.reference["labels_closed"][rows, 1].sum() >= cameras:
            whole_at = float(numbers[-1])
        if first_alone and len({camera for camera, _ in alarms}) == cameras:
            break
    return alarms, whole_at


@dataclass(frozen=True)
class Rise:
    """An error rate that rises for good, a label a minute.

    Attributes:
        before, after: Rates.
    """

    before: float
    after: float

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.before:.3g} → {self.after:.3g}"


RISES: Final = (Rise(0.001, 0.02), Rise(0.01, 0.03), Rise(0.05, 0.08), Rise(0.05, 0.15))
LEARNED: Final = 14 * 1_440
"""Labels before a rise: two weeks of minutes."""
LONGEST: Final = 30_000
"""Labels after which a rise counts as missed."""


def delays(
    rise: Rise, rules: Rules, *, cameras: int, seed: int, learned: int = LEARNED, longest: int = LONGEST
) -> Floats:
    """Labels from a rise to the alarm at the fleet's threshold, [n]; infinite beyond *longest*, and where there was an
    alarm before."""

    def make(rng: np.random.Generator, cameras: int) -> Draw:
        return _drawn(rng, lambda numbers: np.where(numbers < learned, rise.before, rise.after)[:, None], cameras)

    alarms, _ = raised(
        Season(make, MINUTE_MS), rules, cameras=cameras, labels=learned + longest, seed=seed, first_alone=True
    )
    first = dict(reversed(alarms))
    late = [first.get(camera, math.inf) - learned for camera in range(cameras)]
    return np.array([each + 1 if each >= 0 else math.inf for each in late])


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes:
        seasons, rises: Names of the first, and the second.
        cameras: Of a season, of `FLEET` at most.
        labels: Of each of them.
        changed: Cameras of a rise.
        learned, longest: As in `delays`.
    """

    seasons: tuple[str, ...]
    rises: tuple[Rise, ...]
    cameras: int
    labels: int
    changed: int
    learned: int = LEARNED
    longest: int = LONGEST


LONG: Final = Size(tuple(SEASONS), RISES, FLEET, 80_000, 200)
FULL: Final = Size(tuple(SEASONS), RISES, FLEET, 40_000, 50)
SHORT: Final = Size(tuple(SEASONS)[:1], RISES[:1], 4, 300, 2, 200, 200)
