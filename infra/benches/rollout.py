"""Rollout's test by simulation: how often it errs when one looks after every label, and how many labels it needs.

Three questions, each answered by drawing labelled frames on which the new model alone is right with one chance and the
old model alone with another: how often is a candidate promoted that is not better; how many labels does a better one
need against the best test of a fixed size, which must know the effect beforehand (McNemar's exact test, one-sided, the
smallest size with the same power); and how many labels bring back a champion that is worse. The evidence is that of
`catseye.models.sequential_test`, written for many runs at once; a test holds them against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from catseye.intervals import wilson
from catseye.models.sequential_test import BETS, payoffs
from infra.benches.harness import Figure, Interval, Options, Report, Row, machine

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
ALPHA = 0.05
LEAST_LABELS = 50
"""As the service's default: a promotion needs so many."""
MOST_LABELS = 5_000
POWER = 0.9
_CHUNK = 50


@dataclass(frozen=True)
class Road:
    """What a labelled frame shows of two models.

    Attributes:
        name: In words.
        new_only: Chance that only the new model is right.
        old_only: Chance that only the old one is.
        margin: By how much the new one must be better to be promoted.
    """

    name: str
    new_only: float
    old_only: float
    margin: float = 0.0


NOT_BETTER = (
    Road("equal, differ on 2 %", 0.01, 0.01),
    Road("equal, differ on 10 %", 0.05, 0.05),
    Road("equal, differ on 40 %", 0.20, 0.20),
    Road("1 point worse, differ on 10 %", 0.045, 0.055),
    Road("2 points better, margin 2", 0.06, 0.04, margin=0.02),
)
BETTER = (
    Road("2 points better, differ on 6 %", 0.04, 0.02),
    Road("5 points better, differ on 15 %", 0.10, 0.05),
    Road("10 points better, differ on 20 %", 0.15, 0.05),
    Road("20 points better, differ on 26 %", 0.23, 0.03),
)
WORSE = (
    Road("5 points worse, differ on 15 %", 0.05, 0.10),
    Road("10 points worse, differ on 20 %", 0.05, 0.15),
    Road("25 points worse, differ on 31 %", 0.03, 0.28),
)


def first_proof(
    road: Road, runs: int, labels: int, rng: np.random.Generator, *, least: int = 1, worse: bool = False
) -> Counts:
    """Labels until the evidence is enough, one number a run; *labels* + 1 where it never is.

    Args:
        road: What is drawn.
        runs: How many times.
        labels: At most, each.
        rng: Source of chance.
        least: With fewer labels nothing is decided.
        worse: Ask for evidence that the new model is worse, not that it is better.
    """
    found = [
        _first(road, min(_CHUNK, runs - start), labels, rng, least, worse=worse) for start in range(0, runs, _CHUNK)
    ]
    return np.concatenate(found)


def _first(road: Road, runs: int, labels: int, rng: np.random.Generator, least: int, *, worse: bool) -> Counts:
    drawn = rng.random((runs, labels))
    new = np.cumsum(drawn < road.new_only, axis=1, dtype=np.int64)
    both = np.cumsum(drawn < road.new_only + road.old_only, axis=1, dtype=np.int64)
    old = both - new
    for_it, against = (old, new) if worse else (new, old)
    enough = log_evidence(for_it, against, np.arange(1, labels + 1), road.margin) >= -log(ALPHA)
    enough[:, : least - 1] = False
    return np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, labels + 1)


def log_evidence(for_it: Counts, against: Counts, pairs: Counts, bound: float) -> Floats:
    """As `catseye.models.sequential_test` has it, for labels of the same propensity; arrays of one shape."""
    logs = np.empty((len(BETS), *for_it.shape))
    for place, bet in enumerate(BETS):
        up, down, alike = payoffs(bet, bound)
        logs[place] = for_it * (up - alike) + against * (down - alike) + pairs * alike
    best = logs.max(axis=0)
    found: Floats = best + np.log(np.exp(logs - best).mean(axis=0))
    return found


def naive_promotions(road: Road, runs: int, labels: int, rng: np.random.Generator) -> float:
    """Share of runs that McNemar's test promotes somewhere when it is looked at after every label, as it must not be.

    Its normal form: wins less losses over the root of both.
    """
    drawn = rng.random((runs, labels))
    new = np.cumsum(drawn < road.new_only, axis=1)
    both = np.cumsum(drawn < road.new_only + road.old_only, axis=1)
    z = (2 * new - both) / np.sqrt(np.maximum(both, 1))
    return float((z[:, LEAST_LABELS - 1 :] >= 1.6449).any(axis=1).mean())


def fixed_size(road: Road, power: float) -> int:
    """Fewest labels with which McNemar's exact one-sided test at `ALPHA` finds the better model with *power*."""
    low, high = 1, 2
    while power_of_fixed(road, high) < power:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if power_of_fixed(road, middle) >= power:
            high = middle
        else:
            low = middle + 1
    return low


def power_of_fixed(road: Road, labels: int) -> float:
    """Chance that McNemar's exact one-sided test of *labels* labels promotes."""
    differ = road.new_only + road.old_only
    share = road.new_only / differ
    spread = 6 * (labels * differ * (1 - differ)) ** 0.5 + 1
    discordant = range(max(0, int(labels * differ - spread)), min(labels, int(labels * differ + spread)) + 1)
    return sum(_binomial(labels, n, differ) * _wins_enough(n, share) for n in discordant)


def _wins_enough(discordant: int, share: float) -> float:
    """Chance of so many wins that a fair coin has them with chance `ALPHA` at most."""
    tail, found, wins = 0.0, 0.0, discordant
    while wins >= 0 and (tail := tail + _binomial(discordant, wins, 0.5)) <= ALPHA:
        found += _binomial(discordant, wins, share)
        wins -= 1
    return found


def _binomial(n: int, k: int, chance: float) -> float:
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(chance) + (n - k) * log(1 - chance))


def run(options: Options) -> Report:
    """Answer the three questions."""
    report = Report("rollout", machine=machine())
    runs = 500 if options.short else 10_000
    labels = 2_000 if options.short else MOST_LABELS
    rng = np.random.default_rng(12)
    console = Console(stderr=True)
    for road in NOT_BETTER:
        report.rows.append(_false_promotions(report, road, runs, labels, rng))
        console.print(f"{road.name}: done", style="dim", highlight=False)
    for road in BETTER:
        report.rows.append(_labels_needed(report, road, runs // 2, labels, rng))
        console.print(f"{road.name}: done", style="dim", highlight=False)
    for road in WORSE:
        report.rows.append(_labels_to_rollback(road, runs // 2, labels, rng))
    naive = naive_promotions(NOT_BETTER[1], runs // 4, labels, rng)
    report.notes += [
        f"alpha {ALPHA}, looked at after every label up to {labels}, promotion from {LEAST_LABELS} labels on",
        f"negative control: McNemar's test looked at as often promotes an equal candidate in {naive:.1%} of runs",
        f"labels needed and labels to rollback: without the least number of {LEAST_LABELS}; propensity 1",
        "labels over fixed: mean labels when stopped at the size at which ours has the power, over the fixed size",
    ]
    return report


def _false_promotions(report: Report, road: Road, runs: int, labels: int, rng: np.random.Generator) -> Row:
    hits = int((first_proof(road, runs, labels, rng, least=LEAST_LABELS) <= labels).sum())
    low, high = wilson(hits, runs)
    share = Interval(hits / runs / ALPHA, low / ALPHA, high / ALPHA, runs)
    report.figures.append(Figure(f"promoted over alpha, {road.name}", share, target=1.0))
    return _row(road, "not better: share promoted", hits / runs, low, high, ALPHA)


def _labels_needed(report: Report, road: Road, runs: int, labels: int, rng: np.random.Generator) -> Row:
    """Ours has the power at the size by which that share of runs has decided."""
    first = first_proof(road, runs, labels, rng)
    power = min(POWER, float((first <= labels).mean()))
    size = float(np.quantile(first, power, method="inverted_cdf"))
    stopped = np.minimum(first, size)
    fixed = fixed_size(road, power)
    drawn = rng.choice(stopped, (400, runs)).mean(axis=1) / fixed
    low, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    interval = Interval(float(stopped.mean()) / fixed, low, high, runs)
    report.figures.append(Figure(f"labels over fixed, {road.name}", interval))
    return _row(road, f"better: labels, power {power:.2f}", float(stopped.mean()), float(np.median(first)), size, fixed)


def _labels_to_rollback(road: Road, runs: int, labels: int, rng: np.random.Generator) -> Row:
    first = first_proof(road, runs, labels, rng, worse=True)
    middle, most = np.quantile(first, [0.5, 0.9])
    return _row(road, "worse: labels to rollback", float(first.mean()), float(middle), float(most), float("nan"))


def _row(road: Road, what: str, mean: float, low: float, high: float, against: float) -> Row:
    return {
        "road": road.name,
        "what": what,
        "mean": mean,
        "low or median": low,
        "high or 90 %": high,
        "alpha or fixed size": against,
    }
