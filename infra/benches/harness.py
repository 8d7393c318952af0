"""What every figure has in common: both sides in one run, on one core, in ABBA order, as a ratio with an interval.

The unit of comparison is a *pass*: every side once. The next pass runs in the opposite order, so that a machine that
grows slower or faster while it is measured favours nobody. Ratios are taken within a pass; their median and a
bootstrap interval over the passes are reported.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from infra.local.kafka import KafkaCluster

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".catseye"
BROKER_CORE = 0
MEASURED_CORE = 1
PAIRS = 6
"""Passes of a full run: bench.md asks for five at least, and an even number has as many forward as backward."""


class BenchError(RuntimeError):
    """A peer failed: it died, it did not end, or its output is wrong. No figure comes of it."""


def passes(sides: Sequence[str], pairs: int) -> list[list[str]]:
    """Return the order of the blocks: ABC, CBA, ABC, …"""
    return [list(sides) if i % 2 == 0 else list(reversed(sides)) for i in range(pairs)]


Row = dict[str, float | str]


def measured(
    order: Sequence[Sequence[str]],
    blocks: Mapping[str, Callable[[], Row]],
    console: Console,
    notes: list[str] | None = None,
) -> list[Row]:
    """Run the blocks of all passes in their order and report how each went while the next one runs.

    Args:
        order: Names of blocks, pass by pass; those of ours start with "ours".
        blocks: What to run by name.
        console: To report on.
        notes: Gets a line for each peer's block whose output was wrong: it has no row. Without it that is an error,
            as it always is for ours.

    Returns:
        The rows in that order, each with its `pass`, from 1.

    Raises:
        BenchError: a block failed that must not.
    """
    names = [(number, name) for number, one_pass in enumerate(order, 1) for name in one_pass]
    rows: list[Row] = []
    for n, (number, name) in enumerate(names, 1):
        try:
            row = blocks[name]()
        except BenchError as failed:
            if notes is None or name.startswith("ours"):
                raise
            notes.append(f"pass {number} does not count for {failed}")
            console.print(f"{n}/{len(names)} {failed}", style="red", highlight=False)
        else:
            rows.append({"pass": number} | row)
            console.print(f"{n}/{len(names)} {name}: {row['cpu_us']:.2f} µs", style="dim", highlight=False)
    return rows


def paired(rows: Sequence[Row], one: Row, other: Row, column: str) -> tuple[list[float], list[float]]:
    """Return *column* of two sides in the passes that both have.

    Args:
        rows: Raw.
        one: Columns and values that its rows have.
        other: The same of the other side.
        column: What is compared.
    """

    def of(side: Row) -> dict[float | str, float]:
        return {row["pass"]: float(row[column]) for row in rows if side.items() <= row.items()}

    left, right = of(one), of(other)
    both = sorted(left.keys() & right.keys(), key=float)
    return [left[n] for n in both], [right[n] for n in both]


@dataclass(frozen=True)
class Interval:
    """A median of ratios and how sure it is.

    Attributes:
        median: Of the ratios of all passes.
        low: Of the 95 % bootstrap interval of that median.
        high: Of the same.
        n: Passes.
    """

    median: float
    low: float
    high: float
    n: int


def ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Compare two sides pass by pass.

    Args:
        ours: One number a pass.
        theirs: The same of the other side, same order, none of them 0.
        seed: Of the resampling.
        resamples: How many times the passes are drawn anew.

    Returns:
        Median of ours / theirs with its percentile bootstrap interval (Efron 1979).
    """
    ratios = np.asarray(ours, float) / np.asarray(theirs, float)
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (resamples, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    return Interval(float(np.median(ratios)), float(low), float(high), len(ratios))


@dataclass(frozen=True)
class Figure:
    """One line of the answer.

    Attributes:
        name: What is compared, as `bench.md` names it.
        interval: The ratio.
        target: Its bound, or None where none is set.
        at_most: True where smaller is better.
    """

    name: str
    interval: Interval
    target: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the target; None without one."""
        if self.target is None:
            return None
        return self.interval.median <= self.target if self.at_most else self.interval.median >= self.target


@dataclass
class Report:
    """All that a bench found out.

    Attributes:
        name: Of the bench.
        figures: The ratios.
        rows: One per block, raw.
        notes: What a reader must know beside the numbers.
        machine: CPU, versions.
    """

    name: str
    figures: list[Figure] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return one object for `--json`: figures with `met` beside them, and every raw row."""
        figures = [asdict(figure) | {"met": figure.met} for figure in self.figures]
        return {"name": self.name, "machine": self.machine, "figures": figures, "rows": self.rows, "notes": self.notes}


def show(report: Report, console: Console) -> None:
    """Print rows, figures, notes and machine."""
    if report.rows:
        raw = Table(title=f"{report.name}: raw rows", title_justify="left")
        for column in report.rows[0]:
            raw.add_column(column, justify="left" if isinstance(report.rows[0][column], str) else "right")
        for row in report.rows:
            raw.add_row(*(value if isinstance(value, str) else f"{value:,.6g}" for value in row.values()))
        console.print(raw)
    answers = Table(title=f"{report.name}: ratios, median and 95 % interval", title_justify="left")
    for column in ("figure", "ratio", "interval", "passes", "target", ""):
        answers.add_column(column)
    for figure in report.figures:
        interval = figure.interval
        target = "" if figure.target is None else f"{'≤' if figure.at_most else '≥'} {figure.target:g}"
        verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met]
        spread = f"{interval.low:.3f} … {interval.high:.3f}"
        answers.add_row(figure.name, f"{interval.median:.3f}", spread, str(interval.n), target, verdict)
    console.print(answers)
    for note in report.notes:
        console.print(f"· {note}")
    console.print(" · ".join(f"{key} {value}" for key, value in report.machine.items()), style="dim")


def machine(packages: Sequence[str] = ("confluent-kafka", "fastavro")) -> dict[str, str]:
    """Return what the figures depend on: CPU, cores, kernel, versions, and how busy the machine was at the start."""
    facts = {
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.2f}",
    }
    return facts | {package: importlib.metadata.version(package) for package in packages}


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of *packages* in another environment, *python* being its interpreter."""
    ask = "import importlib.metadata as m, sys; print(*(m.version(p) for p in sys.argv[1:]))"
    versions = subprocess.run([python, "-c", ask, *packages], check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(packages, versions, strict=True))


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a process used till now, user and system, all threads, ended ones too.

    The clock id of another process is (~pid << 3) | 2 (Linux, clock_getcpuclockid(3)): nanoseconds, where
    /proc/PID/stat counts in ticks of 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def family(pid: int) -> list[int]:
    """Return *pid* and all processes below it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        parents.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found.extend(parents.get(parent, []))
    return found


class Child:
    """A measured process, alone on its core.

    Args:
        command: With arguments.
        log: Where its output goes.
        environment: Added to ours.
        core: To run on.
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str], core: int = MEASURED_CORE
    ) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id; `taskset` has become the command."""
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def cpu_ns(self) -> int:
        """CPU time of it and of all below it, in ns."""
        return sum(cpu_ns(pid) for pid in family(self.pid))

    def rss_bytes(self) -> int:
        """Memory resident now, in bytes."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it while the load is laid out, so that it starts on all of it at one known moment."""
        os.killpg(self.pid, signal.SIGSTOP)
        yield
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, *, patience_s: float = 30) -> bool:
        """End it with SIGTERM, by force after *patience_s*; return whether it went by itself."""
        if self.alive():
            os.killpg(self.pid, signal.SIGCONT)
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            return False
        return True

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of what it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def stay_off_the_measured_core() -> None:
    """Keep this process, which loads and reads, on the broker's core."""
    os.sched_setaffinity(0, {BROKER_CORE})


@dataclass(frozen=True)
class Options:
    """What the command line asks of a bench.

    Attributes:
        short: A small run that shows that the bench works; its figures mean nothing.
        only: Sides to measure; all when empty.
        pairs: Passes, when others than usual are wanted.
        grid: Tune: every side at every point of its grid, no ratios.
        long: Peers too at the size that takes them minutes a block.
        bootstrap: Address of a broker that runs already; a fresh one on its own core when empty.
        progress: Where to report progress.
    """

    short: bool = False
    only: tuple[str, ...] = ()
    pairs: int | None = None
    grid: bool = False
    long: bool = False
    bootstrap: str = ""
    progress: Console = field(default_factory=lambda: Console(stderr=True))

    def wants(self, side: str) -> bool:
        """Tell whether a side is to be measured."""
        return not self.only or side in self.only


@contextmanager
def broker(bootstrap: str) -> Iterator[str]:
    """Give the address of a broker: *bootstrap*, or of a fresh one on its core, gone afterwards with all its data."""
    if bootstrap:
        yield bootstrap
        return
    folder = BUILT / "bench" / f"kafka-{os.getpid()}"
    try:
        with KafkaCluster(folder, heap_mb=1_024, cpus={BROKER_CORE}) as cluster:
            yield cluster.bootstrap_servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)
