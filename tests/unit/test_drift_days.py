"""Days of labels: how much more they vary than chance, how many labels are gathered for that, and what is usual now."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.benches.drift_weeks import Season, raised
from infra.benches.drift_weeks import days as days_of
from services.drift import days
from services.drift.days import DAY_MS, FEWEST
from services.drift.layout import NARROWEST
from services.drift.rules import Rules
from tests.simulation.eight_classes import REFERENCE

ROWS = np.zeros(1, np.int64)
DAY = np.ones(1, np.int64)
CALM, EXCITED = np.ones(1, bool), np.zeros(1, bool)
RULES = Rules()


def camera() -> tuple[NDArray[Any], NDArray[Any]]:
    """What one camera has learned, nothing yet, and its days."""
    return np.zeros(1, REFERENCE), np.zeros(1, NARROWEST.days)


def come(by_day: NDArray[Any], day: int, wrong: int, labels: int) -> None:
    """Labels of a day, after those of the days before."""
    days.turn(by_day, ROWS, np.array([day * DAY_MS]))
    for number in range(labels):
        loss = np.array([number < wrong], np.float32)
        days.take(by_day, ROWS, DAY, loss, np.ones(1, np.float32))


def learn(known: NDArray[Any], by_day: NDArray[Any], day: int, calm: NDArray[np.bool_] = CALM) -> bool:
    """The day before is over; whether what waits was taken as usual."""
    days.turn(by_day, ROWS, np.array([day * DAY_MS]))
    due = bool(days.may_learn(known, by_day, ROWS, calm)[0])
    if due:
        days.learn(known, by_day, ROWS, calm, RULES)
    return due


def lived(rates: list[int], labels: int = 200) -> tuple[NDArray[Any], NDArray[Any]]:
    """A camera after days of so many wrong answers each."""
    known, by_day = camera()
    for day, wrong in enumerate(rates, 1):
        come(by_day, day, wrong, labels)
        learn(known, by_day, day + 1)
    return known, by_day


def test_a_days_labels_are_its_own_until_it_is_over() -> None:
    """Then they wait, and while a reference grows they are usual at once."""
    known, by_day = camera()
    come(by_day, 5, 10, 200)
    assert not days.may_learn(known, by_day, ROWS, CALM)[0]
    assert learn(known, by_day, 6)
    assert by_day["usual"][0, 1].item() == (200, 10, 0.5, 1)
    assert by_day["today"]["weights"][0, 1] == by_day["recent"]["weights"][0, 1] == 0
    assert not days.turn(by_day, ROWS, np.array([6 * DAY_MS]))[0]


def test_days_that_differ_by_chance_are_gathered_little() -> None:
    """And those that differ more the longer, though never beyond a day."""
    known, by_day = lived([10, 12, 7, 9, 13, 8, 11, 10, 9, 12])
    assert by_day["day_inflation"][0] == pytest.approx(1, abs=0.3)
    assert known["day_lag"][0] <= 2
    wild, by_day = lived([0, 40, 2, 1, 30, 0, 3, 25, 0, 1])
    assert by_day["day_inflation"][0] > 20
    assert 100 < wild["day_lag"][0] <= 200


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_of_few_days_nothing_is_claimed(count: int) -> None:
    """An inflation of one, no lag, and no usual loss of its own."""
    known, by_day = lived([0, 40, 2, 1][:count])
    assert (by_day["day_inflation"][0], known["day_lag"][0]) == (1, 0)
    assert days.usual(by_day, ROWS, DAY)[1][0] == 0


def test_a_model_that_is_never_wrong_has_no_inflation() -> None:
    """Nor one that is wrong always."""
    for wrong in (0, 200):
        known, by_day = lived([wrong] * 8)
        assert (by_day["day_inflation"][0], known["day_lag"][0]) == (1, 0)


def test_a_week_of_independent_labels_is_covered_by_the_interval() -> None:
    """Its upper end lies under one in one camera of twenty, as it says; and not at ten times that."""
    rng = np.random.default_rng(3)
    losses = rng.binomial(500, 0.05, (4_000, 7)).astype(float)
    sums = np.zeros(4_000, NARROWEST.days["usual"].base)
    sums["weights"], sums["losses"], sums["days"] = 3_500, losses.sum(axis=1), 7
    sums["squares"] = (losses**2 / 500).sum(axis=1)
    found = days.inflation(sums)
    assert (found <= 1).mean() == pytest.approx(0.05, abs=0.02)
    assert np.median(found) < 5


def test_after_the_reference_is_whole_new_days_wait() -> None:
    """Until they are a quarter of what is known, and while something seems to have changed."""
    known, by_day = lived([10] * 8)
    known["labels_closed"][0, 1] = 1
    come(by_day, 9, 20, 200)
    assert not learn(known, by_day, 10)
    come(by_day, 10, 20, 200)
    assert not learn(known, by_day, 11, EXCITED)
    assert by_day["usual"]["weights"][0, 1] == 1_600
    assert learn(known, by_day, 12)
    mean, labels = days.usual(by_day, ROWS, DAY)
    assert (labels[0], mean[0]) == (2_000, pytest.approx(120 / 2_000))


def test_what_came_before_an_alarm_is_not_usual() -> None:
    """What waits is dropped, what is known stays; to begin again is to know nothing."""
    _, by_day = lived([10] * 8)
    come(by_day, 9, 150, 200)
    come(by_day, 10, 150, 200)
    days.drop_recent(by_day, 0)
    assert by_day["recent"]["weights"][0, 1] == by_day["today"]["weights"][0, 1] == 0
    assert by_day["usual"]["weights"][0, 1] == 1_600
    days.forget(by_day, 0)
    assert by_day.tobytes() == bytes(by_day.nbytes)


@pytest.mark.slow
def test_days_with_rates_of_their_own_alarm_less_than_without_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the same labels of the same fleet, with days that nobody looks at."""
    season = Season(partial(days_of, a_day=200, concentration=20), DAY_MS / 200)
    rules = Rules(false_per_week=1_000)
    counted = len(raised(season, rules, cameras=20, labels=3_500, seed=5)[0])
    monkeypatch.setattr(days, "FEWEST", 10**6)
    unseen = len(raised(season, rules, cameras=20, labels=3_500, seed=5)[0])
    assert 2 * counted < unseen
