"""`infra.benches.fleet`: its short form runs, its road is what it says, and what it counts is counted rightly."""

import io

import numpy as np
import pytest
from rich.console import Console

from infra.benches import fleet as bench
from infra.benches.fleet_changes import CHANGES, drawn
from infra.benches.fleet_road import CLASSES, DAY_MIN, Road
from infra.benches.harness import Options
from services.drift.fault_rules import ALARMS


@pytest.mark.slow
def test_the_short_form_watches_a_fleet_with_and_without_changes() -> None:
    """One row for the quiet fleet, one a change and one for what happened beside them, and those of the cost."""
    report = bench.run(Options(short=True, progress=Console(file=io.StringIO())))
    sides = [row["side"] for row in report.rows]
    assert sides == ["quiet", *(["fault"] * 10), *(["drift"] * 10), "beside changes", "cost", "cost"]
    assert [figure.target for figure in report.figures] == [1.0, 1.0, 1.0, 1.0, 1.1, 1.0, 1.14]
    assert all({*row} == {*report.rows[0]} for row in report.rows)


@pytest.mark.slow
def test_plain_faults_are_found_on_their_camera() -> None:
    """Black, white, covered, frozen, clock, silent, and missing labels: rules that need no reference."""
    plain = [change for change in CHANGES if change.name in _PLAIN]
    story = bench.played(5, bench.SHORT, {4 * row: change for row, change in enumerate(plain)})
    rows = bench.rows_of_changes(story)
    assert [row["what"] for row in rows if row["right"] == "yes"] == list(_PLAIN)


@pytest.mark.slow
def test_an_alert_of_a_camera_to_which_nothing_happened_counts_as_false() -> None:
    """Negative control: the same story without knowledge of what was done has false incidents."""
    black = next(change for change in CHANGES if change.name == "black")
    story = bench.played(5, bench.SHORT, {4: black})
    kinds = {alert.kind for alert in story.false_incidents(0).values()}
    assert "camera_black" not in kinds
    story.happened.clear()
    assert "camera_black" in {alert.kind for alert in story.false_incidents(0).values()}


def test_the_road_has_the_errors_that_it_says_and_its_confidence_is_calibrated() -> None:
    """Over five days: as many wrong answers as each camera's share has it, and as confidence promises."""
    road = Road(np.random.default_rng(1), 100, 600_000)
    wrong, answers, confidence, labels = np.zeros(100), np.zeros(100), 0.0, 0
    for _ in range(5 * DAY_MIN // 10):
        road.frames()
        came = road.labels()
        wrong[came.rows] += came.loss
        answers[came.rows] += 1
        confidence += float(came.confidence.sum())
        labels += len(came.rows)
    assert float(wrong.sum()) / labels == pytest.approx(1 - confidence / labels, abs=0.01)
    assert (wrong / answers).mean() == pytest.approx(road.errors.mean(), rel=0.3)
    assert 0.01 < float((wrong / answers).min()) < float((wrong / answers).max()) < 0.2


def test_nobody_s_night_is_black_and_every_day_is_day() -> None:
    """What is dark enough to be a fault, or so light at night that there is none, is not what these cameras see."""
    road = Road(np.random.default_rng(1), 100, 600_000)
    light = np.concatenate([road.frames()[0].ranked[:, 0] for _ in range(DAY_MIN // 10)])
    assert 0.05 < float(light.min()) < 0.1
    assert 0.3 < float(light.max()) < 0.95
    assert 0.3 < float((light >= 0.18).mean()) < 0.7


def test_changes_get_a_camera_each() -> None:
    """All twenty, on twenty cameras; and their kinds are ones that are said."""
    at = drawn(np.random.default_rng(0), 20)
    assert sorted(at) == list(range(20))
    assert [*at.values()] == list(CHANGES)
    reported = {*ALARMS, "camera_moved", "class_mix", "concept"}
    assert all({*change.kinds} <= reported for change in CHANGES)
    assert len(CLASSES) == 6


@pytest.mark.parametrize(("incidents", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)])
def test_the_interval_of_a_count_is_poisson_s(incidents: int, low: float, high: float) -> None:
    """Against the table of Garwood (1936)."""
    interval = bench.a_week(incidents, 1.0, 1)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-3)


_PLAIN = ("frozen", "black", "white", "covered", "clock ten minutes ahead", "silent", "labels missing")
