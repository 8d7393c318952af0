"""Samples of a camera: when the last one came, how many were tested, and how each signal is lately."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.rules import Rules
from services.drift.sample import Floats, Frames, Ints

_NOW: Final = np.float32(0.1)
"""Share of a sample in the estimates that people see: a strong change is raised after five."""


def take_due(watch: NDArray[Any], seen: Frames, rules: Rules) -> NDArray[np.bool_]:
    """Whether a frame is the next sample of its camera, [n]; those that are, are remembered."""
    last_ms = watch["sampled_ms"][seen.rows]
    due: NDArray[np.bool_] = rules.is_sample(seen.at_ms, last_ms)
    watch["sampled_ms"][seen.rows] = np.where(due, seen.at_ms, last_ms)
    return due


def count_tested(watch: NDArray[Any], rows: Ints) -> None:
    """One more sample of each camera is held against its reference."""
    watch["tested"][rows] += 1


def count_labelled(watch: NDArray[Any], rows: Ints) -> None:
    """One more label of each camera is held against its reference."""
    watch["labelled"][rows] += 1


def share_of_one(watch: NDArray[Any], rows: Ints) -> Floats:
    """Share of a sample among all that were tested, [n]."""
    return np.asarray(1 / watch["tested"][rows].astype(np.float32), np.float32)


def estimate(watch: NDArray[Any], rows: Ints, values: Floats, of_all: Floats) -> None:
    """Move the running mean of each signal by *values*, [n, RANKED + outputs]; NaN moves nothing."""
    kept = watch["values"][rows]
    share = np.maximum(_NOW, of_all)[:, None]
    watch["values"][rows] = np.where(np.isnan(values), kept, kept + share * (values - kept))


def forget(watch: NDArray[Any], row: int) -> None:
    """Begin to count again."""
    watch["tested"][row] = 0
