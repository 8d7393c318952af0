"""What people are told of a rollback: an alert that is over as soon as it is there, since the version before serves."""

from typing import Final

from msgspec.structs import replace

from catseye.identity import digest
from catseye.records import Alert, ModelEvent
from services.rollout import NAME

ROLLBACK: Final = "rollback_"
"""What the code of an event begins with by which the champion before is back, since the new one was worse."""


def alerts_of(event: ModelEvent) -> list[Alert]:
    """States of the alert that *event* is worth, in their order: opened and resolved for a rollback, else none.

    Drift needs more labels of each camera than rollout needs of all: a version that is much worse is gone before.
    """
    worse = event.previous_version
    if worse is None or not event.because.startswith(ROLLBACK):
        return []
    numbers = event.metrics
    opened = Alert(
        alert_id=digest("alert", NAME, event.event_id),
        incident_id=digest("alert", NAME, event.event_id),
        revision=0,
        state="opened",
        kind="model_version",
        severity="critical",
        signal="accuracy",
        phase="",
        detector="paired_bets",
        estimate=numbers["accuracy_new"],
        reference=numbers["accuracy_old"],
        evidence=numbers["evidence_worse"],
        threshold=numbers["evidence_worse_needed"],
        model=event.model,
        version=worse,
        since_ms=event.at_ms - round(numbers["seconds"] * 1_000),
        opened_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        explanation=f"Version {worse} of {event.model} was worse than {event.version}, which is champion again "
        f"after {numbers['seconds']:.0f} s: {event.because.partition(': ')[2]}.",
        by=NAME,
    )
    return [opened, replace(opened, state="resolved", revision=1, resolved_at_ms=event.at_ms)]
