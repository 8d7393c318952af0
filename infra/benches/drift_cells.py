"""Ten changes, and how late each detector finds them when all of them have the same measured run length.

The oracle knows the law before and after; the engine knows the mean before; river's detectors learn it from the 1,000
samples before the change. So there are two comparisons: the engine against the oracle when the change comes with the
first sample, which is the worst moment for both, and all of them when it comes after 1,000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from infra.benches import drift_river
from infra.benches.drift_river import TUNABLE, Tuner
from infra.benches.drift_streams import Changing, Curve, Engine, Law, Oracle, Watch, curve, passages

RUN_LENGTH: Final = 10_000.0
"""Samples between false alarms to which all are tuned, as measured."""
MISSED: Final = 3.0
"""A change that is not found within so many mean delays of the oracle counts as missed."""


@dataclass(frozen=True)
class Cell:
    """A change.

    Attributes:
        before, after: Laws.
        judged: One of the ten; else it is shown and not assessed.
    """

    before: Law
    after: Law
    assessed: bool = True

    @property
    def name(self) -> str:
        """As in tables."""
        shape = f", Beta {self.before.concentration:g}" if self.before.concentration else ""
        return f"{self.before.mean:g} → {self.after.mean:g}{shape}"


CELLS: Final = (
    *(Cell(Law(0.05), Law(after)) for after in (0.08, 0.10, 0.15, 0.25)),
    Cell(Law(0.02), Law(0.05)),
    Cell(Law(0.10), Law(0.15)),
    Cell(Law(0.20), Law(0.30)),
    Cell(Law(0.30), Law(0.50)),
    # What a mean probability of a class looks like, and a rank, which is uniform until something changes.
    Cell(Law(0.10, 4), Law(0.20, 4)),
    Cell(Law(0.50, 2), Law(0.60, 2)),
    # A steady number in the middle: its law is known to the oracle alone, and no bet on a mean is so large.
    Cell(Law(0.40, 6), Law(0.55, 6), assessed=False),
)
_CONTINUOUS: Final = Law(0.5, 2)
SHORT_CELLS: Final = (CELLS[3], CELLS[7])


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes:
        run_length: To tune to, samples.
        learned: Samples before the change, from which river's detectors learn: as many as a reference has.
        streams: Without change.
        changes: Streams with one.
        effort: Of river's detectors, 0 to 1.
        settings: Thresholds on a curve.
    """

    run_length: float
    learned: int
    streams: int
    changes: int
    effort: float
    settings: int


FULL: Final = Size(RUN_LENGTH, 1_000, 500, 2_000, 1.0, 24)
SHORT: Final = Size(500.0, 60, 60, 100, 0.03, 10)


@dataclass
class Found:
    """What is known of one cell.

    Attributes:
        cell: Which.
        fresh: Curves of "esr" and "oracle" when the change comes first.
        warm: Curves of all detectors when it comes after a reference's worth of samples.
        settings: What each of river's detectors was tuned to.
    """

    cell: Cell
    fresh: dict[str, Curve] = field(default_factory=dict)
    warm: dict[str, Curve] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


class Simulation:
    """Simulates cells; what is the same in several, it does once.

    Args:
        size: How much.
        seed: Of all chance.
        detectors: Names of river's that take part.
    """

    def __init__(self, size: Size, seed: int, detectors: Sequence[str] = tuple(TUNABLE)) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._detectors = detectors
        self._still: dict[Law, np.ndarray[tuple[int, int], np.dtype[np.float64]]] = {}
        self._tuned: dict[tuple[str, Law], tuple[Tuner, float]] = {}

    def cell(self, cell: Cell) -> Found:
        """Measure one."""
        found = Found(cell)
        size, before, after = self._size, cell.before, cell.after
        wanted = size.run_length
        thresholds = np.geomspace(wanted / 25, wanted * 1.3, size.settings)
        if before not in self._still:
            self._still[before] = self._alarms(Changing(self._rng, size.streams, before, before), Engine, thresholds)
        # A CUSUM's run length is a few times the exponential of its threshold.
        levels = np.linspace(np.log(wanted) - 7, np.log(wanted) + 1, 2 * size.settings)

        def oracle(rows: int) -> Oracle:
            return Oracle(rows, before, after)

        still = self._alarms(Changing(self._rng, size.streams, before, before), oracle, levels)
        for change_at, curves in ((0, found.fresh), (size.learned, found.warm)):
            oracles = self._alarms(Changing(self._rng, size.changes, before, after, change_at), oracle, levels)
            curves["oracle"] = curve(still, oracles, change_at)
            late = MISSED * curves["oracle"].at(wanted)[0]
            ours = self._alarms(Changing(self._rng, size.changes, before, after, change_at), Engine, thresholds)
            curves["esr"] = curve(self._still[before], ours, change_at, late)
        for name in self._detectors:
            self._river(found, name, late)
        return found

    def _alarms(
        self, source: Changing, watch: Callable[[int], Watch], thresholds: np.ndarray[tuple[int], np.dtype[np.float64]]
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        enough = 1.2 * self._size.run_length + self._size.learned
        rows = source.rows
        return passages(source, watch(rows), rows, thresholds, int(30 * enough), enough)

    def _river(self, found: Found, name: str, late: float) -> None:
        before, wanted = found.cell.before, self._size.run_length
        # On continuous samples a Kolmogorov-Smirnov test has one law whatever theirs is: KSWIN is dear, tune it once.
        tuned_on = _CONTINUOUS if name == "kswin" and before.concentration else before
        if (name, tuned_on) not in self._tuned:
            tuner = Tuner(name, tuned_on, self._rng, self._size.effort)
            self._tuned[name, tuned_on] = tuner, tuner.search(wanted)
        tuner, strictness = self._tuned[name, tuned_on]
        tuner = replace(tuner, law=before)
        found.settings[name] = TUNABLE[name].parameter(strictness)
        found.warm[name] = drift_river.curve(
            tuner, found.cell.after, wanted, learned=self._size.learned, longest=int(4 * late), missed_after=late
        )
