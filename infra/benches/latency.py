"""Figure 3: from publish to visible prediction over two exactly-once hops, against a pass-through copy.

Ours: a frame is published, ingest accepts it, inference predicts with the shipped model, a read_committed reader in
its own process has the prediction. The copy: two chained workers with the same topics, settings and transactions whose
core looks at nothing; frames are as large, and what it writes in the end is as large as a prediction. Both hops run on
the measured core; broker, publisher and reader share the other.

Load is an open loop: arrival times are drawn before, a Poisson process, anew for each pass and alike for all sides,
and latency counts from the time that was drawn. How much load: a burst that lies ready while both hops stand still is
worked off first, and its rate is what this chain can do on this core; blocks run at 50 % and 80 % of that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from catseye.client.config import publisher_config
from catseye.contract.records import Frame, Prediction, Record
from infra.benches import harness
from infra.benches.arrivals import Arrivals, latencies_ms, quantile_ms
from infra.benches.frames import Fleet, Frames, crops, faults, require_none, warm_broker
from infra.benches.harness import BUILT, ROOT, BenchError, Child, Figure, Options, Report, Row
from infra.benches.load import LoadRecord
from infra.benches.worker import RUNTIME
from services import inference, ingest

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
PREDICTION_BYTES = 350
"""A prediction of the shipped model; the copy writes as much."""
WHOLE = 2**30
LOADS = {"50 %": 0.5, "80 %": 0.8}
TARGETS = {"50 %": 1.5, "80 %": 2.5}
GUARDS_MS = {"p50": 60, "p99": 150}
"""What the chain must keep at half its maximum, milliseconds."""
START_S = 60.0  # longest wait for the first record of a chain that was started a moment ago
PATIENCE_S = 30.0  # what has not come so long after the last was due never comes
AHEAD_S = 0.2  # from drawing up the times to the first one
NAP_S = 0.005  # longest time that the publisher does not look after its producer


@dataclass(frozen=True)
class Side:
    """One chain under measurement.

    Attributes:
        name: In the table.
        hops: What runs it, process by process.
        kind: What it writes in the end.
    """

    name: str
    hops: tuple[tuple[str, ...], ...]
    kind: type[Record]


def _passing(name: str, reads: Sequence[str], write: str, most_bytes: int) -> tuple[str, ...]:
    words = ["--name", name, "--write", write, "--most-bytes", str(most_bytes), *(f"--read={read}" for read in reads)]
    return ("infra.benches.peers.passing", *words)


OURS = Side("ours", (("services.ingest",), ("services.inference",)), Prediction)
COPY = Side(
    "copy",
    (
        _passing("ingest", ingest.READS, "frames.accepted", WHOLE),
        _passing("inference", inference.BATCHES, "predictions", PREDICTION_BYTES),
    ),
    Frame,
)


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        warm: Frames that go through each chain before anything counts.
        burst: Frames that the maximum is taken from.
        seconds: Length of a block.
        pairs: Passes.
        warm_up_s: How long the broker is kept busy first, seconds: a JVM that still compiles would look slow.
    """

    warm: int
    burst: int
    seconds: float
    pairs: int
    warm_up_s: float


FULL = Size(warm=500, burst=6_000, seconds=8.0, pairs=harness.PAIRS, warm_up_s=20.0)
SHORT = Size(warm=50, burst=300, seconds=1.0, pairs=1, warm_up_s=0.5)


def arrival_times_ns(rate_hz: float, seconds: float, seed: int) -> NDArray[np.int64]:
    """Times of a Poisson process from 0 on: as many as come in *seconds* on average, nanoseconds."""
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_hz, max(1, round(rate_hz * seconds)))
    return np.asarray(np.cumsum(gaps_s) * 1e9, np.int64)


class Publisher:
    """Publishes frames as the SDK would. It lives through the warm-up, so that its first frame waits for nothing.

    Args:
        fleet: To whom.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._producer = Producer(publisher_config(fleet.settings))
        self._produce: Callable[..., None] = self._producer.produce
        self._topic = fleet.topic("frames")

    def at_once(self, records: Sequence[LoadRecord]) -> None:
        """Publish frames and wait until the broker has them."""
        for record in records:
            self._produce(self._topic, record.value, record.key, record.partition)
        if left := self._producer.flush(PATIENCE_S):
            raise BenchError(f"the broker did not take {left:,} frames")

    def in_time(
        self, records: Sequence[LoadRecord], times_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Publish each frame at its time, whatever becomes of those before it.

        Args:
            records: Frames.
            times_ns: From a moment that is chosen here.

        Returns:
            Monotonic clock at which each was to be published, and at which it was.
        """
        intended_ns = times_ns + time.monotonic_ns() + int(AHEAD_S * 1e9)
        published_ns = []
        for due_ns, record in zip(intended_ns.tolist(), records, strict=True):
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                self._producer.poll(0)
                time.sleep(min(left_ns / 1e9, NAP_S))
            self._produce(self._topic, record.value, record.key, record.partition)
            published_ns.append(time.monotonic_ns())
        self.at_once([])
        return intended_ns, np.array(published_ns, np.int64)


@dataclass
class Chain:
    """Two hops that are warm, and the reader at their end.

    Attributes:
        fleet: Their topics.
        hops: Their processes.
        reader: Tells when it has all.
        publisher: Feeds them.
    """

    fleet: Fleet
    hops: list[Child]
    reader: Arrivals
    publisher: Publisher

    def cpu_ns(self) -> int:
        """CPU time of both hops."""
        return sum(hop.cpu_ns() for hop in self.hops)

    def end(self, what: str, sent: int) -> NDArray[np.void]:
        """Stop the hops, let the reader read on to the end and return its arrivals.

        Raises:
            BenchError: a hop died or did not end, or what came is not every frame once.
        """
        for hop in self.hops:
            if not hop.alive() or not hop.stop():
                raise BenchError(f"{what}: a hop died, or did not end when asked; its log:\n{hop.log_tail()}")
        arrivals = self.reader.end()
        require_none(what, faults(arrivals["number"], sent))
        return arrivals


class Bench:
    """Blocks against one broker.

    Args:
        bootstrap: Its address.
        size: Of each block.
    """

    def __init__(self, bootstrap: str, size: Size) -> None:
        self._bootstrap = bootstrap
        self._size = size
        self._crops = crops()
        self._blocks: Counter[tuple[str, str]] = Counter()

    def maximum_hz(self, side: Side) -> float:
        """Frames a second of a burst that lies ready before the hops go on."""
        warm, frames = self._size.warm, self._size.burst
        with self._chain(side, frames) as (chain, made):
            with ExitStack() as paused:
                for hop in chain.hops:
                    paused.enter_context(hop.paused())
                chain.fleet.lay_out("frames", warm, warm + frames, made.published)
                began_ns = time.monotonic_ns()
            chain.reader.wait(warm + frames, START_S)
            arrivals = chain.end(f"{side.name}, burst", warm + frames)
        return float(frames / (arrivals["seen_ns"].max() - began_ns) * 1e9)

    def block(self, side: Side, load: str, rate_hz: float) -> Row:
        """Measure one side once under one load and check its output.

        Returns:
            `side`, `load`, `rate_hz`, `frames`, `p50_ms`, `p99_ms`, `max_ms` from the intended time, `behind_ms` (99 %
            of the frames were published at most so long after it), `cpu_us` of both hops a frame.

        Raises:
            BenchError: it died, or a frame was lost or repeated.
        """
        self._blocks[side.name, load] += 1
        times_ns = arrival_times_ns(rate_hz, self._size.seconds, seed=self._blocks[side.name, load])
        warm, frames = self._size.warm, len(times_ns)
        with self._chain(side, frames) as (chain, made):
            records = [made.published(number) for number in range(warm, warm + frames)]
            cpu_before = chain.cpu_ns()
            intended_ns, published_ns = chain.publisher.in_time(records, times_ns)
            chain.reader.wait(warm + frames, PATIENCE_S)
            cpu_ns = chain.cpu_ns() - cpu_before
            arrivals = chain.end(f"{side.name}, {load}", warm + frames)
        latencies = latencies_ms(intended_ns, arrivals, warm)
        return {
            "side": side.name,
            "load": load,
            "rate_hz": rate_hz,
            "frames": frames,
            "p50_ms": quantile_ms(latencies, 0.5),
            "p99_ms": quantile_ms(latencies, 0.99),
            "max_ms": float(latencies.max()),
            "behind_ms": quantile_ms((published_ns - intended_ns) / 1e6, 0.99),
            "cpu_us": cpu_ns / frames / 1e3,
        }

    @contextmanager
    def _chain(self, side: Side, frames: int, more: int = 0) -> Iterator[tuple[Chain, Frames]]:
        """Start a chain, let the warm-up go through, and give it with a maker of frames.

        Its reader tells when it has the warm-up, *frames* on top of that, and *more* on top of both.
        """
        fleet = Fleet(self._bootstrap, BUILT / "bench", f"latency-{side.name}")
        if side is OURS:
            fleet.make_champion(MODEL.read_bytes())
        warm, made = self._size.warm, Frames(self._crops, time.time_ns() // 1_000_000)
        with ExitStack() as running:
            reader = Arrivals(fleet, side.kind, (warm, warm + frames, warm + frames + more))
            running.callback(reader.close)
            hops = []
            for nth, (module, *words) in enumerate(side.hops):
                log = fleet.directory / f"hop-{nth}.log"
                hops.append(Child((RUNTIME, "-m", module, *words), log, fleet.environment))
                running.callback(hops[-1].stop)
            publisher = Publisher(fleet)
            publisher.at_once([made.published(number) for number in range(warm)])
            if not reader.wait(warm, START_S):
                logs = "\n".join(hop.log_tail() for hop in hops)
                raise BenchError(f"{side.name}: nothing came in {START_S:.0f} s; logs of its hops:\n{logs}")
            yield Chain(fleet, hops, reader, publisher), made
        fleet.clear()


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into ratios: p99 and p50 of both sides at each load, and the guards of ours at half load."""
    figures = []
    for load, target in TARGETS.items():
        for quantile, bound in (("p99", target), ("p50", None)):
            ours, copy = harness.paired(
                rows, {"side": "ours", "load": load}, {"side": "copy", "load": load}, f"{quantile}_ms"
            )
            if ours:
                figures.append(Figure(f"{quantile} at {load}, ours / copy", harness.ratio(ours, copy), bound))
    half: Row = {"side": "ours", "load": "50 %"}
    for quantile, most_ms in GUARDS_MS.items():
        ours, _ = harness.paired(rows, half, half, f"{quantile}_ms")
        if ours:
            guard = harness.ratio(ours, [most_ms] * len(ours))
            figures.append(Figure(f"guard: {quantile} at 50 %, ours / {most_ms} ms", guard, 1))
    return figures


def run(options: Options) -> Report:
    """Measure figure 3; the short form is one small pass at half load."""
    harness.stay_off_the_measured_core()
    size = SHORT if options.short else FULL
    loads = {"50 %": LOADS["50 %"]} if options.short else LOADS
    report = Report("latency", machine=harness.machine(("confluent-kafka", "onnxruntime", "simplejpeg", "fastavro")))
    with harness.broker(options.bootstrap) as bootstrap:
        bench = Bench(bootstrap, size)
        warm_broker(bootstrap, size.warm_up_s)
        most_hz = bench.maximum_hz(OURS)
        report.notes.append(f"maximum of the chain: {most_hz:,.0f} frames/s, from a burst of {size.burst:,}")
        options.progress.print(report.notes[-1], style="dim", highlight=False)
        blocks = {
            f"{side.name}, {load}": partial(bench.block, side, load, share * most_hz)
            for load, share in loads.items()
            for side in (OURS, COPY)
            if options.wants(side.name)
        }
        order = harness.passes(list(blocks), options.pairs or size.pairs)
        report.rows = harness.measured(order, blocks, options.progress)
    report.figures = compare(report.rows)
    return report
