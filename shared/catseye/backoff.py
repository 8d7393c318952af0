"""How long to wait before a server that was away is asked again, for services that must do other work meanwhile: see
events, serve a group, end when they are asked to. `stamina` sleeps by itself, and nothing else can happen then.
"""

import random
from collections.abc import Callable


class Backoff:
    """Pauses that double up to a bound, each drawn from its upper half: clients that lost one server come back apart.

    Args:
        first_s: Longest that the first pause may be.
        longest_s: Longest that any may be.
        chance: Drawn from 0 to 1 for each pause.
    """

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._at_most_s = first_s

    def pause_s(self) -> float:
        """The next pause, in seconds."""
        at_most_s, self._at_most_s = self._at_most_s, min(2 * self._at_most_s, self._longest_s)
        return at_most_s * (1 + self._chance()) / 2

    def reset(self) -> None:
        """It answered: the next pause is the first again."""
        self._at_most_s = self._first_s
