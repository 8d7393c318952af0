"""Figures 2 and 4: what one record costs the worker, against the bare loop and against whole engines.

300-byte records, 5,000 keys, consume-transform-produce in transactions; `copy` keeps nothing, `count` keeps a count a
key as durable state. A block: the peer starts and works through a warm-up (a JVM compiles meanwhile), is stopped in
its tracks, the load is laid out behind it, its clock is read, it goes on, and its clock is read again when a
read_committed reader has the last record. What is left in the difference is work, and nothing else.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.benches import harness, load
from infra.benches.harness import BUILT, ROOT, BenchError, Child, Figure, Options, Report, Row

PARTITIONS = 4
KEYS = 5_000
PEERS = ROOT / "infra" / "benches" / "peers"
RUNTIME = BUILT / "venv" / "bin" / "python"
ENGINES = BUILT / "venv-bench" / "bin" / "python"
STREAMS = BUILT / "build" / "streams"
MODES = ("copy", "count")
KAFKA_STREAMS = "4.3.1"


@dataclass(frozen=True)
class Side:
    """One engine under measurement.

    Attributes:
        name: In the table.
        command: What runs it, without the common flags.
        share: Part of the full load that it gets; a slow engine need not take minutes to show its cost.
        flags: Its settings, chosen on the grid.
        own_state: True where the engine names its changelog itself.
    """

    name: str
    command: tuple[str, ...]
    share: float = 1.0
    flags: Mapping[str, str] = field(default_factory=dict)
    own_state: bool = True


def java(main: str) -> tuple[str, ...]:
    """Return the command of one of the Java peers: bounded heap, everything else as the JVM chooses for one core."""
    classpath = f"{STREAMS}/peers.jar:{STREAMS}/libs/*"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return ("java", "-Xmx1g", quiet, "-cp", classpath, f"catseye.bench.{main}")


SIDES = {
    side.name: side
    for side in (
        Side("ours", (str(RUNTIME), "-m", "infra.benches.peers.ours"), own_state=False),
        Side("bare", (str(RUNTIME), "-m", "infra.benches.peers.bare"), own_state=False),
        Side("streams", java("Worker")),
        Side("streams-rocksdb", java("Worker"), flags={"store": "rocksdb"}),
        Side("quixstreams", (str(ENGINES), "-m", "infra.benches.peers.quix")),
        Side("faust", (str(ENGINES), "-m", "infra.benches.peers.faust_worker"), share=0.05),
    )
}
AT_LEAST_ONCE = replace(SIDES["ours"], name="ours, at least once", flags={"delivery": "at_least_once"})
TARGETS = {"bare": 1.3, "quixstreams": 0.4, "streams": 0.7, "faust": 0.05}
BROKEN = {
    fault: Side(
        f"broken-{fault}", (str(RUNTIME), "-m", "infra.benches.peers.broken"), flags={"fault": fault}, own_state=False
    )
    for fault in ("drop", "repeat")
}
GRID: dict[str, tuple[str, ...]] = {
    "linger-ms": ("5", "50"),
    "batch-bytes": ("65536", "1000000"),
    "batch": ("1000", "5000"),
}
"""What every peer is tuned on; the interval between commits stays at 100 ms, for a later commit only hides cost."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        warm: Records before the clock is read; enough for a JVM to have compiled its hot path.
        records: Records that count.
        pairs: Passes.
    """

    warm: int
    records: int
    pairs: int

    def scaled(self, share: float) -> Size:
        """Return a share of it, for a slow side."""
        return Size(int(self.warm * share), int(self.records * share), self.pairs)


FULL = Size(warm=200_000, records=400_000, pairs=harness.PAIRS)
SHORT = Size(warm=5_000, records=20_000, pairs=1)
CONTROL = Size(warm=2_000, records=2_000, pairs=1)


def build_java() -> None:
    """Compile the Java peers if they are not there yet."""
    sources = max(path.stat().st_mtime for path in (PEERS / "streams").rglob("*") if path.is_file())
    jar = STREAMS / "peers.jar"
    if jar.exists() and jar.stat().st_mtime >= sources:
        return
    built = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(PEERS / "streams" / "pom.xml"), "package"],
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise BenchError(f"the Java peers do not compile (Java 17 and Maven are needed):\n{built.stdout[-2_000:]}")


class Bench:
    """Blocks against one broker.

    Args:
        bootstrap: Its address.
        size: Of each block.
        work: Folder for logs and local state; emptied when a block ends well.
        patience_s: Longest wait for a peer's output.
    """

    def __init__(self, bootstrap: str, size: Size, work: Path, *, patience_s: float = 300) -> None:
        self._bootstrap = bootstrap
        self._patience_s = patience_s
        self._size = size
        self._work = work
        self._topics = load.Topics(bootstrap)

    def block(self, side: Side, mode: str) -> Row:
        """Measure one side once and check its output.

        Returns:
            `side`, `mode`, `records`, `cpu_us` a record, `records_per_s` by the wall clock, `rss_mb`.

        Raises:
            BenchError: it died, was too slow, or its output is wrong.
        """
        run = f"{re.sub('[^a-z]+', '-', side.name)}-{mode}-{time.time_ns()}"
        names = [self._topics.create(f"{part}-{run}", partitions=PARTITIONS) for part in ("in", "out")]
        names.append(self._topics.create(f"state-{run}", partitions=PARTITIONS, compacted=True))
        directory = self._work / run
        directory.mkdir(parents=True)
        child = Child(
            self._command(side, mode, run, directory), directory / "log", {"PYTHONPATH": f"{ROOT}/shared:{ROOT}"}
        )
        try:
            row = self._measure(child, side, mode, run)
        except load.TimedOutError as timed_out:
            raise BenchError(f"{side.name}, {mode}: {timed_out}; its log:\n{child.log_tail()}") from timed_out
        finally:
            child.stop()
        self._topics.delete(self._topics.named(run))
        shutil.rmtree(directory)
        return row

    def _command(self, side: Side, mode: str, run: str, directory: Path) -> list[str]:
        flags = {
            "bootstrap": self._bootstrap,
            "input": f"in-{run}",
            "output": f"out-{run}",
            "state": f"state-{run}",
            "group": f"group-{run}",
            "mode": mode,
            "partitions": str(PARTITIONS),
            "directory": str(directory / "local"),
        } | dict(side.flags)
        return [*side.command, *(word for name, value in flags.items() for word in (f"--{name}", value))]

    def _measure(self, child: Child, side: Side, mode: str, run: str) -> Row:
        size = self._size.scaled(side.share)
        deck = load.Deck.deal(size.warm + size.records, keys=KEYS, counted=mode == "count", seed=1)
        read = load.Read()
        sink = load.Sink(self._bootstrap, f"out-{run}", PARTITIONS, read.add)
        load.load(self._bootstrap, f"in-{run}", deck, start=0, stop=size.warm, partitions=PARTITIONS)
        sink.read_until(size.warm, alive=child.alive, timeout_s=self._patience_s)
        with child.paused():
            load.load(self._bootstrap, f"in-{run}", deck, start=size.warm, stop=len(deck.key), partitions=PARTITIONS)
            cpu_before, began_ns = child.cpu_ns(), time.perf_counter_ns()
        ended_ns = sink.read_until(len(deck.key), alive=child.alive, timeout_s=self._patience_s)
        cpu_spent = child.cpu_ns() - cpu_before
        rss_bytes = child.rss_bytes()
        lag = load.Lag(self._bootstrap, f"group-{run}", {f"in-{run}": PARTITIONS})
        lag.wait(alive=child.alive, timeout_s=30)
        lag.close()
        if not child.stop():
            raise BenchError(f"{side.name} did not end within 30 s of SIGTERM")
        sink.read_rest()
        sink.close()
        self._check(side, mode, run, deck, read)
        return {
            "side": side.name,
            "mode": mode,
            "records": size.records,
            "cpu_us": cpu_spent / size.records / 1e3,
            "records_per_s": size.records / (ended_ns - began_ns) * 1e9,
            "rss_mb": rss_bytes / 1e6,
        }

    def _check(self, side: Side, mode: str, run: str, deck: load.Deck, read: load.Read) -> None:
        found = load.faults(read, deck)
        if mode == "count":
            own = [name for name in self._topics.named(f"group-{run}") if "changelog" in name]
            state = load.latest(self._bootstrap, own if side.own_state else [f"state-{run}"])
            found += load.state_faults(state, deck)
        if found:
            raise BenchError(f"{side.name}, {mode}, gives wrong results: {'; '.join(found)}")


def controls(bootstrap: str) -> str:
    """Let the check find a peer that loses a record and one that repeats one, or refuse to measure anything."""
    found = []
    for side in BROKEN.values():
        with TemporaryDirectory(dir=BUILT) as work:
            try:
                Bench(bootstrap, CONTROL, Path(work), patience_s=5).block(side, "copy")
            except BenchError as reported:
                found.append(str(reported).partition(";")[0])
            else:
                raise BenchError(f"the check did not notice {side.name}: no figure of this bench can be trusted")
    return f"negative controls: {' · '.join(found)}"


def tuned(side: Side) -> dict[str, Side]:
    """Return a side at every point of the grid, by name."""
    points = [dict(zip(GRID, point, strict=True)) for point in product(*GRID.values())]
    return {
        (name := f"{side.name} {' '.join(f'{k}={v}' for k, v in point.items())}"): replace(
            side, name=name, flags={**side.flags, **point}
        )
        for point in points
    }


def compare(rows: Sequence[Row], mode: str) -> list[Figure]:
    """Turn raw rows into the ratios of one mode: CPU a record against each peer, and both deliveries of ours."""

    def against(name: str, column: str) -> harness.Interval | None:
        ours, theirs = harness.paired(rows, {"side": "ours", "mode": mode}, {"side": name, "mode": mode}, column)
        return harness.ratio(ours, theirs) if ours else None

    figures = [
        Figure(f"{mode}: CPU a record, ours / {name}", cost, TARGETS.get(name))
        for name in SIDES
        if name != "ours" and (cost := against(name, "cpu_us"))
    ]
    if speed := against(AT_LEAST_ONCE.name, "records_per_s"):
        figures.append(Figure(f"{mode}: throughput, exactly once / at least once", speed, 0.92, at_most=False))
    if cost := against(AT_LEAST_ONCE.name, "cpu_us"):
        figures.append(Figure(f"{mode}: CPU a record, exactly once / at least once", cost))
    return figures


def run(options: Options) -> Report:
    """Measure figures 2 and 4; the short form is one small pass of `count`."""
    build_java()
    harness.stay_off_the_measured_core()
    size = SHORT if options.short else FULL
    every = (*SIDES.values(), AT_LEAST_ONCE)
    sides = {side.name: side for side in every if options.wants(side.name)}
    if options.short and not options.only:
        del sides["streams-rocksdb"]
    engines = harness.versions(ENGINES, ("quixstreams", "faust-streaming", "confluent-kafka"))
    report = Report("worker", machine=harness.machine() | {"kafka-streams": KAFKA_STREAMS})
    report.machine |= {f"peers' {name}": version for name, version in engines.items()}
    with harness.broker(options.bootstrap) as bootstrap:
        report.notes.append(controls(bootstrap))
        bench = Bench(bootstrap, size, BUILT / "bench")
        if options.grid:
            sides = {name: point for side in sides.values() for name, point in tuned(side).items()}
        for mode in ("count",) if options.short else MODES:
            order = harness.passes(list(sides), options.pairs or (1 if options.grid else size.pairs))
            blocks = {name: partial(bench.block, side, mode) for name, side in sides.items()}
            report.rows += harness.measured(order, blocks, options.progress, report.notes)
            report.figures += compare(report.rows, mode)
    return report
