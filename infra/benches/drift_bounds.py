"""The engine with what it may know of the mean before a change: the true one, what was learned, and what is shipped.

Each is tuned to the same measured run length, so that a bound that is too careful pays for it by a lower threshold and
not by nothing. *shipped* is the learned bound with the tolerance that the service has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from infra.benches.drift_cells import CELLS, MISSED, RUN_LENGTH, Cell
from infra.benches.drift_streams import Changing, Curve, Engine, Floats, Law, Mask, Oracle, Watch, curve, passages
from services.drift.rules import Rules
from services.drift.streams import SURE

BOUNDS: Final = ("true", "learned", "shipped")
KNOWN: Final = ("true", "learned")
"""Those that a target is set for: a tolerance is there to be late for small changes."""


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes:
        cells: Changes.
        run_length: To tune to, samples.
        learned: Samples of which the mean is known.
        change_at: Samples that are watched before the change.
        streams: Without change.
        changes: With one.
        settings: Thresholds on a curve.
    """

    cells: tuple[Cell, ...]
    run_length: float = RUN_LENGTH
    learned: int = 1_000
    change_at: int = 3_000
    streams: int = 400
    changes: int = 600
    settings: int = 24


FULL: Final = Size(tuple(cell for cell in CELLS if cell.assessed))
SHORT: Final = Size(CELLS[3:4], 400.0, 100, 50, 20, 20, 8)


class Learned:
    """The engine, with a bound that each stream has learned from samples of its own; a `Watch`.

    Args:
        rng: Of all chance.
        rows: Streams.
        law: Of what they learn from.
        samples: How many that are.
        tolerance: On top.
    """

    def __init__(self, rng: np.random.Generator, rows: int, law: Law, samples: int, tolerance: float = 0.0) -> None:
        known = law.draw(rng, (samples, rows))
        mean = known.mean(axis=0)
        # One error more than were seen, as in the service: of what was never wrong the next may be.
        spread = np.sqrt(known.var(axis=0) + (1 - mean) / samples)
        self._bound = np.minimum(mean + SURE * spread / np.sqrt(samples) + tolerance, 0.98)
        self._engine = Engine(rows)

    def take(self, x: Floats, bound: Floats) -> Floats:
        """As `Watch`; the *bound* that is given is the true mean, which is not known."""
        return self._engine.take(x, self._bound)

    def keep(self, rows: Mask) -> None:
        """As `Watch`."""
        self._bound = self._bound[rows]
        self._engine.keep(rows)


def watches(rng: np.random.Generator, law: Law, size: Size) -> dict[str, Callable[[int], Watch]]:
    """By name of the bound, what watches so many streams of a law."""
    tolerance = float(Rules().tolerated(np.array(law.mean)))
    return {
        "true": Engine,
        "learned": lambda rows: Learned(rng, rows, law, size.learned),
        "shipped": lambda rows: Learned(rng, rows, law, size.learned, tolerance),
    }


def curves(cell: Cell, size: Size, seed: int) -> dict[str, Curve]:
    """Run length and delay with each bound, and the oracle's."""
    rng, wanted = np.random.default_rng(seed), size.run_length
    levels = np.linspace(np.log(wanted) - 7, np.log(wanted) + 1, 2 * size.settings)
    found = {"oracle": _curve(rng, cell, size, lambda rows: Oracle(rows, cell.before, cell.after), levels)}
    late = MISSED * found["oracle"].at(wanted)[0]
    # A careful bound has a run length far over its threshold.
    thresholds = np.geomspace(wanted / 300, wanted * 1.3, size.settings)
    for name, watch in watches(rng, cell.before, size).items():
        found[name] = _curve(rng, cell, size, watch, thresholds, late)
    return found


def _curve(
    rng: np.random.Generator,
    cell: Cell,
    size: Size,
    watch: Callable[[int], Watch],
    thresholds: Floats,
    missed_after: float = np.inf,
) -> Curve:
    enough = 1.2 * size.run_length + size.change_at
    longest = int(30 * enough)
    still = Changing(rng, size.streams, cell.before, cell.before)
    alone = passages(still, watch(size.streams), size.streams, thresholds, longest, enough)
    changing = Changing(rng, size.changes, cell.before, cell.after, size.change_at)
    late = passages(changing, watch(size.changes), size.changes, thresholds, longest, enough)
    return curve(alone, late, size.change_at, missed_after)
