"""The engine: a mixture e-detector of Shiryaev-Roberts form for a mean that must not rise.

    M_k ← (1 + λ_k · (x − bound)) · (M_k + 1),   λ_k = FRACTIONS[k] / bound,   alarm when mean_k M_k ≥ threshold

While the mean of x given the past is at most *bound*, mean_k M_k − (samples seen) is a supermartingale, so the expected
number of samples until an alarm is at least *threshold*, whatever else the distribution of x in [0, 1] does (Shin,
Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2023). The bet k is the best
one for one size of change; the mean over them pays at most ln 8 for not knowing which. The mean over streams is again
such a statistic, with the same promise.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

FRACTIONS: Final[NDArray[np.float64]] = np.geomspace(0.014, 0.98, 8)
"""Bets as a share of the largest one, 1 / bound, at which one sample of 0 would wipe the evidence out.

Against Bernoulli samples that change from m0 to m1 the bet that grows fastest (Kelly 1956) is the share
(m1 − m0) / (1 − m0); against steadier samples, with standard deviation s, it is near (m1 − m0) · m0 / s², hence larger.
The ends are the best of a search over 81 changes, m0 from .02 to .5, Bernoulli and Beta (decision 0006).
"""

CEILING: Final = 1e30
"""Evidence is clipped here: beyond any threshold, and its product with any growth is still a float32."""

_SINGLE: Final = FRACTIONS.astype(np.float32)


_Float = TypeVar("_Float", bound=np.floating[Any])


def advance(
    evidence: NDArray[_Float], x: ArrayLike, bound: ArrayLike, out: NDArray[_Float] | None = None
) -> NDArray[_Float]:
    """Return the evidence after one more sample of every stream.

    Args:
        evidence: [..., 8], float32 or float64, at least 0; all 0 before the first sample.
        x: [...], the samples, in [0, 1]. Not checked: a NaN makes its stream's evidence NaN.
        bound: [...], the mean that x must not exceed, in (0, 1).
        out: Where to write it, *evidence* itself included; a new array when None.

    Returns:
        (1 + FRACTIONS · (x / bound − 1)) · (evidence + 1), at most 1e30, of the type that *evidence* has.
    """
    single = evidence.dtype == np.float32
    excess = np.divide(x, bound, dtype=evidence.dtype, casting="same_kind")
    growth = (_SINGLE if single else FRACTIONS) * (excess - 1)[..., None]
    growth += 1
    result: NDArray[_Float] = np.add(evidence, 1, out=out)
    result *= growth
    np.minimum(result, CEILING, out=result)
    return result


def combined(evidence: NDArray[_Float]) -> NDArray[_Float]:
    """Return the number that is held against the threshold: [...], the mean over the last axis of [..., 8]."""
    # A third of a mean's time over so short an axis; the same bits however many streams stand beside each other.
    total: NDArray[_Float] = np.einsum("...k->...", evidence)
    return np.asarray(total / total.dtype.type(len(FRACTIONS)))


class MixtureESR(base.DriftDetector):
    """One stream, with the interface that river's detectors have.

    Args:
        mean: Reference mean of the samples, in (0, 1).
        tolerance: Rise of the mean that is still no drift, at least 0; mean + tolerance is below 1.
        threshold: Expected number of samples without drift until an alarm, at least; above 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, mean: float, tolerance: float = 0.0, threshold: float = 10_000.0) -> None:
        super().__init__()
        if not (0 < mean < 1 and tolerance >= 0 and mean + tolerance < 1):
            raise ValueError(f"mean {mean} and mean + tolerance {mean + tolerance} must be between 0 and 1")
        if not 1 < threshold < math.inf:
            raise ValueError(f"threshold {threshold} must be above 1 and finite")
        self.mean = mean
        self.tolerance = tolerance
        self.threshold = threshold
        self._evidence = np.zeros(len(FRACTIONS))

    @property
    def bound(self) -> float:
        """The mean that the samples must not exceed."""
        return self.mean + self.tolerance

    @property
    def evidence(self) -> float:
        """How much speaks for a risen mean: 0 before the first sample; an alarm at `threshold` and above."""
        return float(combined(self._evidence))

    def update(self, x: float) -> None:
        """Take one sample in [0, 1]; after an alarm the first one of a new run.

        Raises:
            ValueError: *x* is NaN or outside of [0, 1]; the state is as before.
        """
        if not 0 <= x <= 1:  # a NaN is neither
            raise ValueError(f"{x} is not in [0, 1]")
        if self.drift_detected:
            self._reset()
        advance(self._evidence, x, self.bound, out=self._evidence)
        self._drift_detected = self.evidence >= self.threshold

    def _reset(self) -> None:
        super()._reset()
        self._evidence[:] = 0

    def to_bytes(self) -> bytes:
        """Return all that the past left: 64 bytes, little-endian float64."""
        return self._evidence.astype("<f8").tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from what `to_bytes` gave.

        Raises:
            ValueError: *state* cannot have been that.
        """
        if len(state) != self._evidence.nbytes:
            raise ValueError(f"a state has {self._evidence.nbytes} bytes, this one {len(state)}")
        evidence = np.frombuffer(state, "<f8")
        if not ((evidence >= 0) & (evidence <= CEILING)).all():
            raise ValueError(f"evidence is between 0 and {CEILING:g}, not {evidence}")
        self._evidence[:] = evidence
        self._drift_detected = self.evidence >= self.threshold
