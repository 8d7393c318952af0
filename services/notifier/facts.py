"""What is known of an incident, and what of it people are shown. Pure.

An incident is the alerts with one `incident_id`; a version of a model that was promoted or rejected is one too.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from catseye.contract.alert_kinds import OF_SERVICES
from catseye.contract.records import Alert, ModelEvent, Place, Severity

ROLLOUT: Final = "rollout"
"""Kind of what happens to a version of a model."""
TOLD_STAGES: Final = ("champion", "rejected")
FactState = Literal["open", "acknowledged", "suppressed", "resolved", "news"]
_GRAVITY: Final = {"critical": 0, "warning": 1, "info": 2}
_EXAMPLES_MOST: Final = 1


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert as it is now, or a step of a model, without what nobody is shown.

    Attributes:
        fact_id: The alert's id, or model and version.
        incident_id: Its incident.
        state: Whether it is over, seen, quiet; news is what nobody needs to acknowledge.
        kind: Of the alert, or `ROLLOUT`.
        severity: How soon a person should look.
        camera: Its camera; empty where it has none.
        group: Its group; empty where it has none.
        service: The service that it is about; empty where it is about none.
        model: Name of the model.
        version: Its version; of a step with the stage.
        since_ms: First suspect time, Unix milliseconds.
        at_ms: Of the newest record, Unix milliseconds.
        times_opened: How often it has opened.
        by: Who acknowledged it; of a step who took it.
        explanation: For a person.
        before: A frame from before.
        after: A frame from after.
    """

    fact_id: str
    incident_id: str
    state: FactState
    kind: str
    severity: Severity
    camera: str = ""
    group: str = ""
    service: str = ""
    model: str = ""
    version: str = ""
    since_ms: int = 0
    at_ms: int = 0
    times_opened: int = 1
    by: str = ""
    explanation: str = ""
    before: tuple[Place, ...] = ()
    after: tuple[Place, ...] = ()


class Shown(msgspec.Struct, frozen=True):
    """What a message shows of an incident: it is worth another one when this changes.

    Attributes:
        state: Of the incident.
        severity: The worst.
        cameras: How many are concerned.
        what: Kind, and of a rollout the stage.
    """

    state: FactState
    severity: Severity
    cameras: int
    what: str


class Incident(msgspec.Struct, frozen=True):
    """An incident.

    Attributes:
        shown: What is worth a message.
        lead: What it is called by: the gravest of what is not over.
        cameras: Those that are concerned, by name.
    """

    shown: Shown
    lead: Fact
    cameras: tuple[str, ...]


def fact_of_alert(alert: Alert) -> Fact:
    """What is kept of an alert's newest record."""
    state: FactState = "open"
    if alert.state in ("acknowledged", "suppressed", "resolved"):
        state = alert.state
    return Fact(
        fact_id=alert.alert_id,
        incident_id=alert.incident_id or alert.alert_id,
        state=state,
        kind=alert.kind,
        severity=alert.severity,
        camera=alert.camera or "",
        group=alert.group or "",
        service=alert.signal if alert.kind in OF_SERVICES else "",
        model=alert.model,
        version=alert.version,
        since_ms=alert.since_ms,
        at_ms=alert.updated_at_ms,
        times_opened=alert.times_opened,
        by=alert.acknowledged_by or "",
        explanation=alert.explanation,
        before=tuple(alert.examples_before[:_EXAMPLES_MOST]),
        after=tuple(alert.examples_after[:_EXAMPLES_MOST]),
    )


def fact_of_step(event: ModelEvent) -> Fact | None:
    """What is kept of a step of a model; None of one that nobody need be told of."""
    if event.stage not in TOLD_STAGES:
        return None
    named = f"{ROLLOUT}/{event.model}/{event.version}"
    return Fact(
        fact_id=named,
        incident_id=named,
        state="news",
        kind=ROLLOUT,
        severity="info",
        model=event.model,
        version=f"{event.version} {event.stage}",
        since_ms=event.at_ms,
        at_ms=event.at_ms,
        by=event.by,
        explanation=event.because,
    )


def incident_of(facts: Mapping[str, Fact] | Iterable[Fact]) -> Incident:
    """What *facts*, at least one, of one incident are together."""
    all_ = list(facts.values()) if isinstance(facts, Mapping) else list(facts)
    live = [fact for fact in all_ if fact.state != "resolved"]
    lead = min(live or all_, key=lambda fact: (_GRAVITY[fact.severity], fact.since_ms, fact.fact_id))
    cameras = tuple(sorted({fact.camera for fact in live or all_ if fact.camera}))
    shown = Shown(
        state=_state(live),
        severity=lead.severity,
        cameras=len(cameras),
        what=f"{lead.kind} {lead.version}" if lead.kind == ROLLOUT else lead.kind,
    )
    return Incident(shown, lead, cameras)


def _state(live: list[Fact]) -> FactState:
    """The one that asks for most of those of what is not over."""
    states = {fact.state for fact in live}
    order: tuple[FactState, ...] = ("open", "news", "acknowledged", "suppressed")
    return next((state for state in order if state in states), "resolved")
