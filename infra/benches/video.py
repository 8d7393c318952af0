"""Figure 14: a video decoded in a child, its pictures had in the parent, against the same decoder alone.

A road of 720 lines at 25 pictures a second is composed of crops of the example that move over noise, in H.264. Alone:
a process that decodes all of it with PyAV, one thread, and looks at no picture. Ours: what `catseye.video` does until
the parent holds the planes of each. Followed: what `catseye roadside` does, with the pictures that it inspects of a
second. All count the CPU time of all their processes, with the start of an interpreter. The corpus of hostile videos
runs beside it: ten thousand mutations, none of which may do more than end its child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from catseye.roads.road import WHOLE, Road
from catseye.video.faults import Because, VideoFault
from catseye.video.feed import Feed
from infra.benches import harness, video_corpus
from infra.benches.harness import ROOT, BenchError, Figure, Options, Report, Row

CROPS = ROOT / "infra" / "example" / "crops"
HEIGHT, WIDTH, FPS = 720, 1280, 25
PICTURES, SHORT_PICTURES = 1_500, 50
MUTATIONS, SHORT_MUTATIONS = 10_000, 50
ALONE = """
import sys
import av
with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    print(sum(1 for _ in container.decode(stream)))
"""


def compose(file: Path, pictures: int) -> None:
    """Write a road: crops that come and go over a still picture with a camera's noise."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(60, 180, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 9)
    ground = 60 + 120 * (ground - ground.min()) / np.ptp(ground)
    crops = [_crop(path) for path in sorted(CROPS.glob("*/*.jpg"))[:40]]
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "26", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(pictures):
            picture = ground + rng.normal(0, 3, (HEIGHT, WIDTH, 1))
            for lane in range(3):
                turn, at = divmod(number * (6 + 2 * lane), WIDTH - 160)
                top = 120 + 190 * lane
                picture[top : top + 120, at : at + 160] = crops[(3 * turn + lane) % len(crops)]
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _crop(path: Path) -> np.ndarray[Any, Any]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.resize(picture, (160, 120))


def alone(file: Path) -> int:
    """Decode in a process of its own that does nothing else; return how many pictures."""
    done = subprocess.run([sys.executable, "-c", ALONE, str(file)], check=True, capture_output=True, text=True)
    return int(done.stdout)


def ours(file: Path) -> int:
    """Decode in the child, and have each picture here."""
    count = 0
    with Feed(str(file)) as feed:
        try:
            for picture in feed.pictures(threading.Event()):
                count += bool(picture.luma[0, 0] >= 0)
        except VideoFault as fault:
            if fault.because is not Because.END:
                raise BenchError(str(fault)) from fault
    return count


def followed(file: Path) -> int:
    """Decode in the child, and follow vehicles as `catseye roadside` does; return how many pictures there were."""
    road, count = Road(lambda _picture, _box: b""), 0
    with Feed(str(file), pictures_per_s=WHOLE.pictures_per_s) as feed:
        try:
            for picture in feed.pictures(threading.Event()):
                road.take(picture)
                count += 1
        except VideoFault as fault:
            if fault.because is not Because.END:
                raise BenchError(str(fault)) from fault
        return count + feed.dropped.thinned


SIDES = {"ours": ours, "followed": followed, "alone": alone}


def block(side: str, file: Path, pictures: int) -> Row:
    """One side once: CPU of this process and of those that it ended."""
    before, began_ns = os.times(), time.perf_counter_ns()
    found = SIDES[side](file)
    wall_ns, after = time.perf_counter_ns() - began_ns, os.times()
    if found != pictures:
        raise BenchError(f"{side} had {found} of {pictures} pictures")
    cpu_s = sum(after[:4]) - sum(before[:4])
    return {"side": side, "pictures": found, "cpu_us": 1e6 * cpu_s / found, "wall_ms": wall_ns / found / 1e6}


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into the ratio of CPU, and the share of a core that a camera takes."""

    def cpu_us(side: str) -> list[float]:
        return [float(row["cpu_us"]) for row in rows if row["side"] == side]

    theirs = cpu_us("alone")
    return [
        Figure(f"CPU a picture of 720 lines, {what} / decoded alone", harness.ratio(mine, theirs), 1.3)
        for what, mine in (("decoded in a child", cpu_us("ours")), ("vehicles followed", cpu_us("followed")))
        if mine and theirs
    ]


def run(options: Options) -> Report:
    """Measure figure 14; no broker takes part."""
    report = Report("video", machine=harness.machine(("av", "opencv-python-headless", "numpy")))
    pictures = SHORT_PICTURES if options.short else PICTURES
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "road.mp4"
        compose(file, pictures)
        blocks = {
            side: partial(block, side, file, pictures) for side in ("ours", "followed", "alone") if options.wants(side)
        }
        order = harness.passes(list(blocks), options.pairs or (1 if options.short else harness.PAIRS))
        report.rows = harness.measured(order, blocks, options.progress)
        report.notes.append(f"{pictures} pictures, {8 * file.stat().st_size * FPS / pictures / 1e6:.1f} Mbit/s")
    report.figures = compare(report.rows)
    mutations = SHORT_MUTATIONS if options.short else MUTATIONS
    reasons = subprocess.run(
        [sys.executable, "-m", video_corpus.__name__, str(mutations)], check=True, capture_output=True, text=True
    ).stdout
    report.notes.append(f"{mutations:,} hostile videos, the parent outlived each; what ended them: {reasons.strip()}")
    return report
