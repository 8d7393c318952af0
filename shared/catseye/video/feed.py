"""One opening of a source: the child that decodes it, watched."""

from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from catseye.clock import now_ms
from catseye.contract.errors import Misconfigured
from catseye.contract.jpeg_header import DEFAULT_LIMITS
from catseye.video.faults import Because, VideoFault
from catseye.video.messages import Count, Ended, Inbox, Message, Opened, Order, Shown, packed
from catseye.video.picture import Picture, Plane

_SLOTS: Final = 4
_POLL_MS: Final = 200
_PIPE_BYTES: Final = 64 * 1024
_LAST_WORDS_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what.

    Args:
        open_s: For a stream's first answer.
        read_s: For its next bytes.
        no_picture_s: For a whole picture of a live stream that sends.
        hang_s: For any word of the child, longer than the others: a decoder may go round in circles.
    """

    open_s: float = 10.0
    read_s: float = 30.0
    no_picture_s: float = 30.0
    hang_s: float = 45.0


class Feed:
    """Pictures of *source*, once. Use it in a with-statement: the child ends with it.

    Args:
        source: Path of a file or a device, or an address.
        patience: How long is waited for what.
        max_pixels: Width times height, at most.
        pictures_per_s: Pictures of a second that are wanted, at most; None for all.

    Raises:
        Misconfigured: the package that decodes is not installed.
    """

    def __init__(
        self,
        source: str,
        patience: Patience | None = None,
        *,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        pictures_per_s: float | None = None,
    ) -> None:
        if find_spec("av") is None:
            raise Misconfigured(
                f"{source} is no JPEG, and videos need the package av: `pip install '.[video]'` in the folder of "
                "Catseye's sources installs it"
            )
        self.source = source
        self.dropped = Count()
        self.opened: Opened | None = None
        self._patience = patience or Patience()
        address = "://" in source
        self._order = Order(
            source if address else str(Path(source).absolute()),
            address,
            _SLOTS,
            2 * max_pixels + 2**20,  # whatever its shape, with what FFmpeg adds to its rows
            max_pixels,
            self._patience.open_s,
            self._patience.read_s,
            self._patience.no_picture_s,
            pictures_per_s,
        )
        self._inbox = Inbox()
        self._last_words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._memory, self._messages, self._child = self._started()
        self._send(packed(self._order))

    @property
    def live(self) -> bool:
        """Whether it is a stream that goes on; false until it is open."""
        return self.opened is not None and self.opened.live

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        self._child.kill()
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait()
        if self._messages >= 0:
            os.close(self._messages)
            self._last_words.close()
            self._messages = -1

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """One after the other, until *stop* is set. Each holds until the next is asked for.

        Raises:
            VideoFault: there are no more; `Because.END` where that is as it should be.
        """
        for message in self._received(stop):
            if isinstance(message, Opened):
                self.opened = message
                continue
            self.dropped = message.dropped
            if isinstance(message, Ended):
                raise VideoFault(message.because, self.source, message.detail)
            if isinstance(message, Shown):
                yield self._picture(message)
                self._give_back(message.slot)

    def _started(self) -> tuple[mmap.mmap, int, subprocess.Popen[bytes]]:
        """The memory that both see, the pipe on which it sends, and the child."""
        size = self._order.slots * self._order.slot_bytes
        memory = os.memfd_create("catseye-video") if hasattr(os, "memfd_create") else _temporary_fd()
        os.truncate(memory, size)  # what is not written takes no memory
        messages, sends = os.pipe()
        argv = [sys.executable, "-P", "-m", "catseye.video.decoder", str(memory), str(sends)]
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=self._last_words, stderr=self._last_words, pass_fds=(memory, sends)
        )
        mapped = mmap.mmap(memory, size)
        os.close(memory)
        os.close(sends)
        return mapped, messages, child

    def _send(self, content: bytes) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # its death shows where its messages end
            self._child.stdin.write(content)
            self._child.stdin.flush()

    def _give_back(self, slot: int) -> None:
        self._send(bytes([slot]))

    def _received(self, stop: threading.Event) -> Iterator[Message]:
        """Messages as they come. Raises `VideoFault` when the child died or hangs."""
        poll = select.poll()
        poll.register(self._messages, select.POLLIN)
        last_s = time.monotonic()
        while not stop.is_set():
            if not poll.poll(_POLL_MS):
                if time.monotonic() - last_s > self._patience.hang_s:
                    self._child.kill()
                    raise VideoFault(Because.HUNG, self.source, f"no word of it for {self._patience.hang_s:g} s")
                continue
            piece = os.read(self._messages, _PIPE_BYTES)
            if not piece:
                raise VideoFault(Because.DIED, self.source, self._how_it_died())
            try:
                yield from self._inbox.take(piece)
            except ValueError as fault:
                self._child.kill()
                raise VideoFault(Because.DIED, self.source, f"its messages made no sense ({fault})") from fault
            last_s = time.monotonic()

    def _how_it_died(self) -> str:
        status = self._child.wait()
        if status < 0:
            return f"by the signal {signal.Signals(-status).name}"
        end = self._last_words.seek(0, os.SEEK_END)
        self._last_words.seek(max(0, end - _LAST_WORDS_BYTES))
        lines = self._last_words.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"with status {status}"

    def _picture(self, shown: Shown) -> Picture:
        at = shown.slot * self._order.slot_bytes
        height, width = shown.height, shown.width
        coarse = (height + 1) // 2, (width + 1) // 2
        planes: list[Plane] = []
        for stride, (rows, columns) in zip(shown.strides, [(height, width), coarse, coarse], strict=True):
            whole = np.frombuffer(self._memory, np.uint8, rows * stride, at).reshape(rows, stride)
            planes.append(np.rot90(whole[:, :columns], shown.turns))
            at += rows * stride
        captured_at_ms = shown.captured_at_ms if self.live else now_ms()
        luma, blue, red = planes
        return Picture(luma, blue, red, shown.full_range, shown.bt709, shown.at_s, captured_at_ms)


def _temporary_fd() -> int:
    with tempfile.TemporaryFile() as file:  # where a system has no memory files
        return os.dup(file.fileno())
