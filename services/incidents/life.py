"""The lives of one camera's alerts. Law: what is raised for longer than it takes to settle has exactly one alert, and
an alert ends when all behind it has been well for a while.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import DRIFT, cause_of
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, Alert, AlertState, Severity
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed, without_suppression
from services.incidents import NAME
from services.incidents.book import FLEET, Book, Incident, Lane, Watched
from services.incidents.causes import (
    by_cause,
    first_of,
    is_blocked_by_faults,
    is_fault,
    is_of_new_version,
    kind_of,
    main_alarm,
    severity_of,
    strongest,
    waits_for_others,
)
from services.incidents.explain import Facts, held_back, paragraph, resolved

CAMERAS_EVERY_MS: Final = 1_000
"""Shortest time between two records of an incident's first alert that only name or count further cameras."""
NAMED_MOST: Final = 50
"""Cameras that an alert names; were it all, an incident of 10,000 would be 50 million names."""
REMEMBERED: Final = 32
"""Alerts that are over whose revision and end are kept, a camera."""
FLEET_GROUP: Final = "fleet"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an operator can turn; times are event time in milliseconds.

    Attributes:
        settle_ms: How long a statistical alarm waits for others.
        after_fault_ms: The same for what is still raised when a fault of the camera has ended.
        resolve_ms: How long all must be well before an alert is resolved.
        update_ms: Shortest time between two updates that change neither kind nor severity nor cameras.
        group_window_ms: Alerts that open so soon after the first are one incident.
        group_pattern: Its one group names a camera's group; without it all cameras are one.
        accuracy_floor: Accuracy of the fleet, 0 to 1, under which an alert opens.
        floor_labels: Labels needed before it is judged.
    """

    settle_ms: int = 5_000
    after_fault_ms: int = 30_000
    resolve_ms: int = 10_000
    update_ms: int = 30_000
    group_window_ms: int = 3_600_000
    group_pattern: re.Pattern[str] | None = None
    accuracy_floor: float = 0.40
    floor_labels: float = 100.0


def look(rules: Rules, book: Book, name: str, at_ms: int) -> list[Alert]:
    """Look at camera *name* when the clock of all is *at_ms*: note in *book* what is so now, return what is to be said.

    All goes by the camera's own event time, which may be behind that clock.
    """
    return _Look(rules, book, name, at_ms).all()


class _Look:
    def __init__(self, rules: Rules, book: Book, name: str, at_ms: int) -> None:
        self._rules = rules
        self._book = book
        self._name = name
        self._clock_ms = at_ms
        self._watched: Watched = book.camera(name)
        self._at_ms = at_ms - self._watched.lag_ms
        self._revisions = dict(self._watched.revisions)
        self._ended_ms = dict(self._watched.ended_ms)
        self._counted = dict(self._watched.counted)
        self._said: list[Alert] = []
        self._dues: list[int] = []
        self._has_fault = False

    def all(self) -> list[Alert]:
        alarms = by_cause(self._watched.alarms)
        lanes: dict[str, Lane] = {}
        for name in sorted({*alarms, *self._watched.lanes}, key=lambda name: (not is_fault(name), name)):
            lane = self._lived(name, self._watched.lanes.get(name), alarms.get(name, []))
            if lane is not None:
                lanes[name] = lane
                self._has_fault = self._has_fault or is_fault(name)
        newest = dict(list(self._revisions.items())[-REMEMBERED:])
        ended_ms = {alert_id: at_ms for alert_id, at_ms in self._ended_ms.items() if alert_id in newest}
        quiet = {kind: quiet for kind, quiet in self._watched.quiet.items() if quiet.until_ms > self._at_ms}
        due_ms = min(self._dues) + self._watched.lag_ms if self._dues else None
        watched = replace(
            self._watched,
            lanes=lanes,
            revisions=newest,
            ended_ms=ended_ms,
            counted=self._counted,
            quiet=quiet,
            due_ms=due_ms,
        )
        self._book.put_camera(self._name, watched)
        return self._said

    # -- the life of one lane

    def _lived(self, name: str, lane: Lane | None, alarms: list[Alarm]) -> Lane | None:
        """What has become of a lane; None when it is over, or was before its alert opened."""
        if lane is None:
            wait_ms = self._rules.settle_ms if waits_for_others(name) else 0
            lane = Lane(cause=first_of(alarms).cause, since_ms=self._at_ms, wait_ms=wait_ms)
        if alarms:
            return self._raised(name, lane, strongest(alarms))
        if lane.alert is None:
            return None
        return self._gone(name, lane, lane.alert)

    def _raised(self, name: str, lane: Lane, found: dict[str, Alarm]) -> Lane:
        behind, blames = (found, False) if lane.alert is None else (lane.behind | found, lane.blames_version)
        if name == DRIFT and not blames:
            blames = is_of_new_version(behind, self._watched.version_before, self._watched.version_since_ms)
        watched = self._watched
        beyond = lane.beyond_mix or watched.recent_errors > watched.worst_loss * watched.recent_labels
        lane = replace(
            lane,
            behind=behind,
            raised=tuple(sorted(found)),
            gone_ms=None,
            blames_version=blames,
            beyond_mix=beyond and "accuracy" in behind,
        )
        if lane.alert is None:
            return self._waiting(name, lane)
        if lane.held_until_ms > self._at_ms or self._is_blocked(name):
            return self._kept_quiet(name, lane, lane.alert)
        if lane.alert.state == "suppressed":
            return self._written(name, lane, "updated" if lane.shown else "opened")
        return self._open(name, lane, lane.alert)

    def _gone(self, name: str, lane: Lane, alert: Alert) -> Lane | None:
        """Nothing behind an alert is raised: it ends unless something comes back soon."""
        gone_ms = self._at_ms if lane.gone_ms is None else lane.gone_ms
        end_ms = gone_ms + self._rules.resolve_ms
        if self._at_ms < end_ms:
            self._dues.append(end_ms)
            return replace(lane, raised=(), gone_ms=gone_ms)
        self._written(name, lane, "resolved")
        over = self._said[-1]
        self._revisions.pop(alert.alert_id, None)
        self._revisions[alert.alert_id] = over.revision
        self._ended_ms[alert.alert_id] = over.updated_at_ms
        return None

    def _waiting(self, name: str, lane: Lane) -> Lane:
        """Open the alert once it is time and no fault of the camera explains what is seen."""
        if self._is_blocked(name):
            return replace(lane, blocked=True)
        if lane.blocked:
            wait_ms = max(lane.wait_ms, self._rules.after_fault_ms)
            lane = replace(lane, blocked=False, since_ms=self._at_ms, wait_ms=wait_ms)
        if self._at_ms < lane.since_ms + lane.wait_ms:
            self._dues.append(lane.since_ms + lane.wait_ms)
            return lane
        quiet = self._watched.quiet.get(self._kind(name, lane))
        if quiet is None or quiet.until_ms <= self._at_ms:
            return self._written(name, lane, "opened")
        self._dues.append(quiet.until_ms)
        return self._written(name, replace(lane, held_until_ms=quiet.until_ms), "suppressed", by_word_of=quiet.by)

    def _kept_quiet(self, name: str, lane: Lane, alert: Alert) -> Lane:
        if self._at_ms < lane.held_until_ms < UNTIL_RESOLVED:
            self._dues.append(lane.held_until_ms)
        return lane if alert.state == "suppressed" else self._written(name, lane, "suppressed")

    def _open(self, name: str, lane: Lane, alert: Alert) -> Lane:
        """Say it when the alert means something else now; at once if a person would look at it in another way."""
        kind = self._kind(name, lane)
        if kind != alert.kind or self._severity(kind, lane) != alert.severity:
            return self._written(name, lane, "updated")
        dues = []
        if self._facts(kind, lane, alert.cameras, lane.more, alert.group).told() != lane.told:
            dues.append(lane.written_ms + self._rules.update_ms)
        incident = self._incident(kind, alert)
        if (
            incident is not None
            and incident.first_camera == self._name
            and self._named(incident) != (alert.cameras, lane.more)
        ):
            dues.append(lane.written_ms + CAMERAS_EVERY_MS)
        if not dues:
            return lane
        if self._at_ms < min(dues):
            self._dues.append(min(dues))
            return lane
        return self._written(name, lane, "updated")

    # -- what is said of it

    def _written(self, name: str, lane: Lane, state: AlertState, *, by_word_of: str = "") -> Lane:
        """Say how an alert stands; returns the lane that knows it.

        What a person has seen stays acknowledged until its kind or severity is another one.
        """
        before = lane.alert
        kind = before.kind if before is not None and state == "resolved" else self._kind(name, lane)
        alert_id = before.alert_id if before else digest("alert", self._name, name, lane.cause)
        severity = self._severity(kind, lane)
        is_as_seen = before is not None and (kind, severity) == (before.kind, before.severity)
        acknowledged = lane.acknowledged and is_as_seen
        if state == "updated" and acknowledged:
            state = "acknowledged"
        incident_id, cameras, more = self._joined(kind, alert_id, before, lane.more)
        group = self._group()[1] if len(cameras) > 1 else None
        facts = self._facts(kind, lane, cameras, more, group)
        alarm, at_ms = facts.main, max(self._at_ms, before.updated_at_ms if before else 0)
        opened_at_ms = before.opened_at_ms if before else at_ms
        if state == "resolved":
            explanation = resolved(without_suppression(before.explanation if before else ""), opened_at_ms, at_ms)
        elif state == "suppressed":
            text = paragraph(facts)
            held = lane.held_until_ms
            explanation = suppressed(text, by_word_of, held) if by_word_of else held_back(text)
        else:
            explanation = paragraph(facts)
        alert = Alert(
            alert_id=alert_id,
            revision=before.revision + 1 if before else self._revisions.get(alert_id, -1) + 1,
            state=state,
            kind=kind,
            severity=severity,
            camera=facts.camera,
            group=group,
            cameras=cameras,
            signal=alarm.signal,
            label=alarm.label,
            phase=alarm.phase,
            detector=alarm.detector,
            estimate=alarm.estimate,
            reference=alarm.reference,
            evidence=alarm.evidence,
            threshold=alarm.threshold,
            model=self._watched.model,
            version=self._watched.version,
            since_ms=min(each.since_ms for each in lane.behind.values()),
            opened_at_ms=opened_at_ms,
            updated_at_ms=at_ms,
            resolved_at_ms=at_ms if state == "resolved" else None,
            explanation=explanation,
            by=NAME,
            examples_before=alarm.examples_before,
            examples_after=alarm.examples_after,
            incident_id=incident_id,
        )
        self._said.append(alert)
        shown = lane.shown or state != "suppressed"
        return replace(
            lane,
            alert=alert,
            shown=shown,
            acknowledged=acknowledged,
            told=facts.told(),
            more=more,
            written_ms=self._at_ms,
        )

    def _kind(self, name: str, lane: Lane) -> str:
        return kind_of(name, lane.behind, blames_version=lane.blames_version, beyond_mix=lane.beyond_mix)

    def _severity(self, kind: str, lane: Lane) -> Severity:
        floor = any(alarm.kind == "accuracy_floor" for alarm in self._watched.alarms)
        return severity_of(kind, lane.behind, floor=floor)

    def _is_blocked(self, name: str) -> bool:
        return self._has_fault and is_blocked_by_faults(name)

    def _facts(self, kind: str, lane: Lane, cameras: Sequence[str], more: int, group: str | None) -> Facts:
        own = cause_of(kind)
        others = {alarm.kind for alarm in self._watched.alarms if cause_of(alarm.kind) != own}
        silenced = {each for each in others if is_fault(own) and is_blocked_by_faults(cause_of(each))}
        return Facts(
            kind=kind,
            camera=None if self._name == FLEET else self._name,
            main=main_alarm(kind, lane.behind),
            behind=lane.behind,
            raised=lane.raised,
            silenced=sorted(silenced),
            also=sorted(others - silenced),
            model=f"{self._watched.model} {self._watched.version}",
            version_before=self._watched.version_before,
            version_since_ms=self._watched.version_since_ms,
            group=group,
            cameras=cameras,
            more=more,
        )

    # -- which alerts are one incident

    def _group(self) -> tuple[str, str | None]:
        """Key and name of the camera's group; one that has none is by itself."""
        pattern = self._rules.group_pattern
        if pattern is None:
            return "", FLEET_GROUP
        found = pattern.search(self._name)
        named: str | None = found[1] if found else None
        return ("\0" + self._name, None) if named is None else (named, named)

    def _incident(self, kind: str, alert: Alert) -> Incident | None:
        """The incident that an alert is part of; None when the group has had another one of that kind since."""
        incident = self._book.incident(self._group()[0], kind)
        return incident if incident is not None and incident.incident_id == alert.incident_id else None

    def _joined(self, kind: str, alert_id: str, before: Alert | None, more: int) -> tuple[str, list[str], int]:
        """Id of the incident that an alert is, or now becomes, part of, and of its cameras what `_named` says; of those
        that the record before did not name there were *more*."""
        if self._name == FLEET:
            return alert_id, [], 0
        if before is not None and kind == before.kind:
            incident = self._incident(kind, before)
            return before.incident_id, *((before.cameras, more) if incident is None else self._named(incident))
        group = self._group()[0]
        incident = self._book.incident(group, kind)
        if incident is None or self._at_ms - incident.opened_at_ms > self._rules.group_window_ms:
            incident = Incident(
                incident_id=alert_id, first_camera=self._name, opened_at_ms=self._at_ms, cameras=(self._name,)
            )
        elif self._name not in incident.cameras and self._counted.get(kind) != incident.opened_at_ms:
            incident = self._with_this_one(kind, incident)
            self._wake(incident.first_camera)
        self._book.put_incident(group, kind, incident)
        return incident.incident_id, *self._named(incident)

    def _with_this_one(self, kind: str, incident: Incident) -> Incident:
        """An incident that the camera is part of from now on: named there, or counted once there are enough names."""
        if len(incident.cameras) < NAMED_MOST:
            return replace(incident, cameras=(*incident.cameras, self._name))
        self._counted[kind] = incident.opened_at_ms
        return replace(incident, more=incident.more + 1)

    def _named(self, incident: Incident) -> tuple[list[str], int]:
        """The cameras of an incident that the camera's alert names, its own among them, and how many it does not."""
        names = list(incident.cameras[:NAMED_MOST])
        if self._name not in names:
            names = [*names[: NAMED_MOST - 1], self._name]
        return names, max(0, len(incident.cameras) + incident.more - len(names))

    def _wake(self, name: str) -> None:
        """Have another camera looked at: its alert names the cameras of the incident."""
        other = self._book.camera(name)
        due_ms = self._clock_ms if other.due_ms is None else min(other.due_ms, self._clock_ms)
        self._book.put_camera(name, replace(other, due_ms=due_ms))
