"""Days of labels: how much more they vary than chance, how many labels are gathered for that, and what is usual now."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.benches.drift_weeks import Season, raised
from infra.benches.drift_weeks import days as days_of
from services.drift import days
from services.drift.cameras import Cameras
from services.drift.days import DAY_MS, FEWEST
from services.drift.layout import NARROWEST
from services.drift.outcomes import Outcomes
from services.drift.rules import Rules
from services.drift.watcher import Watcher
from tests.simulation.eight_classes import REFERENCE

ROWS = np.zeros(1, np.int64)
NIGHT, DAY = np.zeros(1, np.int64), np.ones(1, np.int64)
CALM, EXCITED = np.ones(1, bool), np.zeros(1, bool)


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
        days.learn(known, by_day, ROWS, calm)
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


def test_days_that_differ_by_chance_have_no_spread() -> None:
    """And those whose rates are their own have the one that these vary by: of a Beta distribution of concentration 7
    or so."""
    _, by_day = lived([10, 12, 7, 9, 13, 8, 11, 10, 9, 12])
    assert by_day["day_inflation"][0] == 1
    assert by_day["day_spread"][0] < 1 / 1_000
    _, by_day = lived([0, 40, 2, 1, 30, 0, 3, 25, 0, 1])
    assert by_day["day_inflation"][0] > 20
    assert 1 / 10 < by_day["day_spread"][0] < 1 / 3


def test_a_bad_day_is_expected_as_far_as_days_differ() -> None:
    """What its labels show raises the bound of the next ones; a good day lowers none, nor does a day of nobody."""
    bound = np.array([[np.nan, 0.05]], np.float32)
    _, by_day = lived([0, 40, 2, 1, 30, 0, 3, 25, 0, 1])
    spread = float(by_day["day_spread"][0])
    assert days.today(by_day, ROWS, bound)[0] == 1
    come(by_day, 11, 20, 50)  # eight times as often wrong as usual
    assert days.today(by_day, ROWS, bound)[0] == pytest.approx((1 / spread + 50 * 8) / (1 / spread + 50), rel=1e-4)
    assert days.today(by_day, ROWS, np.full((1, 2), np.nan, np.float32))[0] == 1
    come(by_day, 12, 0, 50)
    assert days.today(by_day, ROWS, bound)[0] == 1


def test_of_days_that_are_alike_a_bad_one_is_no_excuse() -> None:
    """However many of its labels were wrong."""
    _, by_day = lived([10, 10, 10, 10, 10, 10, 10, 10])
    come(by_day, 9, 50, 50)
    assert days.today(by_day, ROWS, np.full((1, 2), 0.05, np.float32))[0] == 1


def test_labels_that_come_together_are_gathered() -> None:
    """Eight of them, or as many as come in a day."""
    assert (lived([10] * 8)[0]["day_lag"][0], lived([1] * 8, labels=3)[0]["day_lag"][0]) == (8, 3)


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_of_few_days_nothing_is_claimed(count: int) -> None:
    """An inflation of one, no spread, no lag, and no usual loss of its own."""
    known, by_day = lived([0, 40, 2, 1][:count])
    assert (by_day["day_inflation"][0], by_day["day_spread"][0], known["day_lag"][0]) == (1, 0, 0)
    assert days.usual(by_day, ROWS, DAY)[1][0] == 0


def test_a_model_that_is_never_wrong_has_no_inflation() -> None:
    """Nor one that is wrong always."""
    for wrong in (0, 200):
        _, by_day = lived([wrong] * 8)
        assert (by_day["day_inflation"][0], by_day["day_spread"][0]) == (1, 0)


def summed(losses: NDArray[np.float64], labels: int) -> NDArray[Any]:
    """Sums of days of so many labels each, whose losses are [cameras, days]."""
    sums = np.zeros(len(losses), NARROWEST.days["usual"].base)
    count = losses.shape[1]
    sums["weights"], sums["losses"], sums["days"] = labels * count, losses.sum(axis=1), count
    sums["squares"] = (losses**2 / labels).sum(axis=1)
    return sums


def test_a_week_of_independent_labels_varies_little() -> None:
    """Half of the cameras have no inflation then, and no spread; hardly one has an inflation of three."""
    losses = np.random.default_rng(3).binomial(500, 0.05, (4_000, 7)).astype(float)
    sums = summed(losses, 500)
    assert (days.spread(sums) <= 0).mean() == pytest.approx(0.58, abs=0.03)
    assert (days.inflation(sums) <= 1).mean() == pytest.approx(0.58, abs=0.03)
    assert (days.inflation(sums) > 3).mean() < 0.01


def test_the_spread_of_days_is_found() -> None:
    """Of rates from a Beta distribution of concentration 100: by a week to a factor of five, by seventy days to a
    factor of 1.6."""
    rng = np.random.default_rng(4)
    for count, factor in ((7, 5), (70, 1.6)):
        losses = rng.binomial(500, rng.beta(5, 95, (2_000, count))).astype(float)
        few, half, many = np.quantile(100 * days.spread(summed(losses, 500)), [0.1, 0.5, 0.9])
        assert 1 / factor < few < half < many < factor
        assert half == pytest.approx(1, abs=0.25)


def test_a_day_that_waits_in_one_phase_waits_whole() -> None:
    """By night nothing is known yet and all is taken, by day something seems to have changed."""
    known, by_day = lived([10] * 8)
    known["labels_closed"][0, 1] = 1
    for day in (9, 10, 11):
        come(by_day, day, 20, 200)
        days.take(by_day, ROWS, NIGHT, np.ones(1, np.float32), np.ones(1, np.float32))
    assert learn(known, by_day, 12, EXCITED)
    assert by_day["usual"]["weights"][0].tolist() == [3, 1_600]
    assert (by_day["usual_whole"]["weights"][0], by_day["recent_whole"]["weights"][0]) == (1_600, 603)


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


def test_a_day_that_is_over_is_learned_by_who_watches() -> None:
    """Of a camera whose reference is not whole: all its labels, with the first one of the next day."""
    fleet = Cameras()
    rows, watcher = np.array([fleet.row("gate")]), Watcher(Rules())
    for number in range(8 * 40 + 1):
        now = np.array([20_000 * DAY_MS + number * (DAY_MS // 40)])
        label = Outcomes(
            rows=rows,
            at_ms=now,
            received_ms=now,
            phase=DAY,
            bucket=np.zeros(1, np.int64),
            loss=np.array([number % 10 == 0], np.float32),
            propensity=np.ones(1, np.float32),
            confidence=np.full(1, 0.9, np.float32),
            cause=np.zeros(1, "V16"),
        )
        watcher.labels(fleet.table, label, np.ones(1, bool))
    mean, labels = days.usual(fleet.table.days, rows, DAY)
    assert float(labels[0]) == 8 * 40
    assert float(mean[0]) == pytest.approx(0.1)


@pytest.mark.slow
def test_days_with_rates_of_their_own_alarm_less_than_without_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the same labels of the same fleet, with days that nobody looks at."""
    season = Season(partial(days_of, a_day=200, concentration=20), DAY_MS / 200)
    rules = Rules(false_per_week=1_000)
    counted = len(raised(season, rules, cameras=20, labels=3_500, seed=5)[0])
    monkeypatch.setattr(days, "FEWEST", 10**6)
    unseen = len(raised(season, rules, cameras=20, labels=3_500, seed=5)[0])
    assert 2 * counted < unseen
