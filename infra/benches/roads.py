"""Composed roads, followed and judged: counts against the truth, one track for each vehicle, none where there is none.

Judged on seeds from 1,000 on, which nothing was tuned on. A track follows the vehicle that it covers best in most of
its pictures: intersection over union of a quarter at least, or most of its own box lies in the vehicle's. At night
little but a vehicle's lamps is seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catseye.roads.boxes import Box
from catseye.roads.road import WHOLE, Road, Vehicle
from catseye.video.times import Thinning
from infra.benches import harness
from infra.benches.harness import Options, Report, Row
from infra.local.films import crops
from services.simulator.roads import CONDITIONS, ComposedRoad, Condition

FIRST_SEED: Final = 1_000
SEEDS, SHORT_SEEDS = 20, 1
SECONDS, SHORT_SECONDS = 60.0, 20.0
_COVERS: Final = 0.25
_LIES_IN: Final = 0.7
LIMITS: Final = {"rain": 0.10, "night": 0.10, "leaves": 0.10}
"""How far a count may be off; 0.05 elsewhere."""


class Judged(NamedTuple):
    """One road.

    Attributes:
        true: Vehicles that drove.
        counted: Those that were counted.
        alone: Vehicles that one track followed, and no other.
        false: Tracks of nothing that drives.
    """

    true: int
    counted: int
    alone: int
    false: int


def judged(road: ComposedRoad) -> Judged:
    """Follow a road and hold what was followed against the truth."""
    follower = Road(lambda _picture, _box: b"")
    truth: dict[int, dict[int, Box]] = defaultdict(dict)  # by picture, then vehicle
    ways: dict[int, dict[int, Box]] = defaultdict(dict)  # by track, then picture
    gone: list[Vehicle] = []
    number_at: dict[int, int] = {}
    thinning = Thinning(WHOLE.pictures_per_s)
    for number, shot in enumerate(road.shots()):
        if not thinning.wants(shot.picture.at_s):
            continue
        number_at[shot.picture.captured_at_ms] = number
        truth[number] = {placed.vehicle: Box(*placed.box) for placed in shot.truth}
        gone += follower.take(shot.picture, number)
        for track in follower.now:
            if track.last_picture == number:
                ways[track.number][number] = track.box
    gone += follower.end()
    for vehicle in gone:  # views tell of pictures that were held at first
        for view in vehicle.views:
            ways[vehicle.track.number].setdefault(number_at[view.captured_at_ms], view.box)
    of_vehicle: Counter[int] = Counter()
    false = 0
    driving = {car.number for car in road.driving}
    for vehicle in gone:
        votes: Counter[int] = Counter()
        for number, box in ways[vehicle.track.number].items():
            best = max(truth[number].items(), key=lambda each: _likeness(box, each[1]), default=None)
            if best is not None and _likeness(box, best[1]) >= _COVERS:
                votes[best[0]] += 1
        followed = votes.most_common(1)
        if followed and followed[0][0] in driving:
            of_vehicle[followed[0][0]] += 1
        else:
            false += 1
    return Judged(len(driving), len(gone), sum(count == 1 for count in of_vehicle.values()), false)


def _likeness(box: Box, true: Box) -> float:
    """Intersection over union; at least what counts where most of *box* lies in what is true."""
    overlap = box.overlap(true)
    return max(overlap, _COVERS) if box.shared(true) >= _LIES_IN * box.area else overlap


def run(options: Options) -> Report:
    """Judge all conditions; no broker takes part."""
    report = Report("roads", machine=harness.machine(("opencv-python-headless", "numpy")))
    _, vehicles = crops()
    seeds, seconds = (SHORT_SEEDS, SHORT_SECONDS) if options.short else (SEEDS, SECONDS)
    for condition in CONDITIONS:
        if options.wants(condition):
            row = of_condition(condition, vehicles, range(FIRST_SEED, FIRST_SEED + seeds), seconds)
            report.rows.append(row)
            options.progress.print(sentence(row))
            report.notes.append(sentence(row))
    return report


def of_condition(condition: Condition, vehicles: list[NDArray[np.uint8]], seeds: range, seconds: float) -> Row:
    """All roads of one condition together."""
    found = [judged(ComposedRoad(vehicles, seed, condition, seconds)) for seed in seeds]
    true, counted, alone, false = (sum(column) for column in zip(*found, strict=True))
    return {
        "side": condition,
        "true": true,
        "counted": counted,
        "off": abs(counted - true) / max(true, 1),
        "one_id": alone / true if true else 1.0,
        "false_an_hour": false * 3_600 / (seconds * len(found)),
        "least": LIMITS.get(condition, 0.05),
    }


def sentence(row: Row) -> str:
    """A row for people."""
    return (
        f"{row['side']}: {row['counted']} counted of {row['true']}, off by {float(row['off']):.1%} "
        f"(at most {float(row['least']):.0%}); one track for {float(row['one_id']):.1%}; "
        f"{float(row['false_an_hour']):.1f} false an hour"
    )
