"""A camera evaluated at a moment. Law: what is raised for longer than it takes to settle has exactly one alert, and an
alert ends when all behind it has been well for a while. What comes back soon after is the same alert.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import DRIFT, SERVICE_DOWN, SERVICE_STALLED, cause_of
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, Alert, AlertCommand, Severity
from catseye.runtime.progress import ROAD
from services.incidents.causes import (
    by_cause,
    first_of,
    is_blocked_by_faults,
    is_blocked_by_stalls,
    is_fault,
    is_of_new_version,
    kind_of,
    main_alarm,
    severity_of,
    strongest,
    waits_for_others,
)
from services.incidents.explain import Facts
from services.incidents.groups import Membership
from services.incidents.incidents_state import FLEET, IncidentsState, is_camera, service_of
from services.incidents.known import CameraState, CauseState, Emitted, Ended, Suppression
from services.incidents.lifecycle import OVER, LifecycleEvent, LifecycleState, is_written, next_state
from services.incidents.record import record_of
from services.incidents.rules import Rules

CAMERAS_EVERY_MS: Final = 1_000
"""Shortest time between two records of an incident's first alert that only name or count further cameras."""
REMEMBERED: Final = 32
"""Alerts that are over whose revision and end are kept, a camera."""
_ON_THE_ROAD: Final = frozenset(hop.service for hop in ROAD)
ANSWERED: Final = 16
"""The newest of them whose last record is kept, so that a command that crosses the end has an answer, and a cause that
comes back its alert: more than a camera has causes, and one cause ends one alert in the time in which that goes on."""


def evaluate(
    rules: Rules, known: IncidentsState, name: str, at_ms: int, command: AlertCommand | None = None
) -> list[Alert]:
    """Evaluate camera *name* when the clock of all is *at_ms*: change what is *known*, return the records to write.

    All goes by the camera's own event time, which may be behind that clock.

    Args:
        rules: What an operator can turn.
        known: What is known of all cameras.
        name: Of the camera.
        at_ms: Event time.
        command: A person's, about an alert of this camera that is not over; it comes first.
    """
    return _Evaluation(rules, known, name, at_ms, command).alerts()


def has_stall(known: IncidentsState) -> bool:
    """Whether a service stands or is not there, or was so until so lately that its alert is not over: what it held up
    still comes."""
    down = (service for service, its in known.services().items() if SERVICE_DOWN in its.causes)
    return SERVICE_STALLED in known.camera(FLEET).causes or not _ON_THE_ROAD.isdisjoint(down)


class _Evaluation:
    def __init__(
        self, rules: Rules, known: IncidentsState, name: str, at_ms: int, command: AlertCommand | None
    ) -> None:
        self._rules = rules
        self._known = known
        self._name = name
        self._command = command
        self._camera: CameraState = known.camera(name)
        self._at_ms = at_ms - self._camera.lag_ms
        self._ended = dict(self._camera.ended)
        self._counted = dict(self._camera.counted)
        self._incidents = Membership(rules, known, name, self._at_ms, at_ms, self._counted)
        self._alerts: list[Alert] = []
        self._dues: list[int] = []
        self._has_fault = False
        self._has_stall = has_stall(known)

    def alerts(self) -> list[Alert]:
        alarms = by_cause(self._camera.alarms)
        causes: dict[str, CauseState] = {}
        for name in sorted({*alarms, *self._camera.causes}, key=lambda name: (not is_fault(name), name)):
            cause = self._evaluated(name, self._camera.causes.get(name), alarms.get(name, []))
            if cause.state not in OVER:
                causes[name] = cause
                self._has_fault = self._has_fault or is_fault(name)
        quiet = {kind: quiet for kind, quiet in self._camera.quiet.items() if quiet.lasts(self._at_ms)}
        due_ms = min(self._dues) + self._camera.lag_ms if self._dues else None
        camera = replace(
            self._camera,
            causes=causes,
            ended=dict(list(self._ended.items())[-REMEMBERED:]),
            counted=self._counted,
            quiet=quiet,
            due_ms=due_ms,
        )
        self._known.put_camera(self._name, camera)
        return self._alerts

    # -- one cause

    def _evaluated(self, name: str, cause: CauseState | None, alarms: list[Alarm]) -> CauseState:
        """What has become of a cause by now."""
        if cause is None:
            wait_ms = self._rules.settle_ms if waits_for_others(name) else 0
            cause = CauseState(
                state=LifecycleState.WAITING, cause=first_of(alarms).cause, since_ms=self._at_ms, wait_ms=wait_ms
            )
        cause = self._commanded(name, cause)
        if not alarms:
            return self._well(name, cause)
        cause = self._raised(name, cause, strongest(alarms))
        while (event := self._event(name, cause)) is not None:
            cause = self._stepped(name, cause, event)
        return cause

    def _commanded(self, name: str, cause: CauseState) -> CauseState:
        """A cause once the command was carried out, if it is about its alert."""
        command, emitted = self._command, cause.emitted
        if command is None or emitted is None or emitted.alert.alert_id != command.alert_id:
            return cause
        match command.action:
            case "acknowledge":
                event = LifecycleEvent.ACKNOWLEDGE
                cause = replace(cause, suppression=None, acknowledged_by=command.by, was_shown=True)
            case "suppress":
                event = LifecycleEvent.SUPPRESS
                cause = replace(cause, suppression=suppression_of(command), acknowledged_by=None)
            case _:  # unsuppress
                event = LifecycleEvent.UNSUPPRESS
        return self._stepped(name, cause, event, command)

    def _raised(self, name: str, cause: CauseState, found: dict[str, Alarm]) -> CauseState:
        """A cause with the alarms that are raised now."""
        camera = self._camera
        alarms, blames = (found, False) if cause.emitted is None else (cause.alarms | found, cause.blames_version)
        if name == DRIFT and not blames:
            blames = is_of_new_version(alarms, camera.version_before, camera.version_since_ms)
        beyond = cause.beyond_mix or camera.recent_errors > camera.worst_loss * camera.recent_labels
        return replace(
            cause,
            alarms=alarms,
            raised=tuple(sorted(found)),
            well_since_ms=None,
            blames_version=blames,
            beyond_mix=beyond and "accuracy" in alarms,
        )

    def _well(self, name: str, cause: CauseState) -> CauseState:
        """A cause of which nothing is raised: it ends unless something comes back soon."""
        since_ms = self._at_ms if cause.well_since_ms is None else cause.well_since_ms
        end_ms = since_ms if cause.emitted is None else since_ms + self._rules.resolve_ms
        if self._at_ms < end_ms:
            self._dues.append(end_ms)
            return replace(cause, raised=(), well_since_ms=since_ms)
        return self._stepped(name, cause, LifecycleEvent.ENDED)

    # -- which event it is

    def _event(self, name: str, cause: CauseState) -> LifecycleEvent | None:
        """What happens to a cause with alarms that are raised; None while nothing does."""
        is_blocked = (self._has_fault and is_blocked_by_faults(name)) or (
            self._has_stall and is_blocked_by_stalls(name)
        )
        match cause.state:
            case LifecycleState.WAITING:
                return LifecycleEvent.FAULT if is_blocked else self._settled(name, cause)
            case LifecycleState.BLOCKED:
                return None if is_blocked else LifecycleEvent.FAULT_OVER
            case LifecycleState.SUPPRESSED:
                if cause.suppression is not None and cause.suppression.lasts(self._at_ms):
                    self._await(cause.suppression.until_ms)
                    return None
                return LifecycleEvent.FAULT if is_blocked else LifecycleEvent.SUPPRESSION_OVER
            case LifecycleState.HELD_BACK:
                return None if is_blocked else self._fault_over(name, cause)
            case _:
                return LifecycleEvent.FAULT if is_blocked else self._changed(name, cause)

    def _settled(self, name: str, cause: CauseState) -> LifecycleEvent | None:
        settled_ms = cause.since_ms + cause.wait_ms
        if self._at_ms < settled_ms:
            self._dues.append(settled_ms)
            return None
        return LifecycleEvent.SETTLED if self._quiet(name, cause) is None else LifecycleEvent.SETTLED_SUPPRESSED

    def _quiet(self, name: str, cause: CauseState) -> Suppression | None:
        """Who wants no alert of the cause's kind now."""
        quiet = self._camera.quiet.get(self._kind(name, cause))
        return quiet if quiet is not None and quiet.lasts(self._at_ms) else None

    def _fault_over(self, name: str, cause: CauseState) -> LifecycleEvent:
        is_seen = cause.acknowledged_by is not None and self._is_as_emitted(name, cause)
        return LifecycleEvent.FAULT_OVER_AS_SEEN if is_seen else LifecycleEvent.FAULT_OVER

    def _changed(self, name: str, cause: CauseState) -> LifecycleEvent | None:
        """At once if the alert means something else to a person, else once the last record is old enough."""
        emitted = cause.emitted
        if emitted is None or not self._is_as_emitted(name, cause):
            return LifecycleEvent.CHANGED
        alert, dues = emitted.alert, []
        facts = self._facts(alert.kind, cause, alert.cameras, emitted.more, alert.group)
        if facts.outline() != emitted.outline:
            dues.append(emitted.at_ms + self._rules.update_ms)
        if self._incidents.unnamed(alert.kind, alert, emitted.more):
            dues.append(emitted.at_ms + CAMERAS_EVERY_MS)
        if not dues:
            return None
        if self._at_ms < min(dues):
            self._dues.append(min(dues))
            return None
        return LifecycleEvent.REFRESHED

    def _await(self, at_ms: int | None) -> None:
        if at_ms is not None:
            self._dues.append(at_ms)

    # -- what follows

    def _stepped(
        self, name: str, cause: CauseState, event: LifecycleEvent, command: AlertCommand | None = None
    ) -> CauseState:
        """A cause after *event*; its record is written where a reader can see the step."""
        state = next_state(cause.state, event)
        writes = is_written(cause.state, event)
        if event is LifecycleEvent.SETTLED_SUPPRESSED:
            cause = replace(cause, suppression=self._quiet(name, cause))
        elif cause.state is LifecycleState.BLOCKED and state is LifecycleState.WAITING:
            # What outlasts the fault is given time to go, too.
            cause = replace(cause, since_ms=self._at_ms, wait_ms=max(cause.wait_ms, self._rules.after_fault_ms))
        if state is not LifecycleState.SUPPRESSED:
            cause = replace(cause, suppression=None)
        cause = replace(cause, state=state)
        return self._written(name, cause, command) if writes else cause

    def _written(self, name: str, cause: CauseState, command: AlertCommand | None) -> CauseState:
        """A cause that knows its new record."""
        before = cause.emitted.alert if cause.emitted else self._goes_on_with(name, cause)
        # A person commands what the last record showed, and what is over stays what it was.
        stays = command is not None or cause.state is LifecycleState.RESOLVED
        kind = before.kind if before is not None and stays else self._kind(name, cause)
        severity = before.severity if before is not None and command else self._severity(kind, cause)
        if before is None or (kind, severity) != (before.kind, before.severity):
            cause = replace(cause, acknowledged_by=None)  # nobody has seen it as it is now
        alert_id = before.alert_id if before else digest("alert", self._name, name, cause.cause)
        more = cause.emitted.more if cause.emitted else 0
        # What comes back is part of what its group has now.
        last = before if cause.emitted else None
        signal = main_alarm(kind, cause.alarms).signal
        incident_id, cameras, more = self._incidents.joined(kind, signal, alert_id, last, more)
        facts = self._facts(kind, cause, cameras, more, self._incidents.name if len(cameras) > 1 else None)
        alert = record_of(
            cause,
            facts,
            severity,
            self._camera,
            before,
            alert_id=alert_id,
            incident_id=incident_id,
            revision=before.revision + 1 if cause.emitted and before else self._first_revision(alert_id),
            at_ms=max(self._at_ms, before.updated_at_ms if before else 0, command.at_ms if command else 0),
            command_id=command.command_id if command else None,
        )
        self._alerts.append(alert)
        if cause.state is LifecycleState.RESOLVED:
            self._end(alert)
        return replace(
            cause,
            emitted=Emitted(alert=alert, outline=facts.outline(), more=more, at_ms=self._at_ms),
            was_shown=cause.was_shown or alert.state != "suppressed",
        )

    def _goes_on_with(self, name: str, cause: CauseState) -> Alert | None:
        """The last record of the alert that a cause goes on with: of the one before, unless that has been over for too
        long; of one that has the same id in any case."""
        lasts = (self._known.last_record(alert_id) for alert_id in reversed(self._ended))
        last = next((each for each in lasts if each is not None and cause_of(each.kind) == name), None)
        resolved_at_ms = last.resolved_at_ms if last is not None else None
        if resolved_at_ms is not None and cause.since_ms - resolved_at_ms < self._rules.reopen_ms:
            return last
        return self._known.last_record(digest("alert", self._name, name, cause.cause))

    def _first_revision(self, alert_id: str) -> int:
        """An alert that comes back goes on counting."""
        self._known.put_last_record(alert_id, None)
        ended = self._ended.get(alert_id)
        return 0 if ended is None else ended.revision + 1

    def _end(self, alert: Alert) -> None:
        self._ended.pop(alert.alert_id, None)
        self._ended[alert.alert_id] = Ended(revision=alert.revision, at_ms=alert.updated_at_ms)
        self._known.put_last_record(alert.alert_id, alert)
        for alert_id in list(self._ended)[:-ANSWERED]:
            self._known.put_last_record(alert_id, None)

    # -- what it is now

    def _kind(self, name: str, cause: CauseState) -> str:
        return kind_of(name, cause.alarms, blames_version=cause.blames_version, beyond_mix=cause.beyond_mix)

    def _severity(self, kind: str, cause: CauseState) -> Severity:
        floor = any(alarm.kind == "accuracy_floor" for alarm in self._camera.alarms)
        return severity_of(kind, cause.alarms, floor=floor)

    def _is_as_emitted(self, name: str, cause: CauseState) -> bool:
        """Whether kind and severity are those of the last record."""
        kind = self._kind(name, cause)
        alert = cause.emitted.alert if cause.emitted else None
        return alert is not None and (kind, self._severity(kind, cause)) == (alert.kind, alert.severity)

    def _facts(self, kind: str, cause: CauseState, cameras: Sequence[str], more: int, group: str | None) -> Facts:
        own = cause_of(kind)
        others = {alarm.kind for alarm in self._camera.alarms if cause_of(alarm.kind) != own}
        silenced = {each for each in others if is_fault(own) and is_blocked_by_faults(cause_of(each))}
        return Facts(
            kind=kind,
            camera=self._name if is_camera(self._name) else None,
            main=main_alarm(kind, cause.alarms),
            alarms=cause.alarms,
            raised=cause.raised,
            silenced=sorted(silenced),
            also=sorted(others - silenced),
            signals_off=self._camera.signals_off,
            model=f"{self._camera.model} {self._camera.version}",
            version_before=self._camera.version_before,
            version_since_ms=self._camera.version_since_ms,
            group=group,
            cameras=cameras,
            more=more,
            service=service_of(self._name),
            sentence=self._camera.sentences.get(kind, ""),
        )


def suppression_of(command: AlertCommand) -> Suppression:
    """What a command to suppress says."""
    return Suppression(until_ms=command.until_ms, by=command.by, because=command.reason)


def quieted(quiet: Mapping[str, Suppression], kind: str, command: AlertCommand) -> dict[str, Suppression]:
    """Kinds that are to be quiet after a command about an alert of *kind*: only suppression for a time is one of more
    than the alert itself, and any other command ends that of its kind."""
    others = {other: each for other, each in quiet.items() if other != kind}
    is_for_a_time = command.action == "suppress" and command.until_ms is not None
    return others | {kind: suppression_of(command)} if is_for_a_time else others
