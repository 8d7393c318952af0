"""A client belongs to the process that made it: after a fork its threads are the parent's alone."""

import os


class Forked(RuntimeError):
    """A client was made before the process forked and is used in the child: nothing would be sent or come there."""


class OwnProcess:
    """The process that makes it.

    Args:
        remedy: What to make in the child instead, for example ``a Publisher``.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._pid = os.getpid()

    def check(self) -> None:
        """Raise `Forked` in any other process."""
        if (pid := os.getpid()) != self._pid:
            raise Forked(
                f"this was made by process {self._pid} and process {pid} was forked from it: only the parent has its "
                f"connections. Make {self._remedy} of its own in each process, after the fork"
            )
