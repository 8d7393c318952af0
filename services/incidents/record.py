"""The record of an alert: a pure function of the state that its cause is in now."""

from msgspec.structs import replace

from catseye.contract.records import Alert, AlertState, Severity
from services.incidents import NAME
from services.incidents.explain import Facts, held_back, paragraph, resolved
from services.incidents.known import CameraState, CauseState
from services.incidents.lifecycle import LifecycleState


def record_of(
    cause: CauseState,
    facts: Facts,
    severity: Severity,
    camera: CameraState,
    before: Alert | None,
    *,
    alert_id: str,
    incident_id: str,
    revision: int,
    at_ms: int,
    command_id: str | None,
) -> Alert:
    """What is written of an alert.

    Args:
        cause: In the state that it is in now.
        facts: What the explanation is made of.
        severity: How soon a person should look.
        camera: What is known of the camera.
        before: The alert's record before, if any; one that is resolved has come back.
        alert_id: Of the alert.
        incident_id: Of its incident.
        revision: Counts its records.
        at_ms: Event time.
        command_id: The command that led to this record; None where no command did.
    """
    alarm = facts.main
    state = _named(cause)
    opened_at_ms = before.opened_at_ms if before else at_ms
    times_opened = (before.times_opened if before else 0) + (state == "opened")
    reopened_at_ms = before.reopened_at_ms if before else None
    if state == "opened" and times_opened > 1:
        reopened_at_ms = at_ms
    suppression = cause.suppression if cause.state is LifecycleState.SUPPRESSED else None
    match cause.state:
        case LifecycleState.RESOLVED:
            explanation = resolved(before.explanation if before else "", reopened_at_ms or opened_at_ms, at_ms)
        case LifecycleState.HELD_BACK:
            explanation = held_back(facts.kind, paragraph(facts, times_opened, opened_at_ms))
        case _:
            explanation = paragraph(facts, times_opened, opened_at_ms)
    return Alert(
        alert_id=alert_id,
        revision=revision,
        state=state,
        kind=facts.kind,
        severity=severity,
        camera=facts.camera,
        group=facts.group,
        cameras=list(facts.cameras),
        signal=alarm.signal,
        label=alarm.label,
        phase=alarm.phase,
        detector=alarm.detector,
        estimate=alarm.estimate,
        reference=alarm.reference,
        evidence=alarm.evidence,
        threshold=alarm.threshold,
        model=camera.model,
        version=camera.version,
        since_ms=min(each.since_ms for each in cause.alarms.values()),
        opened_at_ms=opened_at_ms,
        updated_at_ms=at_ms,
        resolved_at_ms=at_ms if cause.state is LifecycleState.RESOLVED else None,
        explanation=explanation,
        by=NAME,
        examples_before=alarm.examples_before,
        examples_after=alarm.examples_after,
        incident_id=incident_id,
        suppressed_until_ms=suppression.until_ms if suppression else None,
        suppressed_by=suppression.by if suppression else None,
        suppressed_because=suppression.because if suppression else "",
        acknowledged_by=cause.acknowledged_by,
        command_id=command_id,
        times_opened=times_opened,
        reopened_at_ms=reopened_at_ms,
    )


def _named(cause: CauseState) -> AlertState:
    """The state as readers of alerts know it."""
    match cause.state:
        case LifecycleState.ACKNOWLEDGED:
            return "acknowledged"
        case LifecycleState.SUPPRESSED | LifecycleState.HELD_BACK:
            return "suppressed"
        case LifecycleState.RESOLVED:
            return "resolved"
        case _:
            return "updated" if cause.was_shown else "opened"


def repeated_end(last: Alert, *, at_ms: int, command_id: str) -> Alert:
    """The end of an alert once more, as the answer to a command that came after it."""
    return replace(
        last, revision=last.revision + 1, updated_at_ms=max(last.updated_at_ms, at_ms), command_id=command_id
    )
