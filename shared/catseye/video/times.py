"""When a picture was taken, of the times that a stream has: they may begin anywhere, jump, or be missing."""

import math
from typing import Final

_LONGEST_STEP_S: Final = 60.0
_NEAR_S: Final = 1e-3  # times of a stream are rounded
_LATEST_MS: Final = 5_000
_WINDOW_MS: Final = 10_000


class Timeline:
    """Seconds since the first picture, which never go back.

    Args:
        rate: Pictures a second, which a step that cannot be is taken for.
    """

    def __init__(self, rate: float) -> None:
        self._step_s = 1 / rate
        self._stamp_s: float | None = None
        self._at_s = -self._step_s

    def at_s(self, stamp_s: float | None) -> float:
        """Time of the next picture.

        Args:
            stamp_s: By the stream's own clock; None where it does not say.
        """
        step_s = self._step_s
        if stamp_s is not None and self._stamp_s is not None and 0 <= stamp_s - self._stamp_s <= _LONGEST_STEP_S:
            step_s = stamp_s - self._stamp_s
        self._stamp_s = stamp_s
        self._at_s += step_s
        return self._at_s


class Thinning:
    """Says which pictures are wanted where only so many of a second are.

    Args:
        pictures_per_s: At most; None wants all.
    """

    def __init__(self, pictures_per_s: float | None) -> None:
        self._apart_s = 1 / pictures_per_s if pictures_per_s else 0.0
        self._next_s = 0.0

    def wants(self, at_s: float) -> bool:
        """Whether the picture at this time of its `Timeline` is wanted; called once for each."""
        if at_s < self._next_s - _NEAR_S:
            return False
        # On average as many as are wanted; a pause is not made up for.
        self._next_s = (self._next_s if at_s - self._next_s < self._apart_s else at_s) + self._apart_s
        return True


class CaptureClock:
    """Says when pictures of a live stream were taken: the network delays some, and the stream's own clock knows which.

    The least delayed picture of the last ten to twenty seconds counts as not delayed at all, so that a clock of the
    camera that goes wrong by some seconds a day is followed.
    """

    def __init__(self) -> None:
        self._least_ms = self._before_ms = math.inf
        self._began_ms = -math.inf

    def captured_at_ms(self, at_s: float, arrived_ms: int) -> int:
        """Unix milliseconds, never after *arrived_ms*.

        Args:
            at_s: Time of the picture on its `Timeline`.
            arrived_ms: This machine's clock when it came, Unix milliseconds.
        """
        shift_ms = arrived_ms - round(1_000 * at_s)
        if arrived_ms - self._began_ms > _WINDOW_MS:
            self._before_ms, self._least_ms, self._began_ms = self._least_ms, shift_ms, arrived_ms
        self._least_ms = min(self._least_ms, shift_ms)
        late_ms = shift_ms - min(self._least_ms, self._before_ms)
        if late_ms > _LATEST_MS:  # the stream stood still, or a clock was set
            self._before_ms, self._least_ms, late_ms = math.inf, shift_ms, 0
        return arrived_ms - int(late_ms)
