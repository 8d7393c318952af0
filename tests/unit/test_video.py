"""Frames of a video file: all, or so many a second, at its own pace or at once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from catseye.cli.video import frames
from catseye.contract.errors import Misconfigured
from catseye.models.jpeg import decode_rgb
from catseye.video.stream import Source

FPS, FRAMES = 25, 50


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two seconds that get lighter."""
    file = str(tmp_path_factory.mktemp("video") / "clip.avi")
    writer = cv2.VideoWriter(file, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), (0, 0, 5 * number), np.uint8))
    writer.release()
    return file


def jpegs(source: str, *, fps: float | None, fast: bool, stop: threading.Event | None = None) -> Iterator[bytes]:
    """What `catseye publish` would send."""
    for frame in frames(Source(source, on_event=pytest.fail), fps=fps, fast=fast, stop=stop or threading.Event()):
        yield frame.jpeg


def red(jpeg: bytes) -> float:
    """Mean of the red channel, after a look at the picture's shape."""
    pixels = decode_rgb(jpeg)
    assert pixels.shape == (48, 64, 3)
    return float(pixels[..., 0].mean())


def test_all_frames_in_order(video: str) -> None:
    """Colours as they were."""
    assert [red(jpeg) for jpeg in jpegs(video, fps=None, fast=True)] == pytest.approx(
        [5 * number for number in range(FRAMES)], abs=4
    )


@pytest.mark.parametrize(("fps", "taken"), [(25.0, 50), (100.0, 50), (10.0, 20), (5.0, 10), (0.5, 1)])
def test_at_most_so_many_of_each_second(video: str, fps: float, taken: int) -> None:
    """Evenly; more than there are is all."""
    found = [red(jpeg) / 5 for jpeg in jpegs(video, fps=fps, fast=True)]
    assert len(found) == pytest.approx(taken, abs=1)
    steps = np.diff(found)
    assert len(steps) == 0 or (steps.max() - steps.min() < 2)


def test_at_its_own_speed(video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits until each frame's own moment."""
    now_s, waits = [0.0], []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            now_s[0] += timeout
            return False

    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    assert len(list(jpegs(video, fps=None, fast=False, stop=Stop()))) == FRAMES
    assert sum(waits) == pytest.approx((FRAMES - 1) / FPS, abs=1 / FPS)


def test_what_is_no_video_is_reported(tmp_path: Path) -> None:
    """Not there, not a video; an address of which nobody answers."""
    text = tmp_path / "notes.txt"
    text.write_text("no video")
    with pytest.raises(Misconfigured, match=r"notes\.txt cannot be opened"):
        list(jpegs(str(text), fps=None, fast=True))
    with pytest.raises(Misconfigured, match="cannot be opened"):
        list(jpegs("rtsp://127.0.0.1:1/none", fps=None, fast=True))


def test_a_file_by_its_address_is_still_a_file(video: str) -> None:
    """It has its own time, and its end is no fault."""
    assert len(list(jpegs(f"file://{video}", fps=5, fast=True))) == 10
