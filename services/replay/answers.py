"""Answers of a model for each frame, for as long as labels of it may come, in a few bytes a frame. Pure.

Rows lie in the order of their offsets, in pages of a fixed size, so that a page can be dropped whole: with six classes
a million frames take 30 MB.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

PAGE: Final = 4_096
FULL: Final = 65_535
"""What a probability of 1 is kept as: the steps in which outcomes carry them."""
NOTHING: Final = -1
Row = Any
"""One row, as numpy has it; what is written to it stays: ``offset``, ``predicted``, ``label``, ``chances``."""


class Answers:
    """Frames of one partition of frames.accepted.

    Args:
        classes: How many the model has.
    """

    def __init__(self, classes: int) -> None:
        self._kind = np.dtype([("offset", "i8"), ("predicted", "i2"), ("label", "i4"), ("chances", "u2", (classes,))])
        self._pages: deque[np.ndarray[Any, Any]] = deque()
        self._firsts: deque[int] = deque()  # offset of the first row of each page
        self._newest_ms: deque[int] = deque()  # when the newest frame of each page came
        self._used = PAGE  # rows of the last page
        self.last = NOTHING
        """Offset of the newest frame."""

    def add(self, offset: int, received_at_ms: int, predicted: int, chances: Sequence[float]) -> None:
        """Take the next frame.

        Args:
            offset: Higher than those before.
            received_at_ms: When ingest took it.
            predicted: Number of the class; `NOTHING` when the model gave no answer.
            chances: Probability of each class, 0 to 1; empty when the model gave no answer.
        """
        if self._used == PAGE:
            self._pages.append(np.zeros(PAGE, self._kind))
            self._firsts.append(offset)
            self._newest_ms.append(0)
            self._used = 0
        row = self._pages[-1][self._used]
        row["offset"], row["predicted"], row["label"] = offset, predicted, NOTHING
        if chances:
            row["chances"] = np.minimum(np.array(chances) * FULL + 0.5, FULL).astype(np.uint16)
        self._newest_ms[-1] = max(self._newest_ms[-1], received_at_ms)
        self._used += 1
        self.last = offset

    def find(self, offset: int) -> Row:
        """Row of the frame at *offset*; None where it is not (any more) known."""
        page = bisect_right(self._firsts, offset) - 1
        if page < 0:
            return None
        used = self._used if page == len(self._pages) - 1 else PAGE
        rows = self._pages[page][:used]
        place = int(np.searchsorted(rows["offset"], offset))
        return rows[place] if place < used and rows["offset"][place] == offset else None

    def forget(self, before_ms: int) -> None:
        """Drop full pages whose frames all came before *before_ms*."""
        while len(self._pages) > 1 and self._newest_ms[0] < before_ms:
            for kept in (self._pages, self._firsts, self._newest_ms):
                kept.popleft()
