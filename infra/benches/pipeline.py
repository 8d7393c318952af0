"""Figure 1: frames/s through Kafka, exactly once, against the same decode and ONNX from memory on the same core.

A block of ours: `python -m services.inference` on the measured core, broker, load and reader on the other. It works
through a warm-up, is stopped in its tracks, accepted frames are laid out behind it, it goes on, and the clock is read
when a read_committed reader has the last prediction. The other side is a process that does nothing but decode and
predict, with the same crops, micro-batch and threads, in a loop without a thread beside it.

The models: two stacks of convolutions whose depth is chosen at the start so that a crop costs about what the design
asks for on this core, and the shipped one, which has no target.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.records import Prediction
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Crop, Net
from infra.benches import harness, load
from infra.benches.conv_model import crop_cost_ms, model_of_cost
from infra.benches.frames import PARTITIONS, Fleet, Frames, crops, faults, number_of, numbers, require_none, warm_broker
from infra.benches.harness import BUILT, ROOT, BenchError, Child, Figure, Options, Report, Row
from infra.benches.jpeg import one_core
from infra.benches.worker import RUNTIME
from services.inference.settings import InferenceSettings

TARGETS = {"0.4 ms": 0.75, "3 ms": 0.9}
SHIPPED = "shipped"
SAME = 1e-3
"""Largest difference of a probability between two runs of a net in micro-batches of other sizes."""

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        warm: Frames before the clock is read.
        work_s: Work of a block as the model's cost has it, seconds.
        pairs: Passes.
        warm_up_s: How long the broker is kept busy first, seconds: a JVM that still compiles would look slow.
    """

    warm: int
    work_s: float
    pairs: int
    warm_up_s: float


FULL = Size(warm=1_000, work_s=4.0, pairs=harness.PAIRS, warm_up_s=20.0)
SHORT = Size(warm=100, work_s=0.5, pairs=1, warm_up_s=0.5)


@dataclass(frozen=True)
class Model:
    """A model under measurement.

    Attributes:
        name: In the table.
        file: ONNX.
        cost_ms: CPU time of a crop in a run of a whole micro-batch, milliseconds.
        says: What it says of each crop of the example from memory, float32 [crops, classes].
    """

    name: str
    file: bytes
    cost_ms: float
    answers: Probabilities


def models(options: Options, jpegs: Sequence[bytes], micro_batch: int) -> list[Model]:
    """Make and load what is to be measured; takes place on the measured core."""
    decoded = [decode_rgb(jpeg) for jpeg in jpegs]
    some = jpegs[:micro_batch]
    wanted = {"0.4 ms": 0.4} if options.short else {"0.4 ms": 0.4, "3 ms": 3.0}
    with one_core():
        files = {name: model_of_cost(cost_ms, some) for name, cost_ms in wanted.items()}
        if not options.short:
            files[SHIPPED] = (ROOT / "infra" / "example" / "vehicles.onnx").read_bytes()
        return [
            Model(name, file, crop_cost_ms(file, decoded[:micro_batch]), answers_of(file, decoded, micro_batch))
            for name, file in files.items()
        ]


def answers_of(file: bytes, decoded: Sequence[Crop], micro_batch: int) -> Probabilities:
    """What a net says of crops, [crops, classes]."""
    net = Net(file)
    parts = [net.predict(decoded[at : at + micro_batch]) for at in range(0, len(decoded), micro_batch)]
    return np.concatenate([part.probabilities for part in parts])


def wrong(values: Sequence[bytes], sent: int, answers: Probabilities) -> list[str]:
    """Say what is wrong with predictions; nothing means: one a frame, and each says what the net says from memory.

    Args:
        values: Predictions as read.
        sent: Frames 0 to *sent* - 1 were sent, with the crops of *says* counted round.
        says: float32 [crops, classes].
    """
    found = faults(numbers(values, Prediction), sent)
    codec, different = Codec(), 0
    for value in values:
        prediction = codec.decode(value, Prediction)
        expected = answers[number_of(prediction.camera, prediction.sequence) % len(answers)]
        actual = np.fromiter(prediction.probabilities.values(), np.float32)
        different += actual.shape != expected.shape or bool(np.abs(actual - expected).max() > SAME)
    return found + ([f"{different:,} predictions that the net does not make from memory"] if different else [])


class Bench:
    """Blocks against one broker.

    Args:
        bootstrap: Its address.
        size: Of each block.
        jpegs: What frames show.
        settings: Of inference: micro-batch and threads.
    """

    def __init__(self, bootstrap: str, size: Size, jpegs: Sequence[bytes], settings: InferenceSettings) -> None:
        self._bootstrap = bootstrap
        self._size = size
        self._jpegs = jpegs
        self._settings = settings

    def _frames(self, model: Model) -> int:
        return max(100, int(self._size.work_s / model.cost_ms * 1e3))

    def ours(self, model: Model) -> Row:
        """Measure the service and check its predictions.

        Returns:
            `side`, `model`, `crop_ms` of the net alone, `frames`, `cpu_us` a frame, `frames_per_s` by the wall clock.

        Raises:
            BenchError: it died, was too slow, or its predictions are wrong.
        """
        fleet = Fleet(self._bootstrap, BUILT / "bench", "pipeline")
        fleet.make_champion(model.file)
        child = Child((RUNTIME, "-m", "services.inference"), fleet.directory / "log", fleet.environment)
        try:
            row = self._measure(child, model, fleet)
        except load.TimedOutError as timed_out:
            raise BenchError(f"ours, {model.name}: {timed_out}; its log:\n{child.log_tail()}") from timed_out
        finally:
            child.stop()
        fleet.clear()
        return row

    def _measure(self, child: Child, model: Model, fleet: Fleet) -> Row:
        frames, warm = self._frames(model), self._size.warm
        made = Frames(self._jpegs, time.time_ns() // 1_000_000)
        predictions: list[bytes] = []
        sink = load.Sink(self._bootstrap, fleet.topic("predictions"), PARTITIONS, predictions.extend)
        fleet.lay_out("frames.accepted", 0, warm, made.accepted)
        sink.read_until(warm, alive=child.alive)
        with child.paused():
            fleet.lay_out("frames.accepted", warm, warm + frames, made.accepted)
            cpu_before, began_ns = child.cpu_ns(), time.perf_counter_ns()
        ended_ns = sink.read_until(warm + frames, alive=child.alive)
        cpu_ns = child.cpu_ns() - cpu_before
        if not child.stop():
            raise BenchError("ours did not end within 30 s of SIGTERM")
        sink.read_rest()
        sink.close()
        require_none(f"ours, {model.name}", wrong(predictions, warm + frames, model.answers))
        return _row("ours", model, frames, cpu_ns, ended_ns - began_ns)

    def memory(self, model: Model) -> Row:
        """Measure the same work without Kafka. Same columns; raises `BenchError` when the process fails."""
        folder = BUILT / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        file, log = folder / "memory.onnx", folder / "memory.log"
        file.write_bytes(model.file)
        flags = {
            "model": file,
            "frames": self._frames(model),
            "warm": self._size.warm,
            "micro-batch": self._settings.inference_micro_batch,
            "threads": self._settings.inference_threads,
        }
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        paths = {"PYTHONPATH": f"{ROOT}/shared:{ROOT}"}
        child = Child((RUNTIME, "-m", "infra.benches.peers.memory", *words), log, paths)
        try:
            spent = _result(child, log)
        finally:
            child.stop()
        file.unlink()
        log.unlink()
        return _row("memory", model, spent["frames"], spent["cpu_ns"], spent["wall_ns"])


def _result(child: Child, log: Path, patience_s: float = 300) -> Mapping[str, int]:
    until_s = time.monotonic() + patience_s
    while child.alive() and time.monotonic() < until_s:
        time.sleep(0.05)
    try:
        spent: Mapping[str, int] = json.loads(log.read_text())
    except json.JSONDecodeError as fault:
        raise BenchError(f"memory did not end well; its log:\n{child.log_tail()}") from fault
    return spent


def _row(side: str, model: Model, frames: int, cpu_ns: int, wall_ns: int) -> Row:
    return {
        "side": side,
        "model": model.name,
        "crop_ms": model.cost_ms,
        "frames": frames,
        "cpu_us": cpu_ns / frames / 1e3,
        "frames_per_s": frames / wall_ns * 1e9,
    }


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into ratios: frames/s of each model, which has the target, and CPU time a frame."""
    figures = []
    for model in dict.fromkeys(str(row["model"]) for row in rows):
        sides: tuple[Row, Row] = {"side": "ours", "model": model}, {"side": "memory", "model": model}
        ours, memory = harness.paired(rows, *sides, "frames_per_s")
        if ours:
            what = f"{model}: frames/s, through Kafka / from memory"
            figures.append(Figure(what, harness.ratio(ours, memory), TARGETS.get(model), at_most=False))
            costs = harness.paired(rows, *sides, "cpu_us")
            figures.append(Figure(f"{model}: CPU a frame, through Kafka / from memory", harness.ratio(*costs)))
    return figures


def run(options: Options) -> Report:
    """Measure figure 1; the short form is one small pass with the cheap model."""
    size, settings, jpegs = SHORT if options.short else FULL, InferenceSettings(), crops()
    report = Report("pipeline", machine=harness.machine(("confluent-kafka", "onnxruntime", "simplejpeg", "fastavro")))
    measured = models(options, jpegs, settings.inference_micro_batch)
    harness.stay_off_the_measured_core()
    with harness.broker(options.bootstrap) as bootstrap:
        warm_broker(bootstrap, size.warm_up_s)
        bench = Bench(bootstrap, size, jpegs, settings)
        blocks = {
            f"{side}, {model.name}": partial(work, model)
            for model in measured
            for side, work in (("ours", bench.ours), ("memory", bench.memory))
            if options.wants(side)
        }
        order = harness.passes(list(blocks), options.pairs or size.pairs)
        report.rows = harness.measured(order, blocks, options.progress)
    report.figures = compare(report.rows)
    costs = ", ".join(f"{model.name} {model.cost_ms:.2f}" for model in measured)
    report.notes.append(f"CPU time of a crop in a run of {settings.inference_micro_batch}, ms: {costs}")
    report.notes.append(f"{len(jpegs)} crops, {sum(map(len, jpegs)) / len(jpegs):,.0f} bytes each")
    return report
