"""Which of two models is better, by frames that both predicted, with evidence that may be looked at after every label.

A pair counts +1 when only the new model is right, -1 when only the old one is, 0 when both are alike: the discordant
pairs of McNemar ("Note on the sampling error of the difference between correlated proportions", Psychometrika 1947).
Against the hypothesis "the mean count is at most *bound*" a gambler stakes a share of what it has on each pair; if the
hypothesis is true it has c times its start with chance 1/c at most, however often one looks (Ville 1939; Waudby-Smith
and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024). `BETS` gamblers with fixed shares
play at once; the evidence is the mean of what they have.

Labels that were likelier to be asked for weigh less: a count is weighed by least propensity / its own. The
hypothesis is then about all frames, not only about those that were labelled.

Law: evidence depends on how many pairs of each sort there were, not on their order, bit for bit.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

BETS: Final = (0.10, 0.16, 0.25, 0.36, 0.48, 0.62, 0.78, 0.93)
"""Shares staked where nothing is weighed down and the bound is 0. The best share is 2q - 1, q the share of the
discordant pairs that the better model wins: no q from 0.54 to 0.99 is far from one of them."""
_DIGITS: Final = 2
"""Of a propensity: its weight is right to 5 %, and few sorts of pairs are to be told apart."""


class Pairs(msgspec.Struct, frozen=True):
    """How often which of two models was right.

    Attributes:
        cells: By propensity of the label, to two digits: frames on which neither was right, only the old model, only
            the new one, both.
    """

    cells: dict[float, tuple[int, int, int, int]] = {}

    def plus(self, propensity: float, *, new_right: bool, old_right: bool) -> "Pairs":
        """One more pair; *propensity* over 0 to 1."""
        place, sort = float(f"{propensity:.{_DIGITS}g}"), 2 * new_right + old_right
        cell = list(self.cells.get(place, (0, 0, 0, 0)))
        cell[sort] += 1
        return Pairs(self.cells | {place: (cell[0], cell[1], cell[2], cell[3])})

    @property
    def count(self) -> int:
        """Pairs in all."""
        return sum(map(sum, self.cells.values()))

    @property
    def wins(self) -> int:
        """Pairs on which only the new model was right."""
        return sum(cell[2] for cell in self.cells.values())

    @property
    def losses(self) -> int:
        """Pairs on which only the old model was right."""
        return sum(cell[1] for cell in self.cells.values())

    @property
    def least_propensity(self) -> float:
        """The smallest that has come; 1 while none has."""
        return min(self.cells, default=1.0)

    def accuracies(self) -> tuple[float, float]:
        """Share of frames on which the new and the old model are right, weighed by 1 / propensity (Hájek, "Comment on
        a paper by D. Basu", 1971); 0 and 0 without pairs."""
        all_, new, old = 0.0, 0.0, 0.0
        for propensity, (neither, losses, wins, both) in sorted(self.cells.items()):
            all_ += (neither + losses + wins + both) / propensity
            new += (wins + both) / propensity
            old += (losses + both) / propensity
        return (new / all_, old / all_) if all_ else (0.0, 0.0)

    def difference(self) -> float:
        """Accuracy of the new model less that of the old one."""
        new, old = self.accuracies()
        return new - old


class Evidence(NamedTuple):
    """What the gamblers have.

    Attributes:
        log: Natural logarithm of their mean; 0 before the first pair.
        best_log: That of the one that has most.
    """

    log: float
    best_log: float

    def pairs_to_go(self, threshold_log: float, pairs: int) -> float:
        """Pairs until the evidence has grown to *threshold_log* if it grows as before; infinite if it does not."""
        if self.log >= threshold_log:
            return 0.0
        return (threshold_log - self.log) / (self.best_log / pairs) if pairs and self.best_log > 0 else math.inf


def evidence_of_better(pairs: Pairs, bound: float, least_propensity: float) -> Evidence:
    """Evidence that the new model's accuracy is over the old one's by more than *bound*.

    Args:
        pairs: What was seen.
        bound: 0 up to 1.
        least_propensity: Propensity that is weighed with 1; smaller ones are so too, larger ones with less.
    """
    return _evidence(
        {each: (wins, losses) for each, (_, losses, wins, _) in _sorted(pairs)}, pairs, bound, least_propensity
    )


def evidence_of_worse(pairs: Pairs, bound: float, least_propensity: float) -> Evidence:
    """Evidence that it is under the old one's by more than *bound*; arguments as those of `evidence_of_better`."""
    return _evidence(
        {each: (losses, wins) for each, (_, losses, wins, _) in _sorted(pairs)}, pairs, bound, least_propensity
    )


def payoffs(bet: float, bound: float, weight: float = 1.0) -> tuple[float, float, float]:
    """Logarithm of what a pair multiplies a gambler's wealth by: for it, against it, and alike.

    Args:
        bet: One of `BETS`.
        bound: 0 up to 1.
        weight: Of the pair, over 0 to 1.
    """
    stake = bet / (1 + bound) * weight
    return math.log1p(stake * (1 - bound)), math.log1p(-stake * (1 + bound)), math.log1p(-stake * bound)


def _sorted(pairs: Pairs) -> list[tuple[float, tuple[int, int, int, int]]]:
    return sorted(pairs.cells.items())


def _evidence(
    discordant: Mapping[float, tuple[int, int]], pairs: Pairs, bound: float, least_propensity: float
) -> Evidence:
    logs = []
    for bet in BETS:
        log = 0.0
        for propensity, (for_it, against_it) in discordant.items():
            up, down, alike = payoffs(bet, bound, min(1.0, least_propensity / propensity))
            log += for_it * up + against_it * down
            log += (sum(pairs.cells[propensity]) - for_it - against_it) * alike
        logs.append(log)
    best = max(logs)
    return Evidence(best + math.log(math.fsum(math.exp(log - best) for log in logs) / len(logs)), best)
