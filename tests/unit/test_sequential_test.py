"""Evidence of which model is better: exact, order-free, in both directions, weighed."""

import math
from itertools import permutations

import pytest

from catseye.models.sequential_test import BETS, Evidence, Pairs, evidence_of_better, evidence_of_worse


def counted(*sorts: str, propensity: float = 1.0) -> Pairs:
    """Pairs by who was right: "n" new, "o" old, "no" both, "" none."""
    pairs = Pairs()
    for sort in sorts:
        pairs = pairs.plus(propensity, new_right="n" in sort, old_right="o" in sort)
    return pairs


def test_pairs_are_counted_by_who_was_right() -> None:
    """And by propensity, to two digits."""
    pairs = counted("n", "n", "o", "no", "", "no").plus(0.1234, new_right=True, old_right=False)
    assert pairs.cells == {1.0: (1, 1, 2, 2), 0.12: (0, 0, 1, 0)}
    assert (pairs.count, pairs.wins, pairs.losses, pairs.least_propensity) == (7, 3, 1, 0.12)
    assert (Pairs().count, Pairs().least_propensity, Pairs().difference()) == (0, 1.0, 0.0)


def test_accuracies_count_a_frame_for_all_that_it_stands_for() -> None:
    """A frame that was chosen with chance 1/4 stands for four."""
    pairs = counted("n", "no", propensity=0.25).plus(1.0, new_right=False, old_right=True)
    new, old = pairs.accuracies()
    assert [new, old] == pytest.approx([8 / 9, 5 / 9])
    assert pairs.difference() == pytest.approx(3 / 9)


def test_evidence_is_the_mean_of_what_the_gamblers_have() -> None:
    """Written out: each win multiplies by 1 + bet, each loss by 1 - bet, where the bound is 0."""
    pairs = counted("n", "n", "n", "o", "no", "")
    wealths = [(1 + bet) ** 3 * (1 - bet) for bet in BETS]
    found = evidence_of_better(pairs, 0.0, 1.0)
    assert math.exp(found.log) == pytest.approx(sum(wealths) / len(BETS))
    assert math.exp(found.best_log) == pytest.approx(max(wealths))
    assert evidence_of_worse(counted("o", "o", "o", "n"), 0.0, 1.0) == found
    assert evidence_of_better(Pairs(), 0.0, 1.0) == evidence_of_worse(Pairs(), 0.3, 1.0) == Evidence(0.0, 0.0)


def test_a_margin_makes_ties_count_against() -> None:
    """Who must be better by a margin loses a little by each frame on which both are alike."""
    pairs = counted("n", "no", "o")
    stakes = [bet / 1.1 for bet in BETS]
    wealths = [(1 + 0.9 * stake) * (1 - 0.1 * stake) * (1 - 1.1 * stake) for stake in stakes]
    assert math.exp(evidence_of_better(pairs, 0.1, 1.0).log) == pytest.approx(sum(wealths) / len(BETS))


def test_the_order_changes_nothing_to_the_last_bit() -> None:
    """Counts are added up in the order of their propensities, not of their coming."""
    sorts = [(0.3, "n"), (0.1, "o"), (1.0, "n"), (0.7, "")]
    seen = set()
    for order in permutations(sorts):
        pairs = Pairs()
        for propensity, sort in order:
            pairs = pairs.plus(propensity, new_right="n" in sort, old_right="o" in sort)
        seen.add((evidence_of_better(pairs, 0.05, 0.1), evidence_of_worse(pairs, 0.05, 0.1), pairs.accuracies()))
    assert len(seen) == 1


@pytest.mark.parametrize("bound", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("propensities", [(1.0, 1.0), (0.5, 0.1)])
def test_nobody_can_expect_to_win_where_the_hypothesis_holds(bound: float, propensities: tuple[float, float]) -> None:
    """The mean over what may come next is what there was: at the bound itself, with weights as they should be."""
    often, seldom = propensities
    least = min(propensities)
    # Two kinds of frames, equally many; labelled with these chances; on the first kind the new model always wins.
    up = (1 + bound) / 2
    chances = [(often, up, "n"), (often, 1 - up, "o"), (seldom, up, "n"), (seldom, 1 - up, "o")]
    total = sum(propensity * chance for propensity, chance, _ in chances)
    mean = sum(
        propensity
        * chance
        / total
        * math.exp(evidence_of_better(counted(sort, propensity=propensity), bound, least).log)
        for propensity, chance, sort in chances
    )
    assert mean == pytest.approx(1.0)


def test_weights_mend_labels_that_were_chosen() -> None:
    """The old model is better on the road; labels mostly come from where the new one wins. Unweighed that would
    promote it."""
    pairs = counted(*["n"] * 60, propensity=0.9)
    for _ in range(12):
        pairs = pairs.plus(0.1, new_right=False, old_right=True)
    assert evidence_of_better(pairs, 0.0, 1.0).log > math.log(20)
    assert evidence_of_better(pairs, 0.0, 0.1).log < 0
    assert pairs.difference() < 0


def test_what_is_still_needed() -> None:
    """At the rate of the gambler who did best; nothing once it is reached; for ever where nobody wins."""
    pairs = counted(*["n"] * 4, "o", *["no"] * 5)
    found = evidence_of_better(pairs, 0.0, 1.0)
    to_go = found.pairs_to_go(math.log(20), 10)
    assert to_go == pytest.approx((math.log(20) - found.log) / (found.best_log / 10))
    assert found.pairs_to_go(found.log, 10) == 0
    assert evidence_of_worse(pairs, 0.0, 1.0).pairs_to_go(3.0, 10) == math.inf
    assert Evidence(0.0, 0.0).pairs_to_go(3.0, 0) == math.inf
