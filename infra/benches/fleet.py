"""A fleet in virtual time: how often drift says something of 500 cameras to which nothing happens, and whether it says
the right thing of the right camera when something does; and figure 13, what a frame costs in a fleet of any size.

The production code does the watching, from columns on: watcher, absences, reports, and incidents, which are what is
counted. Four weeks; references of 1,000 frames a phase close in the first, or soon after on the slowest cameras; the
other three are counted. The road and its cameras: `fleet_road`. What happens to them: `fleet_changes`.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from catseye.contract.records import Alert
from infra.benches import fleet_cost, harness
from infra.benches.fleet_changes import LAMP, Change, drawn, lit
from infra.benches.fleet_road import CLASSES, DAY_MIN, TICK_MS, Road
from infra.benches.harness import Figure, Interval, Options, Report, Row
from services.drift import absences, renewal
from services.drift.alarms import was_blind
from services.drift.cameras import Cameras, Version
from services.drift.outcomes import Outcomes
from services.drift.report import report as camera_report
from services.drift.rules import Rules
from services.drift.watcher import Watcher
from services.incidents.core import IncidentsCore
from services.incidents.rules import Rules as IncidentRules

SEEDS, SEEDS_LONG, SEEDS_CHANGED = 4, 20, 2
_COMMIT_TICKS = 60

_Played = TypeVar("_Played")


@dataclass(frozen=True)
class Plan:
    """What one run is.

    Attributes:
        cameras: How many.
        days: Of virtual time.
        learning_days: The first so many are not counted.
        tick_ms: Time between two frames of the fastest cameras; the slowest have a quarter as many.
        rules: Of drift.
    """

    cameras: int = 500
    days: int = 28
    learning_days: int = 7
    tick_ms: int = TICK_MS
    rules: Rules = field(default_factory=Rules)

    @property
    def weeks(self) -> float:
        """Weeks that count."""
        return (self.days - self.learning_days) / 7

    def tick(self, day: float) -> int:
        """Number of the tick at which a day begins."""
        return round(day * DAY_MIN * 60_000 / self.tick_ms)


SHORT = Plan(
    cameras=50,
    days=4,
    learning_days=2,
    tick_ms=600_000,
    rules=Rules(reference_samples=60, reference_span_ms=3 * 86_400_000),
)


class Fleet:
    """Cameras and what watches them.

    Args:
        seed: Of all chance.
        plan: Size and rules.
    """

    def __init__(self, seed: int, plan: Plan) -> None:
        self.road = Road(np.random.default_rng(seed), plan.cameras, plan.tick_ms)
        self.cameras = Cameras()
        self.table = self.cameras.table
        self.frames = 0
        self.cpu_ns = 0
        self._rules = replace(plan.rules, fleet_cameras=plan.cameras)
        self._watcher = Watcher(self._rules)
        self._incidents = IncidentsCore(IncidentRules(reopen_ms=0))  # each opening counts
        self._known = self._incidents.new_state()
        self.cameras.knows(1, Version("road", "v1", CLASSES))
        for camera in range(plan.cameras):
            row = self.cameras.row(f"camera-{camera:03}")
            renewal.renew(self.table, row, 1, self.road.now_ms)
            if camera % 2 == 0:
                self.table.keep_slots(row, ("temperature",))
        self.cameras.commit()

    def tick(self) -> list[Alert]:
        """Let a tick pass; returns what people are told."""
        table, road = self.table, self.road
        seen, refused = road.frames()
        labels = road.labels()
        began_ns = time.process_time_ns()
        changed = self._watcher.frames(table, seen) if len(seen.rows) else set()
        if len(labels.rows):
            changed |= self._watcher.labels(table, labels, self._counts(labels))
        for row in refused.tolist():
            changed |= absences.refused(table, row, "bad_jpeg", road.now_ms)
        now_ms = np.full(len(self.cameras), road.now_ms)
        changed |= absences.evaluate(table, self.cameras.rows, now_ms, now_ms)
        self.cpu_ns += time.process_time_ns() - began_ns
        self.frames += len(seen.rows)
        if road.tick % _COMMIT_TICKS == 0:
            self.cameras.commit()
        # Every camera reports now and then, as it does with its statistics.
        alerts: list[Alert] = []
        for row in sorted(changed | {road.tick % len(self.cameras)}):
            report = camera_report(table, row, self._rules, road.now_ms, ("frames.accepted", 0))
            alerts += self._incidents.on_camera_report(report, None, self._known, road.now_ms)
        return alerts

    def _counts(self, labels: Outcomes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Labels of frames that showed the road, as `DriftCore` tells them."""
        return np.asarray(~was_blind(self.table.watch, labels.rows, labels.received_ms))


@dataclass(frozen=True)
class Happened:
    """A change on a camera, and where its clock stood.

    Attributes:
        change: What was done.
        tick: When.
        at_ms: The same, event time.
        frames, labels: What had come of the camera till then.
    """

    change: Change
    tick: int
    at_ms: int = 0
    frames: int = 0
    labels: int = 0


@dataclass
class Story:
    """What a run gave.

    Attributes:
        alerts: Newest record of each alert.
        counts: Frames and labels of its camera when each alert opened.
        happened: Changes by camera.
        fleet: As it was at the end.
    """

    alerts: dict[str, Alert]
    counts: dict[str, tuple[int, int]]
    happened: dict[str, Happened]
    fleet: Fleet

    def false_incidents(self, from_ms: int) -> dict[str, Alert]:
        """One alert of each incident that opened after a moment on a camera to which nothing had happened."""
        return {
            alert.incident_id: alert
            for alert in self.alerts.values()
            if alert.opened_at_ms >= from_ms and not self._is_of_change(alert)
        }

    def _is_of_change(self, alert: Alert) -> bool:
        change = self.happened.get(alert.camera or "")
        return change is not None and alert.opened_at_ms >= change.at_ms


def played(seed: int, plan: Plan, changes: Mapping[int, Change]) -> Story:
    """Let a fleet live.

    Args:
        seed: Of all chance.
        plan: Size and time.
        changes: By camera; each happens at a moment of its own in the first third after learning or so.
    """
    fleet = Fleet(seed, plan)
    rng = np.random.default_rng((seed, 1))
    learned, end = plan.tick(plan.learning_days), plan.tick(plan.days)
    first, last = learned + (end - learned) // 7, learned + (end - learned) // 2
    happened = {camera: Happened(change, int(rng.integers(first, last))) for camera, change in changes.items()}
    for camera, change in changes.items():
        if change.name == LAMP:
            lit(fleet.road, camera)
    at_tick: dict[int, list[int]] = {}
    for camera, each in happened.items():
        at_tick.setdefault(each.tick, []).append(camera)
    alerts: dict[str, Alert] = {}
    counts: dict[str, tuple[int, int]] = {}
    for tick in range(end):
        for camera in at_tick.get(tick, ()):
            watch = fleet.table.watch[camera]
            changes[camera].done(fleet.road, camera)
            happened[camera] = Happened(
                changes[camera], tick, fleet.road.now_ms, int(watch["frames"]), int(watch["labels"])
            )
        for alert in fleet.tick():
            if alert.alert_id not in alerts and alert.camera:
                watch = fleet.table.watch[fleet.cameras.row(alert.camera)]
                counts[alert.alert_id] = int(watch["frames"]), int(watch["labels"])
            alerts[alert.alert_id] = alert
    return Story(alerts, counts, {fleet.table.names[camera]: each for camera, each in happened.items()}, fleet)


def a_week(incidents: int, weeks: float, seeds: int) -> Interval:
    """Incidents a week with the exact 95 % interval of a Poisson mean (Garwood 1936)."""
    low = _mean_at(incidents - 1, 0.975) if incidents else 0.0
    return Interval(incidents / weeks, low / weeks, _mean_at(incidents, 0.025) / weeks, seeds)


def _mean_at(count: int, share: float) -> float:
    """The Poisson mean with which *count* or fewer come with probability *share*."""
    low, high = 0.0, 10.0 * (count + 10)
    for _ in range(100):
        mean = (low + high) / 2
        chance = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (mean, high) if chance > share else (low, mean)
    return low


def row_of(side: str, what: str, **more: float | str) -> Row:
    """A raw row; all have the same columns."""
    columns = ("camera", "alerts", "right", "incidents", "delay_h", "frames", "labels", "cpu_us")
    return {"side": side, "what": what} | {column: more.get(column, "") for column in columns}


def rows_of_changes(story: Story) -> list[Row]:
    """How each change was found: what was said of its camera, in order, and when the right kind was."""
    rows = []
    for camera, each in story.happened.items():
        alerts = sorted(
            (alert for alert in story.alerts.values() if alert.camera == camera and alert.opened_at_ms >= each.at_ms),
            key=lambda alert: alert.opened_at_ms,
        )
        right = [alert for alert in alerts if alert.kind in each.change.kinds]
        more: dict[str, float | str] = {
            "camera": camera,
            "alerts": " > ".join(dict.fromkeys(f"{alert.kind} ({alert.signal})" for alert in alerts)) or "nothing",
            "right": "yes" if right else "no",
        }
        if alerts:
            first = (right or alerts)[0]
            frames, labels = story.counts[first.alert_id]
            more |= {
                "delay_h": (first.opened_at_ms - each.at_ms) / 3_600_000,
                "frames": frames - each.frames,
                "labels": labels - each.labels,
            }
        rows.append(row_of(each.change.sort, each.change.name, **more))
    return rows


def row_of_quiet(side: str, seed: int, story: Story, plan: Plan) -> tuple[Row, int]:
    """False incidents of a run: a row that says which, and how many."""
    from_ms = story.fleet.road.now_ms - (plan.tick(plan.days) - plan.tick(plan.learning_days)) * plan.tick_ms
    false = story.false_incidents(from_ms)
    kinds = Counter(f"{alert.kind}: {alert.signal}" for alert in false.values())
    alerts = ", ".join(f"{kind} × {count}" for kind, count in kinds.most_common()) or "nothing"
    cost = story.fleet.cpu_ns / 1e3 / max(story.fleet.frames, 1)
    frames = float(story.fleet.frames)
    row = row_of(side, f"seed {seed}", alerts=alerts, incidents=float(len(false)), frames=frames, cpu_us=cost)
    return row, len(false)


def run(options: Options) -> Report:
    """Measure; `--pairs` says how many seeds, `--only` which of quiet, changes and cost."""
    plan = SHORT if options.short else Plan()
    seeds, changed = _seeds(options)
    report = Report("fleet", machine=harness.machine(("numpy",)))
    if options.wants("quiet"):
        report.figures.append(_quiet(plan, range(seeds), report.rows, options))
    if options.wants("changes"):
        report.figures += _changes(plan, range(1_000, 1_000 + changed), report.rows, options)
    if options.wants("cost"):
        figures, rows, notes = fleet_cost.measured(options)
        report.figures += figures
        report.rows += [row_of("cost", str(row["side"]), frames=row["frames"], cpu_us=row["cpu_us"]) for row in rows]
        report.notes += notes
    report.notes.append(
        f"{plan.cameras} cameras, {plan.days} days each seed, the last {plan.days - plan.learning_days} counted; a "
        f"frame of each camera every {plan.tick_ms / 60_000:g} to {4 * plan.tick_ms / 60_000:g} minutes; references of "
        f"{plan.rules.reference_samples} frames a phase; intervals of incidents a week are Poisson's"
    )
    return report


def _seeds(options: Options) -> tuple[int, int]:
    """How many quiet fleets, and how many in which something happens."""
    if options.pairs:
        return options.pairs, options.pairs
    if options.short:
        return 1, 1
    return (SEEDS_LONG, SEEDS_LONG) if options.long else (SEEDS, SEEDS_CHANGED)


@contextmanager
def _side_by_side(play: Callable[[int], _Played], seeds: Sequence[int]) -> Iterator[Iterator[_Played]]:
    """What *play* gives of each seed, in order; a process a core, since no figure of a seed is a time of day."""
    pool = ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool.map(play, seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _played_quiet(plan: Plan, seed: int) -> tuple[Row, int]:
    """A fleet to which nothing happens."""
    return row_of_quiet("quiet", seed, played(seed, plan, {}), plan)


def _played_changes(plan: Plan, seed: int) -> tuple[list[Row], Row, int]:
    """A fleet with ten faults and ten drifts: how each was found, and what was said of the others."""
    story = played(seed, plan, drawn(np.random.default_rng((seed, 2)), plan.cameras))
    return rows_of_changes(story), *row_of_quiet("beside changes", seed, story, plan)


def _quiet(plan: Plan, seeds: Sequence[int], rows: list[Row], options: Options) -> Figure:
    """Nothing happens to anybody."""
    incidents = 0
    with _side_by_side(partial(_played_quiet, plan), seeds) as played:
        for seed, (row, count) in zip(seeds, played, strict=True):
            rows.append(row)
            incidents += count
            line = f"quiet, seed {seed}: {count} incidents, {row['alerts']}"
            options.progress.print(line, style="dim", highlight=False)
    interval = a_week(incidents, plan.weeks * len(seeds), len(seeds))
    return Figure(f"false incidents a week, {plan.cameras} cameras", interval, 1.0)


def _changes(plan: Plan, seeds: Sequence[int], rows: list[Row], options: Options) -> list[Figure]:
    """Ten faults and ten drifts among them."""
    incidents, found = 0, []
    with _side_by_side(partial(_played_changes, plan), seeds) as played:
        for seed, (its_changes, row, count) in zip(seeds, played, strict=True):
            found += its_changes
            rows += [*its_changes, row]
            incidents += count
            missed = ", ".join(f"{each['what']}: {each['alerts']}" for each in its_changes if each["right"] != "yes")
            line = f"seed {seed}: not reported as what they are: {missed or 'none'}; {count} incidents elsewhere"
            options.progress.print(line, style="dim", highlight=False)
    figures = []
    for sort in ("fault", "drift"):
        right = [float(row["right"] == "yes") for row in found if row["side"] == sort]
        share = harness.ratio([sum(right)], [len(right)])
        name = f"{sort}s found, right camera, right kind"
        figures.append(Figure(name, replace(share, n=len(right)), 1.0, at_most=False))
    interval = a_week(incidents, plan.weeks * len(seeds), len(seeds))
    return [*figures, Figure("false incidents a week beside them", interval, 1.0)]
