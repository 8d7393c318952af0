"""How sure the model is, while a camera learns and lately: what accuracy without labels is estimated from."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fields import CONFIDENCE_BINS, MOST
from services.drift.sample import Floats, Frames, Ints

_SMOOTH: Final = np.float32(0.02)


def learn(reference: NDArray[Any], seen: Frames) -> None:
    """Take frames of cameras that are learning."""
    bins = seen.rows, confidence_bin(seen.confidence)
    reference["confidences"][bins] = np.minimum(reference["confidences"][bins], MOST - 1) + 1
    reference["confidence"][seen.rows] += seen.confidence


def recent(watch: NDArray[Any], seen: Frames, of_all: Floats) -> None:
    """Take samples of cameras whose reference is whole; *of_all*, [n], is the share of one among all so far."""
    rows, sure, share = seen.rows, seen.confidence, np.maximum(_SMOOTH, of_all)
    watch["recent_confidence"][rows] += share * (sure - watch["recent_confidence"][rows])
    watch["recent_variance"][rows] += share * (sure * (1 - sure) - watch["recent_variance"][rows])
    watch["recent_histogram"][rows] *= 1 - share[:, None]
    watch["recent_histogram"][rows, confidence_bin(sure)] += share


def forget(watch: NDArray[Any], row: int) -> None:
    """Begin again."""
    watch["recent_confidence"][row] = 0
    watch["recent_variance"][row] = 0
    watch["recent_histogram"][row] = 0


def confidence_bin(confidence: Floats) -> Ints:
    """Bin of each confidence, [n]."""
    nines = -np.log10(np.maximum(1 - confidence.astype(np.float64), 1e-9))
    return np.minimum(nines * (CONFIDENCE_BINS / 4), CONFIDENCE_BINS - 1).astype(np.int64)
