"""Frames of a video file or of a live stream, as JPEG."""

import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from catseye.video.stream import Source
from catseye.video.times import Thinning


class Taken(NamedTuple):
    """A frame to publish.

    Attributes:
        jpeg: The picture.
        captured_at_ms: Of a live stream, Unix milliseconds; None for now.
    """

    jpeg: bytes
    captured_at_ms: int | None


def frames(source: Source, *, fps: float | None, fast: bool, stop: threading.Event) -> Iterator[Taken]:
    """Decode *source* picture by picture; a file at its own pace, as a camera would send it.

    Args:
        source: A file or a stream.
        fps: At most so many frames of a second, above 0; None for all.
        fast: Do not wait between the frames of a file. A stream has its own pace.
        stop: Ends it when set.

    Raises:
        VideoFault: as `Source.pictures`.
        Misconfigured: the packages of `catseye[video]` are missing.
    """
    openings, began_s, thinning = 0, time.monotonic(), Thinning(fps)
    for picture in source.pictures(stop):
        if source.openings != openings:
            openings, began_s, thinning = source.openings, time.monotonic(), Thinning(fps)
        at_s = picture.at_s
        if not thinning.wants(at_s):
            continue
        if not (fast or source.live) and stop.wait(max(0.0, began_s + at_s - time.monotonic())):
            return
        yield Taken(picture.jpeg(), picture.captured_at_ms if source.live else None)
