"""How sure the model may say it is: one temperature for all logits, and how far off its sureness is.

Guo et al., 2017, "On Calibration of Modern Neural Networks": dividing the logits by one number, chosen on
validation crops, brings sureness and accuracy together and moves no crop to another class.
"""

import math

import numpy as np
from numpy.typing import NDArray

from catseye.models.model_file import probabilities

_LOWEST, _HIGHEST = 0.05, 20.0
_GOLDEN_RATIO = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS = 60


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature with the least cross entropy on *logits* [N, C] with *labels* [N]; 0.05 to 20.

    Golden-section search on the logarithm: the cross entropy has one valley in 1 / temperature.
    """
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN_RATIO * (high - low), low + _GOLDEN_RATIO * (high - low)
        if cross_entropy(logits, labels, math.exp(left)) < cross_entropy(logits, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2.0)


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative logarithm of the true class's probability, in nats."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(scaled).sum(axis=1))
    return float((log_totals - scaled[np.arange(len(labels)), labels]).mean())


def calibration_error(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float, *, bins: int = 15
) -> float:
    """Expected calibration error, 0 to 1: the mean distance of sureness and accuracy, in bins of equal width."""
    chances = probabilities(logits, temperature)
    sureness = chances.max(axis=1).astype(np.float64)
    right = (chances.argmax(axis=1) == labels).astype(np.float64)
    places = np.minimum((sureness * bins).astype(np.int64), bins - 1)
    distances = np.abs(np.bincount(places, right - sureness, minlength=bins))
    return float(distances.sum() / len(labels))
