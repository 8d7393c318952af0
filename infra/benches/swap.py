"""Hot swaps of the champion under load: p99 of the latency around them, against the same seconds without any.

The chain is that of figure 3: a frame is published, ingest accepts it, inference predicts with the shipped model, a
read_committed reader in its own process has the prediction; both hops on the measured core, open loop, half of the
chain's maximum. A block "with" announces another version as champion every few seconds, the shipped model and a copy
of it that differs in nothing but its hash by turns; a block "without" announces nothing. Both sides of a pass see the
same arrival times.

Around a swap is from 1 s before the first prediction of the new version is visible, or from the announcement where
that is earlier, to 1 s after. The same seconds count of the block without. What was read back says too that no frame
was lost or repeated and that no partition saw more changes of version than there were swaps: a batch that mixed two
would change there and back again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from threading import Event, Thread

import numpy as np
import onnx
from confluent_kafka import Producer
from msgspec.structs import replace
from numpy.typing import NDArray

from catseye.client.config import publisher_config
from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent, Prediction
from infra.benches import harness, latency
from infra.benches.arrivals import latencies_ms, quantile_ms, read
from infra.benches.frames import CAMERAS, Fleet, number_of, require_none, warm_broker
from infra.benches.harness import BenchError, Figure, Options, Report, Row
from infra.benches.latency import LOADS, MODEL, OURS, PATIENCE_S, START_S, WHOLE, Chain, Size, arrival_times_ns
from infra.local.without_rollout import register_without_rollout

LOAD = "50 %"
TARGET = 1.2
AROUND_NS = 1_000_000_000
LAST = 4 * CAMERAS
"""Frames behind the timed ones, when the last version is loaded: every partition has some that only it can answer."""
POLL_S = 0.05  # how often the log of inference is read

Window = tuple[int, int]
"""From and to, nanoseconds from the start of a block."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        size: Of each block.
        announced_s: When another version is announced, seconds from the start of a block.
    """

    size: Size
    announced_s: tuple[float, ...]


FULL = Plan(Size(warm=500, burst=6_000, seconds=12.0, pairs=harness.PAIRS, warm_up_s=20.0), (2, 6, 10))
SHORT = Plan(Size(warm=50, burst=300, seconds=3.0, pairs=1, warm_up_s=0.5), (1,))


@dataclass(frozen=True)
class Answer:
    """What stands on the log of one frame.

    Attributes:
        partition: Where.
        number: Of the frame.
        version: That predicted it.
    """

    partition: int
    number: int
    version: str


@dataclass(frozen=True)
class Block:
    """What the other side of a pass is asked for too.

    Attributes:
        times_ns: When its frames were due, from the start of the block.
        latencies: Of these frames, milliseconds.
        windows: Around its swaps.
    """

    times_ns: NDArray[np.int64]
    latencies: NDArray[np.float64]
    windows: tuple[Window, ...]


def another_version(onnx_file: bytes) -> bytes:
    """The same net under another hash."""
    model = onnx.load_from_string(onnx_file)
    model.model_version += 1
    content: bytes = model.SerializeToString()
    return content


def turns(answers: Iterable[Answer]) -> dict[int, list[str]]:
    """The versions that took turns on each partition.

    Args:
        answers: In the order of each partition's log.
    """
    partitions: dict[int, list[str]] = {}
    for answer in answers:
        partitions.setdefault(answer.partition, []).append(answer.version)
    return {partition: [version for version, _ in groupby(log)] for partition, log in sorted(partitions.items())}


def turn_faults(found: Mapping[int, Sequence[str]], announced: Sequence[str]) -> list[str]:
    """Say where versions did not take turns as announced; nothing means: nowhere.

    A partition that had no batch between two swaps shows neither of them, so there may be fewer changes than swaps.

    Args:
        found: From `turns`.
        announced: Versions, the one before the first swap first.
    """
    faults = []
    for partition, versions in found.items():
        changes, swaps = len(versions) - 1, len(announced) - 1
        if changes > swaps:
            faults.append(f"partition {partition} had {changes} changes of version by {swaps} swaps")
        if (versions[0], versions[-1]) != (announced[0], announced[-1]):
            went, goes = f"{versions[0]} to {versions[-1]}", f"{announced[0]} to {announced[-1]}"
            faults.append(f"partition {partition} went from {went} where from {goes} was announced")
    return faults


def swapped_ns(
    answers: Sequence[Answer], seen_ns: Mapping[int, int], announced: Sequence[tuple[str, int]]
) -> list[int]:
    """When the reader had the first prediction of each version that was announced, swap by swap.

    Args:
        answers: All.
        seen_ns: Of each frame, any clock.
        announced: Version and when, the same clock.

    Raises:
        BenchError: nothing was predicted by one of them.
    """
    by_version: dict[str, list[int]] = {}
    for answer in answers:
        by_version.setdefault(answer.version, []).append(seen_ns[answer.number])
    swapped = []
    for nth, (version, at_ns) in enumerate(announced, 1):
        seen = [each_ns for each_ns in by_version.get(version, []) if each_ns >= at_ns]
        if not seen:
            raise BenchError(f"after swap {nth} nothing was predicted by {version}")
        swapped.append(min(seen))
    return swapped


def windows(announced: Sequence[int], swapped: Sequence[int]) -> tuple[Window, ...]:
    """What counts as around each swap; all in nanoseconds of one clock."""
    return tuple((min(at, seen - AROUND_NS), seen + AROUND_NS) for at, seen in zip(announced, swapped, strict=True))


def around(times_ns: NDArray[np.int64], wanted: Sequence[Window]) -> NDArray[np.bool_]:
    """Which times lie in any of the windows, their ends included."""
    inside = np.zeros(len(times_ns), np.bool_)
    for low, high in wanted:
        inside |= (times_ns >= low) & (times_ns <= high)
    return inside


class Announcer:
    """Makes versions champion by turns, from a thread of its own, through a client that is connected already.

    Args:
        fleet: To whom.
        versions: An event of each, the one that serves first.
        after_s: When, seconds after `start`.
    """

    def __init__(self, fleet: Fleet, versions: Sequence[ModelEvent], after_s: Sequence[float]) -> None:
        self._producer = Producer(publisher_config(fleet.settings))
        self._topic = fleet.topic("models")
        self._producer.list_topics(self._topic, timeout=PATIENCE_S)
        turns_taken = [versions[nth % len(versions)] for nth in range(1 + len(after_s))]
        self.versions = [event.version for event in turns_taken]
        """As they are to predict, the one that serves first."""
        self._events = [
            replace(event, event_id=digest("swap", str(nth)), stage="champion")
            for nth, event in enumerate(turns_taken[1:])
        ]
        self._after_s = after_s
        self._thread = Thread(target=self._run, name="announcer", daemon=True)
        self._start_s = 0.0
        self._announced_ns: list[int] = []

    def start(self) -> None:
        """From now on the times count."""
        self._start_s = time.monotonic()
        self._thread.start()

    def finish(self) -> list[int]:
        """Return when all is said: the monotonic clock of each announcement, nanoseconds."""
        self._thread.join()
        if self._producer.flush(PATIENCE_S):
            raise BenchError("the broker did not take an event of a model")
        return self._announced_ns

    def _run(self) -> None:
        codec = Codec()
        for event, after_s in zip(self._events, self._after_s, strict=True):
            time.sleep(max(0.0, self._start_s + after_s - time.monotonic()))
            self._announced_ns.append(time.monotonic_ns())
            self._producer.produce(self._topic, codec.encode(event), f"{event.model}/{event.version}".encode())
            self._producer.flush(PATIENCE_S)


class Bench(latency.Bench):
    """Blocks against one broker.

    Args:
        bootstrap: Its address.
        plan: Of each block.
    """

    def __init__(self, bootstrap: str, plan: Plan) -> None:
        super().__init__(bootstrap, plan.size)
        self._announced_s = {"with": plan.announced_s, "without": ()}
        first = MODEL.read_bytes()
        self._files = first, another_version(first)
        self.blocks: list[Block] = []
        """What was measured, in order."""

    def swapping(self, side: str, rate_hz: float) -> Row:
        """Measure one side once and check its output.

        Args:
            side: "with" or "without" swaps.
            rate_hz: Load, frames a second.

        Returns:
            `side`, `frames`, `swaps`, `to_swap_ms` (median, from the announcement to the first visible
            prediction of the new version), `p50_ms`, `p99_ms` of the whole block from the intended time,
            `behind_ms` (99 % of the frames were published at most so long after it), `cpu_us` of both hops a frame.

        Raises:
            BenchError: a hop died, a frame was lost or repeated, or versions did not take turns as announced.
        """
        self._blocks[side, LOAD] += 1
        times_ns = arrival_times_ns(rate_hz, self._size.seconds, seed=self._blocks[side, LOAD])
        warm, frames = self._size.warm, len(times_ns)
        with self._chain(OURS, frames, LAST) as (chain, made):
            announcer = self._announcer(chain.fleet, side)
            records = [made.published(number) for number in range(warm, warm + frames + LAST)]
            cpu_before = chain.cpu_ns()
            announcer.start()
            intended_ns, published_ns = chain.publisher.in_time(records[:frames], times_ns)
            announced_ns = announcer.finish()
            chain.reader.wait(warm + frames, PATIENCE_S)
            cpu_ns = chain.cpu_ns() - cpu_before
            _wait_for_loads(chain, len(announcer.versions))
            chain.publisher.at_once(records[frames:])
            chain.reader.wait(warm + frames + LAST, PATIENCE_S)
            arrivals = chain.end(side, warm + frames + LAST)
            answers = _answers(chain.fleet)
        require_none(side, turn_faults(turns(answers), announcer.versions))
        seen_ns = dict(zip(arrivals["number"].tolist(), arrivals["seen_ns"].tolist(), strict=True))
        swapped = swapped_ns(answers, seen_ns, list(zip(announcer.versions[1:], announced_ns, strict=True)))
        start_ns = int(intended_ns[0] - times_ns[0])
        near = windows([at - start_ns for at in announced_ns], [at - start_ns for at in swapped])
        latencies = latencies_ms(intended_ns, arrivals, warm)
        self.blocks.append(Block(times_ns, latencies, near))
        return {
            "side": side,
            "frames": frames,
            "swaps": len(swapped),
            "to_swap_ms": float(np.median(np.subtract(swapped, announced_ns) / 1e6)) if swapped else 0.0,
            "p50_ms": quantile_ms(latencies, 0.5),
            "p99_ms": quantile_ms(latencies, 0.99),
            "behind_ms": quantile_ms((published_ns - intended_ns) / 1e6, 0.99),
            "cpu_us": cpu_ns / frames / 1e3,
        }

    def _announcer(self, fleet: Fleet, side: str) -> Announcer:
        """Have both versions in the store; a candidate serves nobody, and one that is champion already stays it."""
        settings, codec = fleet.settings, Codec()
        known = [
            register_without_rollout(settings, codec, onnx_file, "candidate", by="bench", because="it is to take turns")
            for onnx_file in self._files
        ]
        return Announcer(fleet, known, self._announced_s[side])


def _wait_for_loads(chain: Chain, loads: int) -> None:
    """Wait until inference has loaded so many champions, the first one counted: it says so in its log.

    Raises:
        BenchError: it did not in a time that is ample.
    """
    inference = chain.hops[-1]
    until_s = time.monotonic() + START_S
    while (seen := inference.log_tail(WHOLE).count('"event": "champion"')) < loads:
        if time.monotonic() > until_s:
            words = inference.log_tail()
            raise BenchError(f"{loads} champions were announced and {seen} loaded; log of inference:\n{words}")
        time.sleep(POLL_S)


def _answers(fleet: Fleet) -> list[Answer]:
    """All that stands on the topic predictions, in the order of each partition's log."""
    at_once = Event()
    at_once.set()
    codec = Codec()
    values, _ = read(fleet.settings, set(), at_once)
    predictions = [codec.decode(value, Prediction) for value in values]
    return [Answer(p.frame_partition, number_of(p.camera, p.sequence), p.version) for p in predictions]


def with_surroundings(rows: Sequence[Row], blocks: Sequence[Block]) -> list[Row]:
    """Add to each row what its frames around the swaps of its pass took: `near`, `near_p50_ms`, `near_p99_ms`.

    Args:
        rows: Raw, each with its `pass`.
        blocks: Of these rows.
    """
    near: dict[object, tuple[Window, ...]] = {}
    for row, block in zip(rows, blocks, strict=True):
        near[row["pass"]] = near.get(row["pass"], ()) + block.windows
    completed = []
    for row, block in zip(rows, blocks, strict=True):
        latencies = block.latencies[around(block.times_ns, near[row["pass"]])]
        p50_ms, p99_ms = (quantile_ms(latencies, share) for share in (0.5, 0.99))
        completed.append(row | {"near": len(latencies), "near_p50_ms": p50_ms, "near_p99_ms": p99_ms})
    return completed


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into ratios: p99 and p50 around the swaps, p99 of the whole blocks."""
    figures = []
    for name, column, bound in (
        ("p99 around a swap, with / without", "near_p99_ms", TARGET),
        ("p50 around a swap, with / without", "near_p50_ms", None),
        ("p99 of the whole block, with / without", "p99_ms", None),
    ):
        swaps, calm = harness.paired(rows, {"side": "with"}, {"side": "without"}, column)
        if swaps:
            figures.append(Figure(name, harness.ratio(swaps, calm), bound))
    return figures


def run(options: Options) -> Report:
    """Measure what a hot swap costs those who wait; the short form is one small pass with one swap."""
    harness.stay_off_the_measured_core()
    plan = SHORT if options.short else FULL
    report = Report("swap", machine=harness.machine(("confluent-kafka", "onnxruntime", "simplejpeg", "fastavro")))
    with harness.broker(options.bootstrap) as bootstrap:
        bench = Bench(bootstrap, plan)
        warm_broker(bootstrap, plan.size.warm_up_s)
        most_hz = bench.maximum_hz(OURS)
        report.notes.append(
            f"maximum of the chain: {most_hz:,.0f} frames/s, from a burst of {plan.size.burst:,}; load: {LOAD}"
        )
        options.progress.print(report.notes[-1], style="dim", highlight=False)
        blocks = {side: partial(bench.swapping, side, LOADS[LOAD] * most_hz) for side in ("with", "without")}
        order = harness.passes(list(blocks), options.pairs or plan.size.pairs)
        rows = harness.measured(order, blocks, options.progress)
    report.rows = with_surroundings(rows, bench.blocks)
    report.figures = compare(report.rows)
    report.notes.append("every frame was predicted once, and no partition saw more changes of version than swaps")
    return report
