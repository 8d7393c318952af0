"""Frames of a video file or of a live stream, as JPEG."""

import math
import time
from collections.abc import Iterator

import cv2
import simplejpeg

from catseye.cli.common import is_address
from catseye.contract.errors import Misconfigured, Unavailable

QUALITY = 92
_ROUNDED_S = 0.001  # a file's times are whole ticks of its own clock


def jpegs(source: str, *, fps: float | None, fast: bool) -> Iterator[bytes]:
    """Decode *source* frame by frame; a file at its own pace, as a camera would send it.

    Args:
        source: Path of a video file, or address of a stream that OpenCV's FFmpeg can read.
        fps: At most so many frames of a second, above 0; None for all.
        fast: Do not wait between the frames of a file. A stream has its own pace.

    Raises:
        Misconfigured: it cannot be opened, or shows nothing.
        Unavailable: a live stream came to its end.
    """
    video = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise Misconfigured(f"{source} cannot be opened: neither a JPEG nor a video that FFmpeg reads")
        live = is_address(source) and video.get(cv2.CAP_PROP_FRAME_COUNT) <= 0  # nobody knows how long it goes on
        began_s, wanted_s, count = time.monotonic(), -math.inf, 0
        while video.grab():
            count += 1
            at_s = time.monotonic() - began_s if live else video.get(cv2.CAP_PROP_POS_MSEC) / 1_000
            if at_s < wanted_s - _ROUNDED_S:
                continue
            there, picture = video.retrieve()
            if not there:
                raise Unavailable(f"{source} cannot be decoded after {count - 1} frames")
            if fps is not None:
                wanted_s = (at_s if at_s > wanted_s + 1 / fps else wanted_s) + 1 / fps
            if not (fast or live):
                time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            yield simplejpeg.encode_jpeg(picture, quality=QUALITY, colorspace="BGR")
        if not count:
            raise Misconfigured(f"{source} shows no frame: is it a video?")
        if live:
            raise Unavailable(f"{source} has ended after {count} frames: is the camera still up?")
    finally:
        video.release()
