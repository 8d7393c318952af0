"""A rollback as an alert, one that is over as soon as it is there, since the version before serves.

Drift needs more labels of each camera than rollout needs of all: a version that is much worse is gone before drift sees
it.
"""

from msgspec.structs import replace

from catseye.contract.alert_kinds import MODEL_VERSION
from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelEvent
from catseye.contract.rollback import rollback_of
from services.incidents import NAME


def alerts_of(event: ModelEvent) -> list[Alert]:
    """States of the alert, in their order: opened and resolved; none where *event* is no rollback.

    An event of a version before this one has no numbers of a rollback: rollout wrote the alert of that one itself.
    """
    why = rollback_of(event)
    if why is None:
        return []
    # Rollout wrote these alerts once, and others may refer to them: the id stays what it was.
    alert_id = digest("alert", "rollout", event.event_id)
    opened = Alert(
        alert_id=alert_id,
        incident_id=alert_id,
        revision=0,
        state="opened",
        kind=MODEL_VERSION,
        severity="critical",
        camera=why.camera,
        cameras=[] if why.camera is None else [why.camera],
        label=why.label,
        signal="accuracy",
        phase="",
        detector="paired_bets",
        estimate=why.accuracy_new,
        reference=why.accuracy_old,
        evidence=why.evidence,
        threshold=why.evidence_needed,
        model=event.model,
        version=event.previous_version or "",
        since_ms=why.since_ms,
        opened_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        explanation=f"Version {event.previous_version} of {event.model} was worse than {event.version}, which is "
        f"champion again after {(event.at_ms - why.since_ms) / 1_000:.0f} s: {event.because.partition(': ')[2]}.",
        by=NAME,
    )
    return [opened, replace(opened, state="resolved", revision=1, resolved_at_ms=event.at_ms)]
