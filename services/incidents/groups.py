"""Which alerts are one incident: those of one kind that open in one group within a while, and what is told of one
service that stands and is down.
"""

from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import SERVICE_DOWN, SERVICE_STALLED
from catseye.contract.records import Alert
from services.incidents.incidents_state import FLEET, IncidentsState, is_camera, service_place
from services.incidents.known import Incident
from services.incidents.rules import Rules

NAMED_MOST: Final = 50
"""Cameras that an alert names; were it all, an incident of 10,000 would be 50 million names."""
FLEET_GROUP: Final = "fleet"


class Membership:
    """The incidents of one camera.

    Args:
        rules: What an operator can turn.
        known: Incidents of all groups; a join changes it.
        camera: Name of the camera.
        at_ms: Its event time.
        clock_ms: The clock of all.
        counted: As `CameraState.counted`; a join changes it.
    """

    def __init__(
        self, rules: Rules, known: IncidentsState, camera: str, at_ms: int, clock_ms: int, counted: dict[str, int]
    ) -> None:
        self._rules = rules
        self._known = known
        self._camera = camera
        self._at_ms = at_ms
        self._clock_ms = clock_ms
        self._counted = counted

    @property
    def name(self) -> str | None:
        """Name of the camera's group; None where it has none."""
        return self._group()[1]

    def unnamed(self, kind: str, alert: Alert, more: int) -> bool:
        """Whether *alert*, the first one of its incident, names and counts other cameras than the incident has now."""
        incident = self._incident(kind, alert)
        is_first = incident is not None and incident.first_camera == self._camera
        return incident is not None and is_first and self._named(incident) != (alert.cameras, more)

    def joined(
        self, kind: str, signal: str, alert_id: str, before: Alert | None, more: int
    ) -> tuple[str, list[str], int]:
        """Id of the incident that an alert is, or now becomes, part of, the cameras that it names, and how many more
        there are; the record *before* counted *more*."""
        if not is_camera(self._camera):
            return before.incident_id if before else self._of_service(kind, signal) or alert_id, [], 0
        if before is not None and kind == before.kind:
            known = self._incident(kind, before)
            return before.incident_id, *((before.cameras, more) if known is None else self._named(known))
        group = self._group()[0]
        incident = self._known.incident(group, kind)
        if incident is None or self._at_ms - incident.opened_at_ms > self._rules.group_window_ms:
            incident = Incident(
                incident_id=alert_id, first_camera=self._camera, opened_at_ms=self._at_ms, cameras=(self._camera,)
            )
        elif self._camera not in incident.cameras and self._counted.get(kind) != incident.opened_at_ms:
            incident = self._with_this_one(kind, incident)
            self._wake(incident.first_camera)
        self._known.put_incident(group, kind, incident)
        return incident.incident_id, *self._named(incident)

    def _of_service(self, kind: str, service: str) -> str | None:
        """The incident of *service* that is told already: what does not work off its records because it is down, and is
        down because it hangs, is one."""
        if kind == SERVICE_DOWN:
            place, other = FLEET, SERVICE_STALLED
        elif kind == SERVICE_STALLED:
            place, other = service_place(service), SERVICE_DOWN
        else:
            return None
        cause = self._known.camera(place).causes.get(other)
        told = cause.emitted.alert if cause is not None and cause.emitted is not None else None
        return told.incident_id if told is not None and told.signal == service else None

    def _group(self) -> tuple[str, str | None]:
        """Key and name of the camera's group; one that has none is by itself."""
        pattern = self._rules.group_pattern
        if pattern is None:
            return "", FLEET_GROUP
        found = pattern.search(self._camera)
        named: str | None = found[1] if found else None
        return ("\0" + self._camera, None) if named is None else (named, named)

    def _incident(self, kind: str, alert: Alert) -> Incident | None:
        """The incident that an alert is part of; None when the group has had another one of that kind since."""
        incident = self._known.incident(self._group()[0], kind)
        return incident if incident is not None and incident.incident_id == alert.incident_id else None

    def _with_this_one(self, kind: str, incident: Incident) -> Incident:
        """An incident that the camera is part of from now on: named there, or counted once there are enough names."""
        if len(incident.cameras) < NAMED_MOST:
            return replace(incident, cameras=(*incident.cameras, self._camera))
        self._counted[kind] = incident.opened_at_ms
        return replace(incident, more=incident.more + 1)

    def _named(self, incident: Incident) -> tuple[list[str], int]:
        """The cameras of an incident that the camera's alert names, its own among them, and how many it does not."""
        names = list(incident.cameras[:NAMED_MOST])
        if self._camera not in names:
            names = [*names[: NAMED_MOST - 1], self._camera]
        return names, max(0, len(incident.cameras) + incident.more - len(names))

    def _wake(self, name: str) -> None:
        """Have another camera evaluated: its alert names the cameras of the incident."""
        other = self._known.camera(name)
        due_ms = self._clock_ms if other.due_ms is None else min(other.due_ms, self._clock_ms)
        self._known.put_camera(name, replace(other, due_ms=due_ms))
