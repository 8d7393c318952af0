"""Months of a fleet's labels: they are what they are called, and broken promises are seen."""

import io

import numpy as np
import pytest
from rich.console import Console

from infra.benches import drift
from infra.benches.drift_weeks import (
    DAY_MS,
    ERROR,
    MINUTE_MS,
    SEASONS,
    WEEK_MS,
    Rise,
    Watched,
    delays,
    watched,
)
from infra.benches.harness import Options
from services.drift.rules import Rules

HASTY = Rules(reference_samples=100, reference_span_ms=0, false_per_week=1e9)
"""As little is learned as may be, and the threshold is at its least."""


@pytest.mark.parametrize("name", SEASONS)
def test_labels_of_a_season_are_what_it_says(name: str) -> None:
    """Zeros and ones at the mean that it names, over whole weeks; labels come in order."""
    season, cameras = SEASONS[name], 60
    numbers = np.arange(int(3 * WEEK_MS / season.every_ms))[:: max(1, int(3_600_000 / season.every_ms / 4))]
    batched = season.batch > 1 or "real" in name
    numbers = np.arange(3 * season.batch * 168 // max(season.batch, 1)) if "real" in name else numbers
    numbers = np.arange(3 * season.batch) if season.batch > 1 else numbers
    wrong, classes = season.make(np.random.default_rng(1), cameras)(numbers)
    assert wrong.shape == classes.shape == (len(numbers), cameras)
    assert {*np.unique(wrong)} <= {0.0, 1.0}
    expected = {"1 %": 0.01, "40 %": 0.40}.get(name.rpartition(", ")[2], 0.40 if "real" in name else ERROR)
    assert wrong.mean() == pytest.approx(expected, rel=0.15 if batched else 0.25)
    assert (np.diff(season.at_ms(numbers)) > 0).all()


def test_a_batch_comes_at_once_and_sorted() -> None:
    """One a day; classes in their order."""
    season = SEASONS["daily batches of 200 sorted by class"]
    numbers = np.arange(400)
    at_ms = season.at_ms(numbers)
    assert (at_ms[199] - at_ms[0], at_ms[200] - at_ms[0]) == (199_000, DAY_MS)
    _, classes = season.make(np.random.default_rng(2), 5)(numbers)
    for batch in (classes[:200], classes[200:]):
        assert (np.diff(batch, axis=0) >= 0).all()


def test_a_day_has_one_rate_and_the_next_another() -> None:
    """Means of days vary more than those of independent labels do."""
    season = SEASONS["each day its rate, Beta(10, 190), 1,000 a day"]
    wrong, _ = season.make(np.random.default_rng(3), 50)(np.arange(5_000))
    days = wrong.reshape(5, 1_000, 50).mean(axis=1)
    assert days.var() / (ERROR * (1 - ERROR) / 1_000) == pytest.approx(1 + 999 / 201, rel=0.3)


@pytest.mark.slow
def test_alarms_are_counted_beside_what_is_promised() -> None:
    """Negative control: a camera that has hardly learned anything alarms more often than it may."""
    season = SEASONS["weekly sine ±60 %, a label in 4.3 min"]
    found = watched("sine", season, HASTY, cameras=40, labels=3_000, seed=1)
    weeks = 3_000 * 4.3 * MINUTE_MS / WEEK_MS
    assert found.promised == pytest.approx(1e9 * weeks / 5 * 40 / 500)
    assert len(found.alarms) > 5
    assert found.alarms == sorted(found.alarms, key=lambda alarm: (alarm[1], alarm[0]))
    careful = watched("sine", season, Rules(reference_samples=100, reference_span_ms=0), cameras=40, labels=600, seed=1)
    assert len(careful.alarms) < len(found.alarms)


def test_early_alarms_are_those_of_the_first_fifth() -> None:
    """The first alarm of a camera counts; without any there is no share."""
    found = Watched("", [(1, 150), (2, 900), (1, 950)], 3, 1_000, 1.0, 100)
    assert found.early == 0.5
    assert np.isnan(Watched("", [], 3, 1_000, 1.0, 100).early)
    assert (found.over_promised.median, found.over_promised.low < 1) == (3, True)


def test_a_rise_is_found_after_it_came() -> None:
    """And counts as missed where it was not, or where there was an alarm before."""
    late = delays(Rise(0.02, 0.5), HASTY, cameras=5, seed=1, learned=300, longest=200)
    assert ((late >= 1) & (late <= 100)).all()
    assert np.isinf(delays(Rise(0.02, 0.02), Rules(), cameras=2, seed=1, learned=50, longest=50)).all()


def test_weeks_alone_can_be_measured() -> None:
    """A row and a figure for each season and each rise."""
    report = drift.run(Options(short=True, only=("weeks",), progress=Console(file=io.StringIO())))
    assert [row["part"] for row in report.rows] == ["weeks", "rise"]
    assert len(report.figures) == 2


def test_bounds_stand_side_by_side() -> None:
    """What is learned is later than what is true, and a tolerance for small changes is later still."""
    report = drift.run(Options(short=True, only=("bounds",), progress=Console(file=io.StringIO())))
    assert [str(row["setting"]).split()[0] for row in report.rows] == ["true", "learned", "shipped"]
    assert len(report.figures) == 3
