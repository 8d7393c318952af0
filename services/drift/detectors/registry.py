"""Detectors by the name that a user picks, for samples in [0, 1] whose mean must not rise.

Only the engine takes a run length as a promise. What river's detectors take instead (a significance, a threshold) is
set from it by what is known of each, as its line says; `infra/bench drift` shows what run length comes out.
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Final, Protocol

from catseye.contract.errors import Misconfigured
from services.drift.detectors.esr import MixtureESR
from services.drift.detectors.replayed import Replayed


class Detector(Protocol):
    """river's interface, and a state that outlives the process."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last sample raised an alarm; the next one begins anew."""

    def update(self, x: float) -> None:
        """Take one sample.

        Raises:
            ValueError: it is NaN or outside of [0, 1].
        """

    def to_bytes(self) -> bytes:
        """Return all that the past left, 4,000 bytes at most."""

    def restore(self, state: bytes) -> None:
        """Go on from what `to_bytes` of a detector of the same name and arguments gave.

        Raises:
            ValueError: it cannot have been that.
        """


@dataclass(frozen=True)
class Wanted:
    """What a detector is made for.

    Attributes:
        reference_mean: Mean of the samples while nothing changes, in (0, 1).
        tolerance: Rise of it that is no drift; only the engine knows such a thing.
        run_length: Samples until a false alarm, on average; above 1.
    """

    reference_mean: float
    tolerance: float
    run_length: float

    @property
    def significance(self) -> float:
        """Of a test at every sample: P(alarm within n) is at most n times it, so the mean is half of its inverse."""
        return 1 / (2 * self.run_length)


def _esr(wanted: Wanted) -> Detector:
    """The engine: the run length is its threshold."""
    return MixtureESR(wanted.reference_mean, wanted.tolerance, wanted.run_length)


def _adwin(wanted: Wanted) -> Detector:
    """Its bound is loose: a significance of .32 has been seen to give 10,000 to 40,000 samples, and ten times fewer
    at three times the significance. Here that is put down as a square root, which is on the safe side."""
    return _river("river.drift", "ADWIN", delta=min(0.9, math.sqrt(1_000 / wanted.run_length)))


def _kswin(wanted: Wanted) -> Detector:
    """It tests at every sample; some 200 µs each."""
    return _river("river.drift", "KSWIN", alpha=min(0.005, wanted.significance), seed=0)


def _page_hinkley(wanted: Wanted) -> Detector:
    """A CUSUM with river's drift of .005: Siegmund's approximation ("Sequential analysis", 1985) of its run length,
    with the largest variance that samples of this mean can have."""
    variance, delta = wanted.reference_mean * (1 - wanted.reference_mean), 0.005
    wanted_sum = wanted.run_length * 2 * delta**2 / variance
    exponent = math.log1p(wanted_sum)
    for _ in range(20):  # e^y − 1 − y = wanted_sum, a fixed point that is reached fast
        exponent = math.log(wanted_sum + 1 + exponent)
    return _river("river.drift", "PageHinkley", threshold=exponent * variance / (2 * delta), delta=delta, mode="up")


def _hddm_a(wanted: Wanted) -> Detector:
    """It tests at every sample, with Hoeffding's inequality."""
    confidence = wanted.significance
    return _river("river.drift.binary", "HDDMA", drift_confidence=confidence, warning_confidence=5 * confidence)


def _hddm_w(wanted: Wanted) -> Detector:
    """It tests at every sample, with McDiarmid's inequality."""
    confidence = wanted.significance
    return _river("river.drift.binary", "HDDMW", drift_confidence=confidence, warning_confidence=5 * confidence)


def _ddm(wanted: Wanted) -> Detector:
    """Standard deviations over the best error rate so far; 3 is river's own and the least strict that is used."""
    quantile = -NormalDist().inv_cdf(wanted.significance)
    return _river("river.drift.binary", "DDM", drift_threshold=max(3.0, quantile))


def _river(module: str, name: str, **arguments: Any) -> Detector:
    # Imported when it is picked: river.drift brings scipy, two seconds of a start that nobody else must wait for.
    made = getattr(importlib.import_module(module), name)
    return Replayed(lambda: made(**arguments))


DETECTORS: Final[Mapping[str, Callable[[Wanted], Detector]]] = MappingProxyType(
    {
        "esr": _esr,
        "adwin": _adwin,
        "kswin": _kswin,
        "page_hinkley": _page_hinkley,
        "hddm_a": _hddm_a,
        "hddm_w": _hddm_w,
        "ddm": _ddm,
    }
)
"""One line here adds one; the contract suite runs over all of them."""


def make(
    name: str, reference_mean: float, *, tolerance: float = 0.0, run_length: float = 10_000.0, state: bytes = b""
) -> Detector:
    """Return the detector of that name.

    Args:
        name: A key of `DETECTORS`.
        reference_mean: Mean of the samples while nothing changes, in (0, 1).
        tolerance: Rise of it that is no drift, at least 0.
        run_length: Samples until a false alarm, on average; above 1.
        state: What `to_bytes` gave before; a new detector when empty.

    Raises:
        Misconfigured: there is none of that name.
        ValueError: a number is out of its range, or *state* is not one.
    """
    if name not in DETECTORS:
        near = difflib.get_close_matches(name.lower(), DETECTORS, n=1, cutoff=0)
        raise Misconfigured(f"{name} is not a detector; did you mean {near[0]}? There are {', '.join(DETECTORS)}")
    if not (0 < reference_mean < 1 and 1 < run_length < math.inf):
        raise ValueError(f"reference mean {reference_mean} must be in (0, 1), run length {run_length} above 1")
    detector = DETECTORS[name](Wanted(reference_mean, tolerance, run_length))
    if state:
        detector.restore(state)
    return detector
