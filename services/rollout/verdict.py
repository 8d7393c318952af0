"""What a comparison has come to: a stable code, and the sentence and the numbers that go with it. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from catseye.contract.rollback import Rollback
from catseye.models.sequential_test import Evidence, Pairs, evidence_of_better, evidence_of_worse
from services.rollout.rollout_state import Comparison

Code = Literal[
    "better",  # promote
    "worse",  # reject; on probation, roll back
    "class_worse",
    "camera_worse",
    "no_difference",
    "too_few_labels",
    "probation_passed",
    "canary_passed",
    "comparing",  # goes on, and reports how it stands
    "waits",  # goes on, and reports nothing
]
SHOWN: Final = 20
"""Classes, and cameras, whose numbers an event carries: those on which the new version does worst."""
_MOST: Final = 1e15  # more evidence than that is capped


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an operator can turn; `services.rollout.settings` describes each."""

    alpha: float = 0.05
    reject_alpha: float = 0.05
    margin: float = 0.0
    tolerance: float = 0.0
    stratum_tolerance: float = 0.05
    least_propensity: float = 0.0
    labels_min: int = 50
    labels_max: int = 5_000
    shadow_max_ms: int = 14 * 24 * 3_600_000
    probation_labels: int = 1_000
    probation_max_ms: int = 7 * 24 * 3_600_000
    approval: bool = False
    canary_cameras: tuple[str, ...] = ()
    canary_ms: int = 3_600_000

    @property
    def promotes_at(self) -> float:
        """Logarithm of the evidence of better that promotes."""
        return -math.log(self.alpha)

    @property
    def rejects_at(self) -> float:
        """Logarithm of the evidence of worse that rejects."""
        return -math.log(self.reject_alpha)

    def least(self, pairs: Pairs) -> float:
        """Propensity that weighs 1."""
        return self.least_propensity or pairs.least_propensity


@dataclass(frozen=True)
class Inspection:
    """A comparison at a moment.

    Attributes:
        pairs: All of them.
        better: Evidence that the new version is better by more than the margin.
        worse: Evidence that it is worse by more than the tolerance.
    """

    pairs: Pairs
    better: Evidence
    worse: Evidence


def bounds(rules: Rules) -> dict[str, float]:
    """What decides a comparison, for who shows how it goes: with the first event of it."""
    return {
        "evidence_better_needed": 1 / rules.alpha,
        "evidence_worse_needed": 1 / rules.reject_alpha,
        "margin": rules.margin,
        "tolerance": rules.tolerance,
        "least_propensity": rules.least_propensity,
    }


def inspect_pairs(rules: Rules, pairs: Pairs) -> Inspection:
    """Weigh all pairs of a comparison."""
    least = rules.least(pairs)
    return Inspection(
        pairs,
        evidence_of_better(pairs, rules.margin, least),
        evidence_of_worse(pairs, rules.tolerance, least),
    )


def has_fallen(rules: Rules, pairs: Pairs, least_propensity: float, strata: int) -> bool:
    """Whether the new version is worse on one class or camera.

    Args:
        rules: Of the operator.
        pairs: Of that class or camera.
        least_propensity: Of all pairs.
        strata: How many classes, or cameras, there are so far: they share the chance of a false verdict (Bonferroni).
    """
    return on_stratum(rules, pairs, least_propensity).log >= rules.rejects_at + math.log(strata)


def on_stratum(rules: Rules, pairs: Pairs, least_propensity: float) -> Evidence:
    """Evidence that the new version is worse on a class or camera than is tolerated there."""
    return evidence_of_worse(pairs, rules.stratum_tolerance, least_propensity)


def verdict(rules: Rules, comparison: Comparison, inspection: Inspection, now_ms: int) -> Code:
    """What to do now. Evidence against the new version comes first."""
    if inspection.worse.log >= rules.rejects_at:
        return "worse"
    if comparison.fallen:
        return "class_worse" if comparison.fallen.startswith("class ") else "camera_worse"
    if comparison.probation:
        passed_ms = now_ms - comparison.since_ms
        over = inspection.pairs.count >= rules.probation_labels or passed_ms >= rules.probation_max_ms
        return "probation_passed" if over else "waits"
    if comparison.canary_since_ms is not None:
        return "canary_passed" if now_ms - comparison.canary_since_ms >= rules.canary_ms else "waits"
    return "waits" if comparison.awaits_approval else _of_shadow(rules, comparison, inspection, now_ms)


def _of_shadow(rules: Rules, comparison: Comparison, inspection: Inspection, now_ms: int) -> Code:
    count, passed_ms = inspection.pairs.count, now_ms - comparison.since_ms
    if count >= rules.labels_min and inspection.better.log >= rules.promotes_at:
        return "better"
    if count >= rules.labels_max or passed_ms >= rules.shadow_max_ms:
        return "no_difference" if count >= rules.labels_min else "too_few_labels"
    return "comparing" if count >= max(rules.labels_min, 2 * comparison.reported_pairs) else "waits"


def sentence(rules: Rules, code: Code, comparison: Comparison, inspection: Inspection) -> str:
    """What was found, with the numbers, for a person."""
    pairs = inspection.pairs
    if code == "too_few_labels":
        return f"{pairs.count} labelled frames in the time given, {rules.labels_min} needed; the champion stays"
    new, old = pairs.accuracies()
    ends: dict[Code, str] = {
        "better": f"evidence {capped(inspection.better):.3g} of {1 / rules.alpha:g} needed that it is better",
        "worse": f"evidence {capped(inspection.worse):.3g} of {1 / rules.reject_alpha:g} needed that it is worse",
        "class_worse": f"on {comparison.fallen} it is worse by more than {rules.stratum_tolerance:g}",
        "camera_worse": f"on {comparison.fallen} it is worse by more than {rules.stratum_tolerance:g}",
        "no_difference": "no evidence that it is better, and no more labels are waited for; the champion stays",
        "probation_passed": "nothing speaks against the new champion",
        "canary_passed": "nothing spoke against it on the canary's cameras",
        "comparing": needs(rules, inspection),
    }
    return (
        f"on {pairs.count} labelled frames that both predicted {comparison.new} is right on {new:.1%} and "
        f"{comparison.old} on {old:.1%}, {pairs.wins} only the first and {pairs.losses} only the second: {ends[code]}"
    )


def needs(rules: Rules, inspection: Inspection) -> str:
    """What is still needed, if all goes on as it did."""
    to_promote, to_reject = _to_go(rules, inspection)
    if math.isfinite(to_promote):
        return f"about {to_promote:.0f} more labels to promote it"
    if math.isfinite(to_reject):
        return f"about {to_reject:.0f} more labels to reject it"
    return f"no difference that labels could show soon; rejected after {rules.labels_max}"


def numbers(
    rules: Rules, inspection: Inspection, classes: Mapping[str, Pairs], cameras: Mapping[str, Pairs]
) -> dict[str, float]:
    """What a step rests on.

    Returns:
        pairs, wins, losses; accuracy_new and accuracy_old; evidence_better and evidence_worse with what is needed of
        them; labels_to_promote and labels_to_reject at the current effect, left out where it leads there never; by
        class and camera pairs and difference of accuracies, new less old.
    """
    new, old = inspection.pairs.accuracies()
    found = {
        "pairs": float(inspection.pairs.count),
        "wins": float(inspection.pairs.wins),
        "losses": float(inspection.pairs.losses),
        "accuracy_new": new,
        "accuracy_old": old,
        "evidence_better": capped(inspection.better),
        "evidence_better_needed": 1 / rules.alpha,
        "evidence_worse": capped(inspection.worse),
        "evidence_worse_needed": 1 / rules.reject_alpha,
    }
    names = ("labels_to_promote", "labels_to_reject")
    found |= {name: to_go for name, to_go in zip(names, _to_go(rules, inspection), strict=True) if math.isfinite(to_go)}
    for kind, strata in (("class", classes), ("camera", cameras)):
        worst = sorted(strata.items(), key=lambda item: (item[1].wins - item[1].losses, item[0]))[:SHOWN]
        for name, pairs in worst:
            found[f"{kind}/{name}/pairs"] = float(pairs.count)
            found[f"{kind}/{name}/difference"] = pairs.difference()
    return found


def rollback(rules: Rules, comparison: Comparison, inspection: Inspection, stratum: Pairs | None) -> Rollback:
    """The numbers of a rollback, for whoever alerts people of it.

    Args:
        rules: Of the operator.
        comparison: Of the two versions.
        inspection: At all pairs.
        stratum: Those of the class or camera on which the new version fell; None where it fell on all.
    """
    kind, name, pairs, evidence, strata = "", "", inspection.pairs, inspection.worse, 1
    if stratum is not None:
        kind, _, name = comparison.fallen.partition(" ")
        pairs, evidence = stratum, on_stratum(rules, stratum, rules.least(inspection.pairs))
        strata = comparison.classes if kind == "class" else comparison.cameras
    new, old = pairs.accuracies()
    return Rollback(
        since_ms=comparison.since_ms,
        accuracy_new=new,
        accuracy_old=old,
        evidence=capped(evidence),
        evidence_needed=math.exp(rules.rejects_at) * strata,
        label=name if kind == "class" else None,
        camera=name if kind == "camera" else None,
    )


def _to_go(rules: Rules, inspection: Inspection) -> tuple[float, float]:
    """Pairs until it is promoted, and until it is rejected; infinite where it does not go there."""
    count = inspection.pairs.count
    promoted = inspection.better.pairs_to_go(rules.promotes_at, count)
    return max(promoted, float(rules.labels_min - count)), inspection.worse.pairs_to_go(rules.rejects_at, count)


def capped(evidence: Evidence) -> float:
    """Evidence as a number that any reader can hold."""
    return min(_MOST, math.exp(min(evidence.log, 50.0)))
