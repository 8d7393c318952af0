"""A detector of river's whose state is a short history of samples, so that a restart loses nothing.

river's detectors keep their state in objects of their own, one of them in Rust. What they know is a function of the
samples they were given; so those are what is kept, the last thousand at most, and a detector is made again by giving
them to a new one. The price: nothing older than that counts, and every 500th sample costs 500 updates more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

LONGEST: Final = 1_000
"""Samples of history; when there are so many the older half is forgotten."""


class River(Protocol):
    """What all of river's detectors have."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last sample raised an alarm."""

    def update(self, x: float) -> object:
        """Take one sample."""


class Replayed:
    """A detector with a bounded past. After an alarm the next sample begins a new one, as in river itself.

    Args:
        build: Makes a new detector, the same one each time: what is random in it has a fixed seed.
    """

    def __init__(self, build: Callable[[], River]) -> None:
        self._build = build
        self._forget()

    @classmethod
    def from_bytes(cls, build: Callable[[], River], state: bytes) -> Replayed:
        """Return the detector that gave *state*, with `restore`'s errors."""
        detector = cls(build)
        detector.restore(state)
        return detector

    @property
    def drift_detected(self) -> bool:
        """Whether the last sample raised an alarm."""
        return bool(self._detector.drift_detected)

    def update(self, x: float) -> None:
        """Take one sample in [0, 1], as a float32.

        Raises:
            ValueError: *x* is NaN or outside of [0, 1]; the state is as before.
        """
        if not 0 <= x <= 1:  # a NaN is neither
            raise ValueError(f"{x} is not in [0, 1]")
        if self.drift_detected:
            self._forget()
        elif self._count == LONGEST:
            self._replay(self._history[LONGEST // 2 :].copy())
        self._take(np.float32(x))

    def to_bytes(self) -> bytes:
        """Return all that the past left: 4 bytes a sample, little-endian float32, the oldest first; 4,000 at most."""
        return self._history[: self._count].astype("<f4").tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from what `to_bytes` gave.

        Raises:
            ValueError: *state* is not a whole number of samples in [0, 1], or too long.
        """
        history = np.frombuffer(state, "<f4")
        if len(history) > LONGEST or not ((history >= 0) & (history <= 1)).all():
            raise ValueError(f"a state is at most {LONGEST} numbers in [0, 1]; this one has {len(history)}")
        self._replay(history)

    def _forget(self) -> None:
        self._detector = self._build()
        self._history = np.empty(LONGEST, np.float32)
        self._count = 0

    def _replay(self, history: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        self._forget()
        for x in history:
            self._take(x)

    def _take(self, x: np.float32) -> None:
        self._history[self._count] = x
        self._count += 1
        self._detector.update(float(x))
