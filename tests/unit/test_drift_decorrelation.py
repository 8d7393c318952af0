"""How far apart frames must be to count as independent: measured, not assumed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.drift.decorrelation import decorrelation_lag, measure
from services.drift.layout import LOSS_LAG
from tests.simulation.eight_classes import LEARNING


def measured(values: NDArray[Any], column: int = 0) -> NDArray[Any]:
    """Paces of signals, [n], that had these values, [n, count], while their cameras learned."""
    return decorrelation_lags_and_inflations(values, column)[0]


def decorrelation_lags_and_inflations(values: NDArray[Any], column: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Their paces and their inflations."""
    learning = np.zeros(len(values), LEARNING)
    columns = slice(column, column + 1)
    rows = np.arange(len(values))
    for now in values.T.astype(np.float32):
        measure(learning, rows, columns, now[:, None])
    found = [decorrelation_lag(learning, row, columns) for row in rows.tolist()]
    return np.array([slowest[0] for slowest, _ in found]), np.array([larger[0] for _, larger in found])


def drawn(seeds: int, draw: Callable[[np.random.Generator], NDArray[Any]]) -> NDArray[Any]:
    """What *draw* gives of each seed, [seeds, ...]."""
    return np.array([draw(np.random.default_rng(seed)) for seed in range(seeds)])


def persistent(persistence: float, count: int, seeds: int) -> NDArray[np.float64]:
    """Autoregressive processes of the first order, [seeds, count]."""
    noise = drawn(seeds, lambda chance: chance.normal(size=count)) * np.sqrt(1 - persistence**2)
    values = np.zeros((seeds, count))
    for place in range(1, count):
        values[:, place] = persistence * values[:, place - 1] + noise[:, place]
    return values


def wandering(count: int, seeds: int) -> NDArray[np.float64]:
    """A twelfth of the variance wanders for an hour, the rest is noise, [seeds, count]."""
    noise = np.random.default_rng(6).normal(size=(seeds, count))
    values: NDArray[np.float64] = np.sqrt(0.08) * persistent(0.983, count, seeds) + np.sqrt(0.92) * noise
    return values


def test_independent_samples_are_all_taken() -> None:
    """In nineteen of twenty references, whatever they are distributed like."""
    normal = measured(drawn(40, lambda chance: chance.normal(size=1_000)))
    skewed = measured(drawn(40, lambda chance: chance.lognormal(size=1_000)))
    assert np.mean(normal == 1) >= 0.95
    assert np.mean(skewed == 1) >= 0.9


def test_a_persistence_of_six_tenths_gives_one_in_about_ten() -> None:
    """Its autocorrelation falls to .01 at lag 9."""
    found = measured(persistent(0.6, 1_000, 10))
    assert 8 <= np.median(found) <= 13
    assert min(found) >= 6


def test_a_slow_signal_gives_a_long_decorrelation_lag() -> None:
    """Of a persistence of .99 at 1,000 samples: 458 were right, and a hundred keep most of the promise."""
    assert min(measured(persistent(0.99, 1_000, 10))) >= 100


def test_noise_on_a_slow_signal_does_not_hide_it() -> None:
    """Half of the variance is noise of each frame, the other half wanders: the pace is some dozens still."""
    found = measured(persistent(0.99, 1_000, 10) + np.random.default_rng(5).normal(size=(10, 1_000)))
    assert np.median(found) >= 40


def test_a_weak_but_long_correlation_is_found_by_blocks() -> None:
    """No single lag shows it, in most references."""
    assert np.median(measured(wandering(1_000, 20))) >= 32


@pytest.mark.parametrize("persistence", [0.0, 0.6, 0.9])
def test_inflation_is_what_a_mean_varies_more_than_of_independent_samples(persistence: float) -> None:
    """Within a half, in the middle of twenty references of 2,000: (1 + r) / (1 - r) of a decay r."""
    _, larger = decorrelation_lags_and_inflations(persistent(persistence, 2_000, 20))
    assert (1 + persistence) / (1 - persistence) == pytest.approx(np.median(larger), rel=0.5)


def test_a_long_decorrelation_lag_that_blocks_show_does_not_make_all_that_was_learned_worthless() -> None:
    """What wanders makes means vary 10 times as much, not half of 128 times."""
    lags, inflations = decorrelation_lags_and_inflations(wandering(4_000, 10))
    larger = inflations[lags == 128]
    assert len(larger) >= 3
    assert 5 < np.median(larger) < 30


@pytest.mark.parametrize(("share", "count"), [(0.02, 324), (0.05, 324), (0.02, 1_000), (0.05, 1_000)])
def test_rare_errors_that_come_by_chance_are_all_taken(share: float, count: int) -> None:
    """Two errors that happen to be a lag apart are no persistence: accuracy would be watched one label in thousands."""
    found = measured(drawn(100, lambda chance: chance.random(count) < share), LOSS_LAG)
    assert np.mean(found > 10) <= 0.01
    assert np.mean(found == 1) >= 0.9


def test_what_never_moves_and_what_is_missing_are_taken_always() -> None:
    """No variance is no correlation; a missing value counts as the mean."""
    holes = np.random.default_rng(1).normal(size=500)
    holes[::3] = np.nan
    assert measured(np.array([np.full(500, 0.3), np.full(500, np.nan), holes])).tolist() == [1, 1, 1]


def test_columns_are_measured_apart() -> None:
    """Two rows and two columns at once: each has its own pace."""
    learning = np.zeros(2, LEARNING)
    slow, fast = persistent(0.9, 800, 1)[0], np.random.default_rng(2).normal(size=800)
    for count in range(800):
        values = np.array([[slow[count], fast[count]], [fast[count], slow[count]]], np.float32)
        measure(learning, np.array([0, 1]), slice(3, 5), values)
    first, second = decorrelation_lag(learning, 0, slice(3, 5))[0], decorrelation_lag(learning, 1, slice(3, 5))[0]
    assert (first[1], second[0]) == (1, 1)
    assert min(first[0], second[1]) >= 20
