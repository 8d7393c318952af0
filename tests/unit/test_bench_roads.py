"""Composed roads: the truth is what is drawn, and the judge finds what a follower gets wrong."""

import numpy as np
import pytest

from infra.benches import roads
from infra.benches.harness import Row
from infra.local.films import crops
from services.simulator.roads import HEIGHT, WIDTH, ComposedRoad


@pytest.mark.slow
def test_the_truth_lies_where_the_vehicles_are_drawn() -> None:
    """A road is the same from the same seed; where a vehicle stands the picture differs from the empty road."""
    vehicles = crops()[1]
    road, again = (ComposedRoad(vehicles, 3, "clear", 16.0) for _ in range(2))
    shots = [*road.shots()]
    assert all(
        np.array_equal(one.picture.luma, other.picture.luma) for one, other in zip(shots, again.shots(), strict=True)
    )
    empty = shots[0].picture.luma.astype(int)
    shot = next(shot for shot in shots if shot.truth and shot.truth[0].box[2] > 0.12 and shot.truth[0].box[1] < 0.6)
    left, top, wide, high = shot.truth[0].box
    part = np.s_[round(top * HEIGHT) : round((top + high) * HEIGHT), round(left * WIDTH) : round((left + wide) * WIDTH)]
    changed = np.abs(shot.picture.luma.astype(int) - empty) > 20
    assert changed[part].mean() > 0.3
    changed[part] = False
    assert changed.mean() < 0.01
    assert {placed.vehicle for shot in shots for placed in shot.truth} == {car.number for car in road.driving}


@pytest.mark.slow
def test_a_clear_road_is_counted_and_a_row_says_how_well() -> None:
    """Each vehicle once, by one track; a row that is off says so."""
    road = ComposedRoad(crops()[1], 0, "clear", 20.0)
    found = roads.judged(road)
    assert (found.true, found.counted, found.alone, found.false) == (len(road.driving),) * 3 + (0,)
    assert found.true > 0
    row: Row = {"side": "rain", "true": 10, "counted": 9, "off": 0.1, "one_id": 0.9, "false_an_hour": 0.0, "least": 0.1}
    assert roads.sentence(row) == (
        "rain: 9 counted of 10, off by 10.0% (at most 10%); one track for 90.0%; 0.0 false an hour"
    )


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["stop", "parked"])
def test_what_stops_counts_once_and_what_is_parked_never(condition: str) -> None:
    """In traffic, and beside the road."""
    road = ComposedRoad(crops()[1], 0, condition, 40.0)  # type: ignore[arg-type]
    found = roads.judged(road)
    assert (found.counted, found.false) == (len(road.driving), 0)


@pytest.mark.slow
def test_a_road_that_has_begun_counts_those_that_are_on_it() -> None:
    """The first of them are in the first picture."""
    road = ComposedRoad(crops()[1], 2, "begun", 20.0)
    assert next(iter(road.shots())).truth
    found = roads.judged(road)
    assert (found.counted, found.alone, found.false) == (len(road.driving), len(road.driving), 0)
