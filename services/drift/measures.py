"""Numbers of a frame that are computed, not carried by it; some have a meaning only against what is usual."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from services.drift.sample import Frames

_TINY: Final = 1e-6

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def focus(measured: Mapping[str, Floats]) -> Floats:
    """Log of sharpness less twice that of contrast, [n].

    The Laplacian grows with the square of contrast: what is left is focus, which fog alone does not take away.
    """
    sharpness, contrast = (np.maximum(measured[name], 0) for name in ("sharpness", "contrast"))
    logs: Floats = np.log(sharpness + _TINY) - 2 * np.log(contrast + _TINY)
    return logs


def composition(reference: NDArray[Any], phase: Ints, seen: "Frames") -> Floats:
    """How far bits of the picture agree with the usual ones, [n], -1 to 1."""
    rows = seen.rows
    counts = reference["bits_of"][rows].astype(np.float32)
    usual = reference["bits"][rows] / np.maximum(counts, 1)[:, None] * 2 - 1  # -1 never set … 1 always
    agreed = (usual * (2 * seen.bits - 1)).sum(axis=1)
    share: Floats = agreed / np.maximum(np.abs(usual).sum(axis=1), 1e-6)
    return share


def distance(reference: NDArray[Any], phase: Ints, seen: "Frames") -> Floats:
    """Log of the mean squared distance of the features from the mean of their predicted class, [n]."""
    rows = seen.rows
    centre = reference["features"][rows, phase, seen.bucket].astype(np.float32)
    frames = np.maximum(reference["class_frames"][rows, phase].sum(axis=1, dtype=np.float32), 1)
    variance = reference["features_m2"][rows, phase] / frames[:, None] + 1e-6
    logs: Floats = np.log(((seen.features - centre) ** 2 / variance).mean(axis=1) + 1e-6)
    return logs
