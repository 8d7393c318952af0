"""Figure 10: from JPEG bytes to the model's input batch, against bare TurboJPEG, which stops at pixels, and Pillow.

Everything runs in this process on one core, in batches of 32 crops of the example: what inference does for each
frame before the net. The peers: `simplejpeg.decode_jpeg` in a loop with nothing around it; Pillow's decode, resize
and numpy normalisation, as its documentation would have it. CPU time of all threads is what counts.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np
import onnxruntime
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from catseye.models.jpeg import decode_rgb, inspect
from catseye.models.model_file import ModelSpec, spec_from_metadata, to_input
from infra.benches import harness
from infra.benches.harness import ROOT, BenchError, Figure, Options, Report, Row

CROPS = ROOT / "infra" / "example" / "crops"
MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
BATCH = 32
FRAMES, SHORT_FRAMES = 9_600, 320
LARGEST_DIFFERENCE = 0.05
"""Mean over a batch, in standard deviations of the input: two builds of libjpeg differ by less than a grey level."""

Batch = NDArray[np.float32]
Work = Callable[[Sequence[bytes]], object]


def ours(jpegs: Sequence[bytes], spec: ModelSpec) -> Batch:
    """What inference does."""
    return to_input([decode_rgb(jpeg) for jpeg in jpegs], spec)


def ours_inspected(jpegs: Sequence[bytes], spec: ModelSpec) -> Batch:
    """The same with the header judged first, as for bytes from outside."""
    for jpeg in jpegs:
        inspect(jpeg)
    return ours(jpegs, spec)


def turbojpeg(jpegs: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """Pixels, nothing else."""
    return [simplejpeg.decode_jpeg(jpeg) for jpeg in jpegs]


def pillow(jpegs: Sequence[bytes], spec: ModelSpec) -> Batch:
    """The usual way: PIL to numpy, one picture at a time, stacked."""
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    rows = []
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg)) as picture:
            fitted = picture.convert("RGB").resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        rows.append(((np.asarray(fitted, np.float32) / 255 - mean) / std).transpose(2, 0, 1))
    return np.stack(rows)


def block(side: str, work: Work, jpegs: Sequence[bytes], frames: int) -> Row:
    """Run one side over *frames* frames, the crops again and again."""
    batches = [jpegs[at : at + BATCH] for at in range(0, len(jpegs) - BATCH + 1, BATCH)]
    rounds = max(1, frames // (len(batches) * BATCH))
    work(batches[0])
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(rounds):
        for batch in batches:
            work(batch)
    cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.perf_counter_ns() - wall_ns
    count = rounds * len(batches) * BATCH
    return {"side": side, "frames": count, "cpu_us": cpu_ns / count / 1e3, "frames_per_s": count / wall_ns * 1e9}


def check(mine: Batch, theirs: Batch) -> None:
    """Two ways to a batch must give the same batch.

    Raises:
        BenchError: They do not; a figure would compare different work.
    """
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        raise BenchError(f"ours is {mine.dtype} {mine.shape}, Pillow's {theirs.dtype} {theirs.shape}")
    difference = float(np.abs(mine - theirs).mean())
    if difference > LARGEST_DIFFERENCE:
        raise BenchError(f"the batches differ by {difference:.3f}; allowed is {LARGEST_DIFFERENCE}")


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on the measured core for a while, where it may choose, and cv2 on one thread."""
    allowed, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    os.sched_setaffinity(0, {harness.MEASURED_CORE} & allowed or allowed)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        os.sched_setaffinity(0, allowed)


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into ratios of frames a CPU second; over 1 is faster than the peer."""

    def cpu_us(side: str) -> list[float]:
        return [float(row["cpu_us"]) for row in rows if row["side"] == side]

    pairs = [("ours", "turbojpeg", 0.85), ("ours", "pillow", 2.0), ("ours, inspected", "turbojpeg", None)]
    return [
        Figure(
            f"JPEG to batch, frames a CPU second: {side} / {peer}", harness.ratio(theirs, mine), target, at_most=False
        )
        for side, peer, target in pairs
        if (theirs := cpu_us(peer)) and (mine := cpu_us(side))
    ]


def run(options: Options) -> Report:
    """Measure figure 10; no broker takes part."""
    report = Report("jpeg", machine=harness.machine(("simplejpeg", "opencv-python-headless", "numpy", "pillow")))
    metadata = onnxruntime.InferenceSession(MODEL).get_modelmeta().custom_metadata_map
    spec = spec_from_metadata(metadata)
    jpegs = [path.read_bytes() for path in sorted(CROPS.glob("*/*.jpg"))]
    check(ours(jpegs[:BATCH], spec), pillow(jpegs[:BATCH], spec))
    sides: dict[str, Work] = {
        "ours": partial(ours, spec=spec),
        "turbojpeg": turbojpeg,
        "pillow": partial(pillow, spec=spec),
        "ours, inspected": partial(ours_inspected, spec=spec),
    }
    frames = SHORT_FRAMES if options.short else FRAMES
    blocks = {side: partial(block, side, work, jpegs, frames) for side, work in sides.items() if options.wants(side)}
    order = harness.passes(list(blocks), options.pairs or (1 if options.short else harness.PAIRS))
    with one_core():
        report.rows = harness.measured(order, blocks, options.progress)
    report.figures = compare(report.rows)
    report.notes.append(f"{len(jpegs)} crops, {sum(map(len, jpegs)) / len(jpegs):,.0f} bytes each, batches of {BATCH}")
    return report
