"""The process that trains, seen from the service: it is started, followed, and ended when its time is over.

It holds torch and the frames, so the service stays small, a training that runs out of memory takes nobody with it, and
the system gives everything back at its end. It lives no longer than the service: when its standard input closes, it
ends.
"""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

import msgspec

from services.trainer.job import Job, Progress
from services.trainer.settings import TrainerSettings


def late(longest_s: float) -> str:
    """Why a training is ended that took longer than *longest_s*."""
    return (
        f"budget: the training did not end within {longest_s:.0f} s: this machine had too little time left for it; "
        "end what else runs here, or raise CATSEYE_TRAINER_LONGEST_S"
    )


class Child:
    """A process that does one training. It starts before there is one: loading torch takes 5 s, 30 on a busy machine.

    Args:
        settings: Of the service; the child reads its own from the same environment.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        self._longest_s = settings.trainer_longest_s
        self._ends_s = math.inf
        self._received: SimpleQueue[Progress] = SimpleQueue()
        read_fd, write_fd = os.pipe()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(settings.trainer_threads),
            # Threads that wait give their core away, for services run beside the trainer.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        try:
            # Its output is ours; its progress comes through a pipe of its own, since libraries print too.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.trainer", "attempt", "--report-fd", str(write_fd)],
                stdin=subprocess.PIPE,
                pass_fds=(write_fd,),
                env=environment,
            )
        finally:
            os.close(write_fd)
        self._ears = Thread(target=self._listen, args=(read_fd,), name="child", daemon=True)
        self._ears.start()

    def begin(self, job: Job) -> None:
        """Let it do *job*; its time runs from now on."""
        assert self._process.stdin is not None
        self._ends_s = time.monotonic() + self._longest_s
        # If it has fallen meanwhile, its status tells.
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(job) + b"\n")
            self._process.stdin.flush()

    def progress(self) -> Iterator[Progress]:
        """What it reported since the last call."""
        while True:
            try:
                yield self._received.get_nowait()
            except Empty:
                return

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs, or while its reports are not all read."""
        status = self._process.poll()
        return None if self._ears.is_alive() else status

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self._ends_s

    def end(self) -> None:
        """End it at once: nothing of it needs to be tidied up."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _listen(self, read_fd: int) -> None:
        with os.fdopen(read_fd, "rb") as lines:
            for line in lines:
                self._received.put(msgspec.json.decode(line, type=Progress))
