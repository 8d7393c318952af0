"""The simulation of rollout's test has the service's own evidence, and its fixed-size rival is McNemar's exact test."""

import math
from itertools import product

import numpy as np
import pytest

from catseye.intervals import wilson
from catseye.models.sequential_test import Pairs, evidence_of_better
from infra.benches.harness import Options
from infra.benches.rollout import (
    ALPHA,
    BETTER,
    Road,
    first_proof,
    fixed_size,
    log_evidence,
    naive_promotions,
    power_of_fixed,
    run,
)


@pytest.mark.parametrize("bound", [0.0, 0.02, 0.3])
def test_the_evidence_is_the_services_own(bound: float) -> None:
    """For any numbers of wins, losses and ties."""
    for wins, losses, ties in product((0, 3, 40), repeat=3):
        pairs = Pairs({1.0: (ties, losses, wins, 0)})
        found = log_evidence(np.array([wins]), np.array([losses]), np.array([wins + losses + ties]), bound)
        assert found[0] == pytest.approx(evidence_of_better(pairs, bound, 1.0).log, abs=1e-9)


def test_the_fixed_test_has_the_power_that_counting_gives() -> None:
    """Every outcome of ten labels, written out."""
    road = Road("", 0.6, 0.1)
    power = 0.0
    for wins, losses in product(range(11), repeat=2):
        ties = 10 - wins - losses
        if ties < 0:
            continue
        tail = sum(math.comb(wins + losses, k) for k in range(wins, wins + losses + 1)) / 2 ** (wins + losses)
        ways = math.comb(10, wins) * math.comb(10 - wins, losses)
        power += ways * 0.6**wins * 0.1**losses * 0.3**ties * (tail <= ALPHA)
    assert power_of_fixed(road, 10) == pytest.approx(power)
    size = fixed_size(road, 0.9)
    assert power_of_fixed(road, size) >= 0.9 > power_of_fixed(road, size - 1)


def test_proofs_come_when_they_are_due() -> None:
    """A model that always wins alone is proved by seven labels, or by the least number that is asked for."""
    rng = np.random.default_rng(0)
    always, never = Road("", 1.0, 0.0), Road("", 0.0, 0.0)
    assert first_proof(always, 3, 60, rng).tolist() == [7, 7, 7]
    assert first_proof(always, 2, 60, rng, least=50).tolist() == [50, 50]
    assert first_proof(Road("", 0.0, 1.0), 1, 60, rng, worse=True).tolist() == [7]
    assert first_proof(never, 2, 60, rng).tolist() == [61, 61]


def test_a_better_candidate_needs_fewer_labels_than_a_fixed_test() -> None:
    """On average, at the same power; and looking at a fixed test again and again errs far too often."""
    road = BETTER[-1]
    first = first_proof(road, 400, 600, np.random.default_rng(1))
    assert np.minimum(first, np.quantile(first, 0.9)).mean() < fixed_size(road, 0.9)
    assert naive_promotions(Road("", 0.1, 0.1), 200, 500, np.random.default_rng(2)) > 3 * ALPHA


def test_wilsons_interval() -> None:
    """Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", 2001: 1 of 10."""
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)


def test_the_short_run_answers_all_questions() -> None:
    """A row each; no promoted share is over alpha beyond chance."""
    report = run(Options(short=True))
    assert len(report.rows) == 12
    assert all(figure.interval.low <= 1 for figure in report.figures if figure.target)
    assert all(figure.interval.median < 1 for figure in report.figures if not figure.target)
