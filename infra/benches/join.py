"""Figure 6: what it costs to join a late label to its prediction while 10^4 to 4·10^6 predictions wait.

Avro records as Catseye writes them, on (camera, boot, sequence). A block: predictions are read until as many wait as
the size says; then rounds of as many new predictions as labels, for waiting predictions drawn at random, so that as
many wait at the end as at the start. The peer stands still while a round is laid out, and its clock is read when all
outcomes were seen at read_committed and its committed offsets are at the end. The first rounds are warm-up.

Peers get their records keyed by frame, which spares them a repartition; ours gets them keyed by camera, as they are.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from catseye.kafka.admin import create_topics
from catseye.settings import Settings
from infra.benches import harness, load
from infra.benches.harness import BUILT, ROOT, BenchError, Child, Figure, Options, Report, Row
from infra.benches.join_load import PARTITIONS, Records, faults
from infra.benches.worker import ENGINES, KAFKA_STREAMS, RUNTIME, build_java, java

MOST_BYTES_WAITING = 120
FIRST = 10_000
"""Predictions after which memory is first looked at: what an empty process needs is not theirs."""


@dataclass(frozen=True)
class Side:
    """One engine under measurement.

    Attributes:
        name: In the table.
        command: What runs it, without the common flags; empty for ours, which reads the environment.
        flags: Its settings.
        target: Bound on ours / this.
    """

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()
    target: float | None = None


OURS = Side("ours", (str(RUNTIME), "-m", "services.ground_truth"))
SIDES = {
    side.name: side
    for side in (
        OURS,
        Side("quixstreams", (str(ENGINES), "-m", "infra.benches.peers.quix_join"), target=0.2),
        Side("streams", java("Join"), ("--join", "stream"), target=0.33),
        Side("streams-table", java("Join"), ("--join", "table")),
    )
}


SHORT_SIDES = ("ours", "quixstreams", "streams")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        waiting: Predictions that wait for their label.
        a_round: Pairs of one round.
        warm: Rounds before the clock counts.
        rounds: Rounds that count.
    """

    waiting: int
    a_round: int
    warm: int
    rounds: int

    @property
    def pairs(self) -> int:
        """Pairs that count."""
        return self.a_round * self.rounds


SHORT = Size(2_000, 2_000, 1, 1)
SIZES = (Size(10_000, 10_000, 15, 15), Size(1_000_000, 75_000, 2, 2))
LARGEST = Size(4_000_000, 75_000, 2, 2)
"""150,000 pairs are warm-up everywhere: until then a JVM that still compiles would look three times as dear."""


@dataclass
class Topics:
    """Where one block happens, and what has been written there so far.

    Attributes:
        bootstrap: Broker address.
        prefix: Of topic and group names.
        group: The peer's consumer group.
        waiting: Numbers of the predictions that wait.
        labelled: Numbers of those that got their label.
        sent: How many predictions there are.
    """

    bootstrap: str
    prefix: str
    group: str
    records: Records
    waiting: list[int] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    sent: int = 0

    def predict(self, many: int) -> None:
        """Write *many* new predictions; they wait from now on."""
        numbers = range(self.sent, self.sent + many)
        self._write("predictions", [*numbers], self.records.prediction)
        self.waiting += numbers
        self.sent += many

    def label(self, many: int, seed: int) -> None:
        """Write labels for *many* waiting predictions, drawn at random."""
        drawn = np.random.default_rng(seed).choice(len(self.waiting), many, replace=False)
        numbers = [self.waiting[at] for at in drawn.tolist()]
        taken = set(numbers)
        self.waiting = [number for number in self.waiting if number not in taken]
        self.labelled += numbers
        self._write("labels.accepted", numbers, self.records.label)

    def _write(self, topic: str, numbers: list[int], make: Callable[[int], load.LoadRecord]) -> None:
        loader = load.producer(self.bootstrap)
        for at in range(0, len(numbers), 10_000):
            load.send(loader, self.prefix + topic, [make(number) for number in numbers[at : at + 10_000]])
        load.finish(loader)


class Bench:
    """Blocks against one broker.

    Args:
        bootstrap: Its address.
        work: Folder for logs and local state.
    """

    def __init__(self, bootstrap: str, work: Path) -> None:
        self._bootstrap = bootstrap
        self._work = work

    def block(self, side: Side, size: Size) -> Row:
        """Measure one side once at one size and check its output.

        Returns:
            `cpu_us` and `pairs_per_s` of pairs, `fill_us` (CPU) and `bytes_waiting` (memory, 0 where too few wait to
            tell) of a waiting prediction, `rss_mb`.

        Raises:
            BenchError: it died, was too slow, or its output is wrong.
        """
        prefix = f"join-{side.name}-{time.time_ns()}."
        settings = Settings(kafka_bootstrap_servers=self._bootstrap, topic_prefix=prefix, partitions=PARTITIONS)
        create_topics(settings)
        group = prefix + ("ground_truth" if side is OURS else "group")
        records = Records(by_frame=side is not OURS, now_ms=time.time_ns() // 1_000_000)
        topics = Topics(self._bootstrap, prefix, group, records)
        directory = self._work / prefix.rstrip(".")
        directory.mkdir(parents=True)
        child = Child(self._command(side, topics, directory), directory / "log", self._environment(side, topics))
        try:
            row = self._measure(child, side, size, topics)
        except load.TimedOutError as timed_out:
            raise BenchError(f"{side.name}: {timed_out}; its log:\n{child.log_tail()}") from timed_out
        finally:
            child.stop()
        administration = load.Topics(self._bootstrap)
        administration.delete(administration.named(prefix))
        shutil.rmtree(directory)
        return row

    def _command(self, side: Side, topics: Topics, directory: Path) -> list[str]:
        flags = (
            {}
            if side is OURS
            else {
                "bootstrap": self._bootstrap,
                "input": topics.prefix + "predictions",
                "labels": topics.prefix + "labels.accepted",
                "output": topics.prefix + "outcomes",
                "group": topics.group,
                "mode": "join",
                "partitions": str(PARTITIONS),
                "schemas": str(ROOT / "schemas"),
                "directory": str(directory / "local"),
            }
        )
        return [*side.command, *side.flags, *(word for name, value in flags.items() for word in (f"--{name}", value))]

    def _environment(self, side: Side, topics: Topics) -> dict[str, str]:
        paths = {"PYTHONPATH": f"{ROOT}/shared:{ROOT}"}
        return (
            paths
            if side is not OURS
            else paths
            | {
                "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
                "CATSEYE_TOPIC_PREFIX": topics.prefix,
                "CATSEYE_PARTITIONS": str(PARTITIONS),
                # The other engines' default: a measured process stands still while its load is laid out.
                "CATSEYE_SESSION_TIMEOUT_MS": "45000",
            }
        )

    def _measure(self, child: Child, side: Side, size: Size, topics: Topics) -> Row:
        outcomes: list[bytes] = []
        sink = load.Sink(self._bootstrap, topics.prefix + "outcomes", PARTITIONS, outcomes.extend)
        inputs = {topics.prefix + name: PARTITIONS for name in ("predictions", "labels.accepted")}
        lag = load.Lag(self._bootstrap, topics.group, inputs)
        topics.predict(min(FIRST, size.waiting))
        lag.wait(alive=child.alive)
        rss_before, cpu_before = child.rss_bytes(), child.cpu_ns()
        topics.predict(more := size.waiting - topics.sent)
        lag.wait(alive=child.alive)
        rss_after, fill_ns = child.rss_bytes(), child.cpu_ns() - cpu_before
        cpu_ns = wall_ns = 0
        for turn in range(size.warm + size.rounds):
            with child.paused():
                topics.label(size.a_round, seed=turn)  # of those that wait already: labels are late
                topics.predict(size.a_round)
                cpu_began, began_ns = child.cpu_ns(), time.perf_counter_ns()
            sink.read_until(len(topics.labelled), alive=child.alive)
            ended_ns = lag.wait(alive=child.alive)
            if turn >= size.warm:
                cpu_ns += child.cpu_ns() - cpu_began
                wall_ns += ended_ns - began_ns
        if not child.stop():
            raise BenchError(f"{side.name} did not end within 30 s of SIGTERM")
        sink.read_rest()
        sink.close()
        lag.close()
        if found := faults(outcomes, topics.labelled):
            raise BenchError(f"{side.name} gives wrong results: {'; '.join(found)}")
        return {
            "side": side.name,
            "waiting": size.waiting,
            "pairs": size.pairs,
            "cpu_us": cpu_ns / size.pairs / 1e3,
            "pairs_per_s": size.pairs / wall_ns * 1e9,
            "fill_us": fill_ns / more / 1e3 if more else 0.0,
            "rss_mb": rss_after / 1e6,
            "bytes_waiting": (rss_after - rss_before) / more if more >= 100_000 else 0.0,
        }


def compare(rows: Sequence[Row]) -> list[Figure]:
    """Turn raw rows into ratios: ours against each peer at each size, ours against ours, memory against its bound."""
    sizes = sorted({float(row["waiting"]) for row in rows})
    figures = []
    for waiting, (name, side) in product(sizes, SIDES.items()):
        mine: Row = {"side": "ours", "waiting": waiting}
        ours, theirs = harness.paired(rows, mine, {"side": name, "waiting": waiting}, "cpu_us")
        if side is not OURS and ours:
            what = f"CPU a pair, {waiting:,.0f} waiting, ours / {name}"
            figures.append(Figure(what, harness.ratio(ours, theirs), side.target))
    least, most = sizes[0], sizes[-1]
    few: Row = {"side": "ours", "waiting": least}
    many: Row = {"side": "ours", "waiting": most}
    at_few, at_many = harness.paired(rows, few, many, "cpu_us")
    if most > least and at_few:
        what = f"ours: pairs a CPU second, {most:,.0f} / {least:,.0f} waiting"
        figures.append(Figure(what, harness.ratio(at_few, at_many), 0.85, at_most=False))
        memory, _ = harness.paired(rows, many, many, "bytes_waiting")
        bound = harness.ratio(memory, [MOST_BYTES_WAITING] * len(memory))
        figures.append(Figure(f"ours: bytes a waiting prediction / {MOST_BYTES_WAITING}", bound, 1))
    return figures


def run(options: Options) -> Report:
    """Measure figure 6. Peers see 4·10^6 waiting predictions only in the long form: it takes them minutes a block."""
    build_java()
    harness.stay_off_the_measured_core()
    report = Report("join", machine=harness.machine() | {"kafka-streams": KAFKA_STREAMS})
    report.machine |= harness.versions(ENGINES, ("quixstreams",))
    wanted = SHORT_SIDES if options.short and not options.only else tuple(SIDES)
    sides = [SIDES[name] for name in wanted if options.wants(name)]
    if OURS in sides and not (ROOT / "services" / "ground_truth" / "__main__.py").exists():
        sides.remove(OURS)
        report.notes.append("ours is left out: services/ground_truth is not there")
    sizes = (SHORT,) if options.short else (*SIZES, LARGEST)
    blocks = {
        f"{side.name}, {size.waiting:,} waiting": (side, size)
        for size in sizes
        for side in sides
        if size is not LARGEST or side is OURS or options.long
    }
    order = harness.passes(list(blocks), options.pairs or (1 if options.short else harness.PAIRS))
    with harness.broker(options.bootstrap) as bootstrap:
        bench = Bench(bootstrap, BUILT / "bench")
        work = {name: partial(bench.block, *block) for name, block in blocks.items()}
        report.rows = harness.measured(order, work, options.progress, report.notes)
    report.figures = compare(report.rows)
    return report
