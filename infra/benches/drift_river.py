"""river's detectors, each tuned by its own parameter to a run length, and how late they are then.

They have no reference: they learn what is normal from the stream, so each begins with samples of the law before the
change. Their run length is samples over alarms on one long stream without change; river begins anew after each alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import river.drift

from infra.benches.drift_streams import Curve, Floats, Law
from services.drift.detectors.replayed import River

_DRIFT: Final[Any] = river.drift  # half of it has no types


@dataclass(frozen=True)
class Tunable:
    """A detector and its parameter.

    Attributes:
        build: Makes one from a number that grows with strictness.
        least, most: Range of that number.
        parameter: What it is, said to a reader.
        alarms: After so many a run length is known well enough.
        samples: Samples, at most, that a run length is measured on.
        changes: Changes that a delay is the mean of.
    """

    build: Callable[[float], River]
    least: float
    most: float
    parameter: Callable[[float], str]
    alarms: int = 50
    samples: int = 400_000
    changes: int = 60


def _significance(name: str) -> Callable[[float], str]:
    return lambda strictness: f"{name} {math.exp(-strictness):.3g}"


def _warning(strictness: float) -> float:
    return min(0.95, 5 * math.exp(-strictness))  # nobody reads it here; river wants it laxer


TUNABLE: Final[Mapping[str, Tunable]] = {
    "adwin": Tunable(lambda s: _DRIFT.ADWIN(delta=math.exp(-s)), 0.02, 4.0, _significance("delta"), changes=100),
    "page_hinkley": Tunable(
        lambda s: _DRIFT.PageHinkley(threshold=math.exp(s), mode="up"),
        -1.5,
        4.5,
        lambda s: f"threshold {math.exp(s):.3g}",
        changes=100,
    ),
    "hddm_a": Tunable(
        lambda s: _DRIFT.binary.HDDMA(drift_confidence=math.exp(-s), warning_confidence=_warning(s)),
        0.5,
        10.0,
        _significance("drift_confidence"),
        alarms=20,
        samples=100_000,
        changes=30,
    ),
    "hddm_w": Tunable(
        lambda s: _DRIFT.binary.HDDMW(drift_confidence=math.exp(-s), warning_confidence=_warning(s)),
        0.5,
        16.0,
        _significance("drift_confidence"),
        alarms=20,
        samples=100_000,
        changes=30,
    ),
    "ddm": Tunable(lambda s: _DRIFT.binary.DDM(drift_threshold=s), 1.2, 5.0, lambda s: f"drift_threshold {s:.3g}"),
    "kswin": Tunable(
        lambda s: _DRIFT.KSWIN(alpha=math.exp(-s), seed=0),
        2.0,
        14.0,
        _significance("alpha"),
        alarms=6,
        samples=40_000,
        changes=10,
    ),
}


def run_length(
    detector: River, law: Law, rng: np.random.Generator, *, samples: int, alarms: int, quiet: int = 40_000
) -> float:
    """Return samples an alarm on one stream without change.

    Args:
        detector: New.
        law: Of the samples.
        rng: Of all chance.
        samples: To end after.
        alarms: To end after.
        quiet: To end after, when none or one came till then: all samples and one half is what is said where none did.
    """
    seen = raised = 0
    while seen < samples and raised < alarms and not (seen >= quiet and raised <= 1):
        for x in law.draw(rng, min(1_000, samples - seen)).tolist():
            detector.update(x)
            seen += 1
            raised += detector.drift_detected
    return seen / raised if raised else 1.5 * seen


def delays(
    build: Callable[[], River],
    before: Law,
    after: Law,
    rng: np.random.Generator,
    *,
    learned: int,
    changes: int,
    longest: int,
) -> Floats:
    """Return samples from change to alarm, infinite beyond *longest*; streams with an alarm in the *learned* samples
    before it are left out."""
    found = []
    for _ in range(changes):
        detector = build()
        if any(_alarmed(detector, x) for x in before.draw(rng, learned).tolist()):
            continue
        changed = (n for n, x in enumerate(after.draw(rng, longest).tolist(), 1) if _alarmed(detector, x))
        found.append(next(changed, math.inf))
    return np.array(found, float)


def _alarmed(detector: River, x: float) -> bool:
    detector.update(x)
    return bool(detector.drift_detected)


@dataclass
class Tuner:
    """Measures run lengths of one detector on one law, each strictness once.

    Attributes:
        name: A key of `TUNABLE`.
        law: Without change.
        rng: Of all chance.
        effort: Of the samples that a full run takes, 0 to 1.
    """

    name: str
    law: Law
    rng: np.random.Generator
    effort: float = 1.0
    known: dict[float, float] = field(default_factory=dict)

    def search(self, wanted: float, steps: int = 6) -> float:
        """Return a strictness whose run length is near *wanted*, by bisection; `known` has what was seen on the way."""
        tunable = TUNABLE[self.name]
        least, most, best = tunable.least, tunable.most, tunable.most
        for _ in range(steps):
            middle = (least + most) / 2
            if self._off(middle, wanted) < self._off(best, wanted) or best not in self.known:
                best = middle
            if self._off(middle, wanted) < 0.15:
                break
            least, most = (middle, most) if self.known[middle] < wanted else (least, middle)
        return best

    def _off(self, strictness: float, wanted: float) -> float:
        """Distance of the logarithms of its run length and the *wanted* one."""
        if strictness not in self.known:
            tunable = TUNABLE[self.name]
            samples = max(2_000, int(tunable.samples * self.effort))
            self.known[strictness] = run_length(
                tunable.build(strictness),
                self.law,
                self.rng,
                samples=samples,
                alarms=tunable.alarms,
                quiet=int(4 * wanted),
            )
        return abs(math.log(self.known[strictness] / wanted))


def curve(tuner: Tuner, after: Law, wanted: float, *, learned: int, longest: int, missed_after: float) -> Curve:
    """Return run length and delay around *wanted*.

    Args:
        tuner: That has searched.
        after: Law after the change.
        wanted: Run length; settings between a twelfth and three times of it are measured.
        learned: Samples before the change.
        longest: A delay beyond it counts as that long, which flatters.
        missed_after: Samples after which a change counts as missed.
    """
    tunable = TUNABLE[tuner.name]
    near = {s: length for s, length in tuner.known.items() if wanted / 12 <= length <= 3 * wanted}
    near = near or dict([min(tuner.known.items(), key=lambda known: abs(math.log(known[1] / wanted)))])
    points = []
    for strictness, length in sorted(near.items()):

        def build(strictness: float = strictness) -> River:
            return tunable.build(strictness)

        changes = max(4, int(tunable.changes * tuner.effort))
        late = delays(build, tuner.law, after, tuner.rng, learned=learned, changes=changes, longest=longest)
        if len(late):
            early = 1 - len(late) / changes
            points.append((length, np.minimum(late, longest).mean(), (late > missed_after).mean(), early))
    lengths, delay, missed, early_share = np.array(points or [(wanted, np.nan, np.nan, 1.0)]).T
    return Curve(np.maximum.accumulate(lengths), delay, missed, early_share)


@contextmanager
def remembered_tests() -> Iterator[None]:
    """Let KSWIN look up a Kolmogorov-Smirnov test of zeros and ones that it made before: same answer, ten times faster.

    Such a test depends on two counts alone. Costs are measured outside of this.
    """
    made: dict[tuple[float, float, int, int], Any] = {}
    test = _DRIFT.kswin.stats.ks_2samp

    def look_up(one: list[float], other: list[float], method: str) -> Any:
        if not {*one, *other} <= {0.0, 1.0}:
            return test(one, other, method=method)
        key = (sum(one), sum(other), len(one), len(other))
        if key not in made:
            made[key] = test(one, other, method=method)
        return made[key]

    with patch.object(_DRIFT.kswin, "stats", SimpleNamespace(ks_2samp=look_up)):
        yield
