"""The first lines of a card: what somebody who reads nothing else should know. Pure."""

from catseye.contract.records import Alert
from catseye.ops.card.figures import Figures, Share, share
from catseye.ops.card.file import FileFacts

LABELS = 100
"""Labelled frames below which neither a verdict nor a calibration figure is given."""
_OF_CLASS = 30  # labelled frames of a class below which it is not called the weakest


def verdict(
    stage: str, served: list[tuple[int, int | None]], figures: Figures, facts: FileFacts, alerts: list[Alert]
) -> str:
    """A few sentences.

    Args:
        stage: What the version is now.
        served: When it was champion; the last one is open while it is.
        figures: What follows from the labels so far.
        facts: What its file says.
        alerts: Those that name it.
    """
    # A person may have retired a champion that goes on: who serves is in `served`.
    standing = "It is champion" if served and served[-1][1] is None else f"It is {stage}"
    if served and served[-1][1] is not None:
        standing += ", and was champion"
    parts = [f"{standing}.", *_accuracy(figures, facts)]
    still = [alert for alert in alerts if alert.resolved_at_ms is None]
    if still:
        kinds = ", ".join(sorted({alert.kind for alert in still}))
        parts.append(f"Open alerts that name it: {len(still)} ({kinds}).")
    return " ".join(parts)


def _accuracy(figures: Figures, facts: FileFacts) -> list[str]:
    role = next((name for name in ("champion", "shadow") if name in figures.by_role), None)
    if role is None:
        return ["How right it is in service is unknown: no label of a frame that it saw has come.", *_tested(facts)]
    own = figures.by_role[role]
    if own.of < LABELS:
        few = f"{own.right} of {own.of} labelled frames are right, too few for a verdict ({LABELS} are needed)."
        return [few, *_tested(facts)]
    found = [f"As {role} it is right on {_shown(own)} of {own.of:,} labelled frames."]
    known = {name: each for name, each in figures.by_class.items() if each.of >= _OF_CLASS}
    if len(known) > 1:
        name = min(known, key=lambda each: (known[each].accuracy, each))
        if known[name].high < own.accuracy:
            found.append(f"Its weakest class is {name}: {_shown(known[name])} of {known[name].of:,}.")
        else:
            found.append("No class is clearly worse than the others.")
    return found


def _tested(facts: FileFacts) -> list[str]:
    if not facts.tested:
        return []
    return [f"Its maker says {_shown(share(facts.right, facts.tested))} of {facts.tested:,} test crops."]


def _shown(own: Share) -> str:
    return f"{own.accuracy:.1%} ({own.low:.1%} to {own.high:.1%})"
