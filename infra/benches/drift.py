"""Figures 8 and 9: how rarely the engine alarms without a change, how soon with one, and what a sample costs.

Simulated streams first: the promise on five kinds of streams without change; then ten changes, all detectors at the
same *measured* run length; then cost; then the real model's own streams under weather. All of that is seeded and runs
in this process. Last, with a broker, the service's share of the pipeline's CPU. The page with the curves is written to
`.catseye/bench/drift.html`.

`--only weeks`: months of a fleet's labels, by the production code at the fleet's own threshold (500 cameras, 40,000
labels each; 80,000 with `--long`). `--only bounds`: what it costs that the mean before the change is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from catseye.intervals import wilson
from infra.benches import (
    drift_bounds,
    drift_cells,
    drift_cost,
    drift_nulls,
    drift_page,
    drift_real,
    drift_river,
    drift_share,
    drift_weeks,
    harness,
)
from infra.benches.drift_cells import Found, Simulation, Size
from infra.benches.drift_nulls import Null
from infra.benches.drift_real import Outcome
from infra.benches.drift_streams import Law
from infra.benches.harness import BUILT, Figure, Interval, Options, Report, Row
from services.drift.detectors.registry import DETECTORS, make
from services.drift.rules import Rules

THRESHOLD, SHORT_THRESHOLD = 10_000.0, 300.0
STREAMS, SHORT_STREAMS = 1_000, 60
MEDIAN_CELL, WORST_CELL, MISSED, AHEAD = 1.35, 1.6, 0.05, 0.8
MOST_EARLY = 0.5
"""Of streams with an alarm before the change: 10 % at the run length that all are tuned to, were alarms to come evenly.
DDM alarms at once or never, and has the same mean: whoever is left is no fair sample of anything."""
SEED = 20_260
SHARE, WEEKS, BOUNDS = "share", "weeks", "bounds"


@dataclass(frozen=True)
class Surely(Figure):
    """A figure whose interval, not its middle, must keep the target."""

    @property
    def met(self) -> bool | None:
        """Whether it does."""
        if self.target is None:
            return None
        return self.interval.high <= self.target if self.at_most else self.interval.low >= self.target


def null_figures(nulls: Iterable[Null]) -> list[Figure]:
    """The promise, one line a kind of streams."""
    return [
        Surely(f"run length / threshold: {null.name}", null.over_nominal, 1.0, at_most=False)
        for null in nulls
        if null.assessed
    ]


def cell_figures(cells: Sequence[Found], run_length: float) -> list[Figure]:
    """Delay over the oracle's, what is missed, and in how many cells the engine is ahead of each of river's."""
    assessed = [found for found in cells if found.cell.assessed]
    figures = []
    for when, curves in (
        ("at once", [found.fresh for found in assessed]),
        ("later", [found.warm for found in assessed]),
    ):
        ours = [curve["esr"].at(run_length)[0] for curve in curves]
        oracle = [curve["oracle"].at(run_length)[0] for curve in curves]
        middle = harness.ratio(ours, oracle)
        worst = max(mine / best for mine, best in zip(ours, oracle, strict=True))
        missed = max(curve["esr"].at(run_length)[1] for curve in curves)
        figures += [
            Figure(f"delay / oracle's, median cell, change {when}", middle, MEDIAN_CELL),
            Figure(f"delay / oracle's, worst cell, change {when}", _one(worst, len(assessed)), WORST_CELL),
            Figure(f"missed in 3 oracle delays, worst cell, change {when}", _one(missed, len(assessed)), MISSED),
        ]
    for name in dict.fromkeys(name for found in assessed for name in found.settings):
        share = _one(float(np.mean([is_sooner(found, name, run_length) for found in assessed])), len(assessed))
        figures.append(Figure(f"share of cells in which esr is sooner than {name}", share, AHEAD, at_most=False))
    return figures


def is_sooner(found: Found, name: str, run_length: float, most_early: float = MOST_EARLY) -> bool:
    """Tell whether the engine is sooner than one of river's detectors, the change coming later.

    Args:
        found: With curves.
        name: Of the detector.
        run_length: To which both are tuned.
        most_early: One that has alarmed on a larger share of streams before the change is behind.
    """
    ours, (theirs, _, early) = found.warm["esr"].at(run_length)[0], found.warm[name].at(run_length)
    return early > most_early or not ours >= theirs  # without a stream left there is no delay: a NaN


def _one(value: float, count: int) -> Interval:
    return Interval(value, value, value, count)


def row(
    part: str,
    streams: str,
    detector: str,
    setting: str,
    run_length: float | str = "",
    delay: float | str = "",
    over_oracle: float | str = "",
    missed: float | str = "",
    early: float | str = "",
) -> Row:
    """One line of the table; what does not apply stays empty."""
    return {
        "part": part,
        "streams": streams,
        "detector": detector,
        "setting": setting,
        "run length": _short(run_length),
        "delay": _short(delay),
        "over oracle": _short(over_oracle, 2),
        "missed": _short(missed, 3),
        "early": _short(early, 3),
    }


def _short(value: float | str, places: int = 0) -> str:
    return value if isinstance(value, str) else f"{value:,.{places}f}"


def null_rows(nulls: Iterable[Null], threshold: float) -> list[Row]:
    """Streams without change; *early* is the share with an alarm in a fifth of the threshold."""
    return [
        row(
            "no change" if null.assessed else "control",
            null.name,
            "esr",
            f"threshold {threshold:,.0f}",
            null.over_nominal.median * threshold,
            early=null.soon,
        )
        for null in nulls
    ]


def cell_rows(cells: Iterable[Found], run_length: float) -> list[Row]:
    """A line a change, a moment of it, and a detector; *early* is the share with an alarm before the change."""
    rows = []
    for found in cells:
        for part, curves in (("change at once", found.fresh), ("change", found.warm)):
            oracle = curves["oracle"].at(run_length)[0]
            for name, curve in curves.items():
                delay, missed, early = curve.at(run_length)
                nearest = curve.run_length[np.abs(np.log(curve.run_length / run_length)).argmin()]
                reached = run_length if curve.run_length[0] <= run_length <= curve.run_length[-1] else float(nearest)
                setting = found.settings.get(name, "")
                rows.append(
                    row(part, found.cell.name, name, setting, reached, delay, delay / oracle, missed, early)
                    if name != "oracle"
                    else row(part, found.cell.name, name, setting, reached, delay)
                )
    return rows


def registry_rows(wanted: float, samples: int) -> list[Row]:
    """What run length comes out when a detector is picked by name; see `services.drift.detectors.registry`.

    Args:
        wanted: What is asked for.
        samples: That each is given, of an error rate of 5 %.
    """
    rows, error = [], 0.05
    with drift_river.remembered_tests():
        for name in DETECTORS:
            rng, law = np.random.default_rng(SEED), Law(error)
            detector = make(name, error, run_length=wanted)
            length = drift_river.run_length(detector, law, rng, samples=samples, alarms=50)
            least = "over " if length > samples else ""
            shown = f"{least}{min(length, samples):,.0f}"
            rows.append(row("by name", f"no change, {error:g}", name, f"asked for {wanted:,.0f}", shown))
    return rows


def cost_rows(rows: Iterable[Row]) -> list[Row]:
    """A line a block."""
    return [
        row("cost", f"pass {each['pass']}", str(each["side"]), f"{1e3 * float(each['cpu_us']):,.1f} ns a stream-update")
        for each in rows
    ]


def share_rows(rows: Iterable[Row]) -> list[Row]:
    """A line a block."""
    return [
        row("share", f"{each['cameras']} cameras, {each['samples']}", name, f"{float(each[name]):,.0f} µs a frame")
        for each in rows
        for name in drift_share.SERVICES
    ]


def real_rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """A line a corruption, signal and detector: mean delays by severity."""
    rows = []

    def of(outcome: Outcome) -> tuple[str, str, str]:
        return outcome.kind, outcome.signal, outcome.detector

    for (kind, signal, detector), each in groupby(sorted(outcomes, key=of), of):
        graded = list(each)
        if not kind:
            rows.append(row("real", f"no change, {signal}", detector, "", early=1 - graded[0].missed))
            continue
        delays = " ".join("–" if outcome.missed == 1 else f"{outcome.delay:,.0f}" for outcome in graded)
        rows.append(row("real", f"{kind}, {signal}", detector, delays))
    return rows


def weeks_figures(
    seasons: Iterable[drift_weeks.Watched], rises: Iterable[tuple[drift_weeks.Rise, np.ndarray]]
) -> list[Figure]:
    """False alarms over promised, and what share of rises of the error is missed."""
    figures = [Figure(f"false alarms / promised: {each.name}", each.over_promised, 1.0) for each in seasons]
    return figures + [
        Figure(f"missed in {drift_weeks.LONGEST:,} labels: {rise.name}", _share(np.isinf(late)), MISSED)
        for rise, late in rises
    ]


def _share(found: np.ndarray) -> Interval:
    low, high = wilson(int(found.sum()), len(found))
    return Interval(float(found.mean()), low, high, len(found))


def weeks_rows(
    seasons: Iterable[drift_weeks.Watched], rises: Iterable[tuple[drift_weeks.Rise, np.ndarray]]
) -> list[Row]:
    """A line a season: alarms as its run length's column has none; *early* is the share of cameras that alarm in the
    first fifth of their time, of those that alarm. A line a rise: the median delay."""
    rows = [
        row(
            "weeks", each.name, "accuracy", f"{len(each.alarms)} alarms, {each.promised:.1f} promised", early=each.early
        )
        for each in seasons
    ]
    return rows + [
        row("rise", rise.name, "accuracy", "labels", delay=float(np.median(late)), missed=float(np.isinf(late).mean()))
        for rise, late in rises
    ]


def measured_weeks(report: Report, options: Options) -> None:
    """Let a fleet's labels come for weeks, by what services do with them."""
    size = drift_weeks.SHORT if options.short else drift_weeks.LONG if options.long else drift_weeks.FULL
    rules, seasons, rises = Rules(), [], []
    for number, name in enumerate(size.seasons):
        season = drift_weeks.SEASONS[name]
        seasons.append(
            drift_weeks.watched(name, season, rules, cameras=size.cameras, labels=size.labels, seed=SEED + number)
        )
        found, alarms = seasons[-1].over_promised, len(seasons[-1].alarms)
        line = f"{name}: {alarms} alarms, {found.median:.2f} of promised ({found.low:.2f}-{found.high:.2f})"
        options.progress.print(line, style="dim", highlight=False)
    for number, rise in enumerate(size.rises):
        late = drift_weeks.delays(
            rise, rules, cameras=size.changed, seed=SEED + number, learned=size.learned, longest=size.longest
        )
        rises.append((rise, late))
        line = f"{rise.name}: median {np.median(late):,.0f} labels, missed {np.isinf(late).mean():.2f}"
        options.progress.print(line, style="dim", highlight=False)
    report.rows += weeks_rows(seasons, rises)
    report.figures += weeks_figures(seasons, rises)
    report.notes.append(
        f"weeks: {size.cameras} cameras of a fleet of {drift_weeks.FLEET}, {size.labels:,} labels each, rules of drift "
        "as shipped; promised is accuracy's share of one false incident a week; intervals are Poisson's"
    )


def measured_bounds(report: Report, options: Options) -> None:
    """The engine with what it may know of the mean before, beside the oracle."""
    size = drift_bounds.SHORT if options.short else drift_bounds.FULL
    over: dict[str, list[float]] = {name: [] for name in drift_bounds.BOUNDS}
    for number, cell in enumerate(size.cells):
        curves = drift_bounds.curves(cell, size, SEED + number)
        oracle = curves["oracle"].at(size.run_length)[0]
        for name, ratios in over.items():
            delay, missed, early = curves[name].at(size.run_length)
            ratios.append(delay / oracle)
            known = f"{name} bound, {size.learned:,} samples known, {size.change_at:,} before the change"
            report.rows.append(
                row("bounds", cell.name, "esr", known, size.run_length, delay, delay / oracle, missed, early)
            )
        shown = ", ".join(f"{name} {ratios[-1]:.2f}" for name, ratios in over.items())
        options.progress.print(f"{cell.name}: {shown} of the oracle's", style="dim", highlight=False)
    report.figures += [
        Figure(
            f"delay / oracle's, median cell, {name} bound",
            _one(float(np.median(ratios)), len(ratios)),
            MEDIAN_CELL if name in drift_bounds.KNOWN else None,
        )
        for name, ratios in over.items()
    ]


def run(options: Options) -> Report:
    """Measure figures 8 and 9; `--only share` gives the pipeline's share alone, `--only weeks` a fleet's labels."""
    report = Report("drift", machine=harness.machine(("river", "numpy", "onnxruntime")))
    engines = None if {*options.only} & {SHARE, WEEKS, BOUNDS} else _engines(report, options)
    if options.wants(BOUNDS):
        options.progress.print("bounds side by side", style="dim")
        measured_bounds(report, options)
    if options.wants(WEEKS):
        options.progress.print("weeks of labels", style="dim")
        measured_weeks(report, options)
    if options.wants(SHARE):
        options.progress.print("the pipeline's share", style="dim")
        shares = drift_share.measured(options)
        report.rows += share_rows(shares)
        report.figures += drift_share.figures(shares)
    if engines is not None:
        BUILT.joinpath("bench").mkdir(parents=True, exist_ok=True)
        target = BUILT / "bench" / ("drift-short.html" if options.short else "drift.html")
        target.write_text(drift_page.page(report, *engines))
        report.notes.append(f"curves: {target.relative_to(BUILT.parent)}")
    return report


def _engines(report: Report, options: Options) -> tuple[list[Found], list[Null], float]:
    """Run lengths, delays and costs of the engine and the others.

    Returns:
        What the page draws: every change, streams without one, and the run length at which detectors are compared.
    """
    threshold, streams = (SHORT_THRESHOLD, SHORT_STREAMS) if options.short else (THRESHOLD, STREAMS)
    size = drift_cells.SHORT if options.short else drift_cells.FULL

    note = options.progress.print
    note("streams without change", style="dim")
    nulls = drift_nulls.all_nulls(threshold=threshold, rows=streams, seed=SEED)
    cells = measured_cells(options, size)
    by_name = registry_rows(threshold, 2_000 if options.short else 60_000)
    costs = drift_cost.measure(options)
    note("streams of the real model", style="dim")
    real = drift_real.survey(drift_real.SHORT if options.short else drift_real.FULL)
    report.rows = null_rows(nulls, threshold) + cell_rows(cells, size.run_length) + by_name
    report.rows += cost_rows(costs) + real_rows(real)
    report.figures = null_figures(nulls) + cell_figures(cells, size.run_length) + drift_cost.figures(costs)
    report.notes = notes(size, nulls, cells)
    return cells, nulls, size.run_length


def measured_cells(options: Options, size: Size) -> list[Found]:
    """Simulate every change, saying how it goes."""
    chosen = drift_cells.SHORT_CELLS if options.short else drift_cells.CELLS
    detectors = [name for name in drift_river.TUNABLE if options.wants(name)]
    simulation = Simulation(size, SEED, detectors)
    cells = []
    with drift_river.remembered_tests():
        for cell in chosen:
            cells.append(simulation.cell(cell))
            delay = cells[-1].fresh["esr"].at(size.run_length)[0]
            over = delay / cells[-1].fresh["oracle"].at(size.run_length)[0]
            options.progress.print(
                f"{len(cells)}/{len(chosen)} {cell.name}: {delay:,.0f} samples, {over:.2f} of the oracle's", style="dim"
            )
    return cells


def notes(size: Size, nulls: Sequence[Null], cells: Sequence[Found]) -> list[str]:
    """What a reader must know beside the numbers."""
    controls = ", ".join(f"{null.name}: {null.over_nominal.median:.2f} ({null.soon:.0%})" for null in nulls[5:])
    kswin = drift_river.TUNABLE["kswin"]
    assessed = [found for found in cells if found.cell.assessed]
    lost = ", ".join(
        f"{name} {np.mean([is_sooner(found, name, size.run_length, 1.0) for found in assessed]):.2f}"
        for name in dict.fromkeys(name for found in assessed for name in found.settings)
        if any(found.warm[name].at(size.run_length)[2] > MOST_EARLY for found in assessed)
    )
    return [
        f"negative controls, run length over threshold (alarm within a fifth of it): {controls}",
        f"all detectors are compared at a measured run length of {size.run_length:,.0f}; where the column says "
        "another, a detector cannot be tuned to it and is shown at the nearest",
        "run lengths of the engine and the oracle: mean over streams; of river's: samples over alarms on one stream, "
        "because some of them alarm at once or hardly ever. early says how many streams they lost before the change; "
        "those do not count in their delay",
        f"a detector that has alarmed on over {MOST_EARLY:.0%} of the streams before the change is behind; if only the "
        f"streams that it left were counted, esr would be sooner in these shares of cells: {lost or 'none'}",
        f"KSWIN costs some 200 µs an update: {kswin.samples:,} samples for its run length and {kswin.changes} changes, "
        f"where the engine has {size.changes:,}",
        "0.4 → 0.55, Beta 6 is shown and not assessed: a bet on the mean of a steady number cannot exceed 1 / bound, "
        "and HDDM-W can be ahead there. The service watches ranks of such numbers, which are uniform",
        "real: mean delays at severity 1 to 5, on draws with replacement from what the model says of crops; with no "
        f"alarm in {drift_real.LONGEST:,} samples that many count, a dash is none on any stream; ranks of embeddings "
        "are watched upwards, downwards and far out, river's detectors get the rank; river's are those of the "
        "registry, whose run length is not the engine's",
    ]
