"""Hostile videos: real ones, changed at random in the ways in which disks, lines and people change them.

`python -m infra.benches.video_corpus COUNT [SEED]` decodes so many and prints, as JSON, how often each reason ended it.
Each is decoded by a child as `catseye publish` has it, but for one thing: the child is forked from this process, which
has PyAV loaded, so that it costs milliseconds and not half a second. The parent must survive each, with a reason.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np

from catseye.video import decoder
from catseye.video.faults import Because, VideoFault
from catseye.video.feed import Feed, Patience

KINDS = (
    ("mp4", "libx264", "yuv420p"),
    ("mpegts", "libx264", "yuv420p"),
    ("h264", "libx264", "yuv420p"),
    ("matroska", "libx265", "yuv420p"),
    ("mp4", "libx265", "yuv420p10le"),
    ("avi", "mjpeg", "yuvj420p"),
    ("mpegts", "mpeg4", "yuv420p"),
    ("flv", "libx264", "yuv420p"),
    ("mpeg", "mpeg2video", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
)
PICTURES = 12
HANG_S = 20.0

Change = Callable[[bytearray, np.random.Generator], None]


def whole(format_: str, codec: str, pixels: str) -> bytes:
    """A video of some pictures, each with a pattern of its own."""
    file = BytesIO()
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(file, "w", format=format_) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        rows, columns = np.mgrid[:64, :96]
        for number in range(PICTURES):
            grey = ((rows * 3 + columns * (number + 1) * 2) % 256).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def flipped(content: bytearray, rng: np.random.Generator) -> None:
    """Some bytes are others."""
    for at in rng.integers(0, len(content), rng.integers(1, 40)):
        content[at] = rng.integers(0, 256)


def flipped_head(content: bytearray, rng: np.random.Generator) -> None:
    """The same where sizes, codecs and indexes stand."""
    for at in rng.integers(0, min(len(content), 600), rng.integers(1, 12)):
        content[at] = rng.integers(0, 256)


def flipped_tail(content: bytearray, rng: np.random.Generator) -> None:
    """An MP4 has its index at its end."""
    for at in rng.integers(max(0, len(content) - 900), len(content), rng.integers(1, 12)):
        content[at] = rng.integers(0, 256)


def cut(content: bytearray, rng: np.random.Generator) -> None:
    """Power was cut."""
    del content[rng.integers(0, len(content)) :]


def lost(content: bytearray, rng: np.random.Generator) -> None:
    """A piece is missing; the begin too, at times."""
    at = int(rng.integers(0, len(content)))
    del content[at : at + int(rng.integers(1, 2_000))]


def repeated(content: bytearray, rng: np.random.Generator) -> None:
    """A piece is there twice."""
    at = int(rng.integers(0, len(content)))
    content[at:at] = content[at : at + int(rng.integers(1, 2_000))]


def zeroed(content: bytearray, rng: np.random.Generator) -> None:
    """A block of the disk was not written."""
    at = int(rng.integers(0, len(content)))
    end = min(len(content), at + int(rng.integers(1, 4_096)))
    content[at:end] = bytes(end - at)


def grown(content: bytearray, rng: np.random.Generator) -> None:
    """A number of four bytes is as large as can be."""
    at = int(rng.integers(0, max(1, min(len(content) - 4, 900))))
    content[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0"])


CHANGES: tuple[Change, ...] = (flipped, flipped_head, flipped_tail, cut, lost, repeated, zeroed, grown)


class Forked:
    """As much of a `subprocess.Popen` as a feed needs."""

    def __init__(self, memory: int, sends: int, words: int) -> None:
        reads, writes = os.pipe()
        self.stdin = os.fdopen(writes, "wb")
        self.pid = os.fork()
        if not self.pid:
            self._run(reads, memory, sends, words)
        os.close(reads)
        self._status: int | None = None

    @staticmethod
    def _run(reads: int, memory: int, sends: int, words: int) -> None:
        try:
            for of, onto in ((reads, 0), (words, 1), (words, 2)):
                os.dup2(of, onto)
            sys.argv = ["decoder", str(memory), str(sends)]
            decoder.main()
        except BaseException:  # noqa: BLE001 - as an interpreter does at its end
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)

    def kill(self) -> None:
        """Whatever it does."""
        if self._status is None:
            os.kill(self.pid, 9)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


class ForkedFeed(Feed):
    """A feed whose child is forked."""

    def _started(self) -> tuple[mmap.mmap, int, Any]:
        size = self._order.slots * self._order.slot_bytes
        memory = os.memfd_create("corpus")
        os.truncate(memory, size)
        messages, sends = os.pipe()
        child = Forked(memory, sends, self._last_words.fileno())
        mapped = mmap.mmap(memory, size)
        os.close(memory)
        os.close(sends)
        return mapped, messages, child


def outcome(file: Path) -> Because:
    """Decode a file to its end, whatever that is. Raises what is no reason."""
    with ForkedFeed(str(file), Patience(hang_s=HANG_S)) as feed:
        try:
            for picture in feed.pictures(threading.Event()):
                assert picture.jpeg()[:2] == b"\xff\xd8"
        except VideoFault as fault:
            if "Traceback" in str(fault) or "Error" in str(fault):
                raise
            return fault.because
    raise AssertionError("a feed ends by a reason")


def main(count: int, seed: int = 0) -> dict[str, int]:
    """Decode *count* mutations, drawn by *seed*; return how often each reason came."""
    wholes = [whole(*kind) for kind in KINDS]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "video.mp4"
        for each in wholes:
            file.write_bytes(each)
            found[f"whole: {outcome(file)}"] += 1
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            content = bytearray(wholes[number % len(wholes)])
            for change in rng.choice(len(CHANGES), rng.integers(1, 3)):
                if content:
                    CHANGES[change](content, rng)
            file.write_bytes(content)
            try:
                found[str(outcome(file))] += 1
            except BaseException:
                print(f"mutation {number} of seed {seed}", file=sys.stderr)
                raise
    return dict(sorted(found.items()))


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
