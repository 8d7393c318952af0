"""A command that is asked to end: by Ctrl-C, or by SIGTERM, which `docker stop` and systemd send."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping(threading.Event):
    """Is set when the process is asked to end, so that work ends where it can be ended. Asked again, it ends at once,
    as by Ctrl-C. Use it in a with-statement, in the main thread.
    """

    def __enter__(self) -> Self:
        self._before = {signum: signal.signal(signum, self._asked) for signum in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def _asked(self, signum: int, frame: FrameType | None) -> None:
        if self.is_set():
            raise KeyboardInterrupt
        self.set()
