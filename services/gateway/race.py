"""How a challenger and the champion stand: the evidence of rollout's own test by labels, with its bounds. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from catseye.models.sequential_test import Pairs, evidence_of_better, evidence_of_worse

Slot = tuple[int, Sequence[int]]
"""Time, Unix milliseconds, and pairs in the order of `catseye.view.plots.RIGHT`."""
_BOUNDS: Final = ("evidence_better_needed", "evidence_worse_needed")


def shown(
    race: Mapping[str, Any], slots: Mapping[str, Iterable[Slot]], events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A race as the page shows it.

    Args:
        race: One of `ReadModel.races`.
        slots: By propensity, its pairs over time; what is older than is kept of them is counted at the beginning.
        events: Of `models`, oldest first.
    """
    model, champion, shadow = race["model"], race["champion"], race["shadow"]
    probation = any(
        event["version"] == champion and event["stage"] == "champion" and event.get("previous_version") == shadow
        for event in events
        if event["model"] == model
    )
    new, old = (champion, shadow) if probation else (shadow, champion)
    whole = _pairs(race["cells"], probation=probation)
    accuracy_new, accuracy_old = whole.accuracies()
    steps = [event for event in events if (event["model"], event["version"]) == (model, new)]
    bounds = _bounds(steps)
    return {
        "new": f"{model} {new}",
        "old": f"{model} {old}",
        "probation": probation,
        "pairs": whole.count,
        "accuracy_new": accuracy_new if whole.count else None,
        "accuracy_old": accuracy_old if whole.count else None,
        "only_new": whole.wins,
        "only_old": whole.losses,
        "neither": sum(cell[0] for cell in whole.cells.values()),
        "says": next((event["because"] for event in reversed(steps) if event["metrics"].get("pairs")), ""),
        "plot": _plot(race["cells"], slots, bounds, probation=probation),
    }


def _bounds(steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What rollout said that decides; empty while it has not."""
    found: dict[str, float] = {}
    for event in steps:
        if all(name in event["metrics"] for name in _BOUNDS):
            found |= event["metrics"]
    return found


def _pairs(cells: Mapping[str, Sequence[int]], *, probation: bool) -> Pairs:
    """Pairs of the new version against the old one."""
    turned = {}
    for propensity, (neither, champion, shadow, both) in cells.items():
        old, new = (shadow, champion) if probation else (champion, shadow)
        turned[float(propensity)] = (neither, old, new, both)
    return Pairs(turned)


def _plot(
    cells: Mapping[str, Sequence[int]],
    slots: Mapping[str, Iterable[Slot]],
    bounds: Mapping[str, float],
    *,
    probation: bool,
) -> dict[str, Any]:
    """Shares of what decides, by labels."""
    empty: dict[str, Any] = {"times": [], "series": []}
    if not bounds:
        return empty
    steps = sorted((at_ms, propensity, counts) for propensity, many in slots.items() for at_ms, counts in many)
    kept = {propensity: [0] * 4 for propensity in cells}
    for _, propensity, counts in steps:
        kept[propensity] = [before + more for before, more in zip(kept[propensity], counts, strict=True)]
    sums = {key: [max(0, all_ - later) for all_, later in zip(cells[key], kept[key], strict=True)] for key in cells}
    times, better, worse = [0], [0.0], [0.0]
    for _, propensity, counts in steps:
        sums[propensity] = [before + more for before, more in zip(sums[propensity], counts, strict=True)]
        pairs = _pairs({key: cell for key, cell in sums.items() if any(cell)}, probation=probation)
        if pairs.count <= times[-1]:
            continue
        least = bounds.get("least_propensity") or pairs.least_propensity
        found = (
            evidence_of_better(pairs, bounds.get("margin", 0.0), least).log,
            evidence_of_worse(pairs, bounds.get("tolerance", 0.0), least).log,
        )
        times.append(pairs.count)
        for line, log, needed in zip((better, worse), found, _BOUNDS, strict=True):
            line.append(min(max(log / math.log(bounds[needed]), 0.0), 1.0))
    if len(times) == 1:
        return empty
    return {
        "times": times,
        "series": [["better", better], ["worse", worse]],
        "styles": [{"width": 2}, {"width": 2, "dash": [6, 3]}],
        "hues": [2, 4],
        "count": True,
        "shares": True,
        "most": 1.04,
        "marks": [[1, "decides"]],
        "says": f"After {times[-1]} labels the evidence that it is better is at {better[-1]:.0%} of what promotes, "
        f"that it is worse at {worse[-1]:.0%} of what rejects.",
    }
