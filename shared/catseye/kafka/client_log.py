"""What librdkafka's clients themselves log: a line that repeats is handed on once in a while, with a count."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 60.0
CAUSES_KEPT: Final = 100
"""More are not told apart for long: what changes in each line would fill the memory."""
_PASSING: Final = re.compile(r" \(after .*|\d+")
"""Of a line: how long a connection stood, and other numbers."""


class ClientLines:
    """What confluent-kafka asks of a logger.

    A client repeats a line at each attempt to connect: one that differs from an earlier one in its numbers only is
    handed on once a minute.

    Args:
        write: Gets the level as the standard library counts it, the line, and how many like it were held back since
            the last one.
        monotonic: Seconds that only grow.
    """

    def __init__(self, write: Callable[[int, str, int], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._monotonic = monotonic
        self._written: dict[tuple[int, str], tuple[float, int]] = {}

    def log(self, level: int, form: str, *parts: object) -> None:
        """Take one line: *form* and *parts* as the standard library writes them."""
        what, now_s = form % parts, self._monotonic()
        cause = level, _PASSING.sub("", what)
        at_s, held_back = self._written.get(cause, (-math.inf, 0))
        if now_s < at_s + EVERY_S:
            self._written[cause] = at_s, held_back + 1
            return
        if len(self._written) >= CAUSES_KEPT:
            self._written.clear()
        self._written[cause] = now_s, 0
        self._write(level, what, held_back)
