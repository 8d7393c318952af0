"""State of incidents, and when which camera is to be evaluated. Every value is immutable, so that one step back is a
reference kept.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from catseye.contract.records import Alert
from services.incidents.formats import CAMERAS, INCIDENTS, LAST_RECORDS
from services.incidents.known import CameraState, CauseState, Incident

FLEET: Final = ""
"""Stands where a camera's name stands, which is never empty, for what concerns all of them."""
_SERVICE: Final = "\0"
"""Begins what stands where a camera's name stands for what concerns one service; no name has a control character."""
_CAMERA, _INCIDENT, _OVER = b"c", b"i", b"e"
_Value = CameraState | Incident | Alert


def is_camera(name: str) -> bool:
    """Whether *name* is a camera's: neither the fleet's nor a service's."""
    return name != FLEET and not name.startswith(_SERVICE)


def service_place(service: str) -> str:
    """What stands where a camera's name stands for what concerns a service."""
    return _SERVICE + service


def service_of(place: str) -> str | None:
    """The service that *place* is of; None for a camera and for the fleet."""
    return place.removeprefix(_SERVICE) if place.startswith(_SERVICE) else None


class IncidentsState:
    """State of incidents; satisfies `catseye.runtime.stream.State`."""

    def __init__(self) -> None:
        self._values: dict[bytes, _Value] = {}
        self._cameras: dict[str, CameraState] = {}  # those of them that are cameras
        self._services: dict[str, CameraState] = {}  # those that are services, by name
        self._open: dict[str, tuple[str, str]] = {}  # alert_id of each alert that is not over: its camera and cause
        self._before: dict[bytes, _Value | None] = {}
        self._due: list[tuple[int, str]] = []  # heap; what a camera's entry no longer says is passed over
        self.newest_ms = 0  # of all reports
        self.clock_ms = 0  # event time: that of the newest report, and on while none comes
        self._committed_clock_ms = 0

    def camera(self, name: str) -> CameraState:
        """What is known of a camera; of one that never sent a report, nothing."""
        found = self._values.get(_CAMERA + name.encode())
        return found if isinstance(found, CameraState) else CameraState()

    def cameras(self) -> Mapping[str, CameraState]:
        """All of them, the fleet and the services left out."""
        return self._cameras

    def services(self) -> Mapping[str, CameraState]:
        """What is known of each service that ever had a fault, by its name."""
        return self._services

    def put_camera(self, name: str, camera: CameraState) -> None:
        self._put(_CAMERA + name.encode(), camera)

    def incident(self, group: str, kind: str) -> Incident | None:
        """The newest incident of a kind in a group."""
        found = self._values.get(_incident_key(group, kind))
        return found if isinstance(found, Incident) else None

    def put_incident(self, group: str, kind: str, incident: Incident) -> None:
        self._put(_incident_key(group, kind), incident)

    def place_of(self, alert_id: str) -> tuple[str, str] | None:
        """Camera and cause of an alert that is not over; None of any other."""
        return self._open.get(alert_id)

    def last_record(self, alert_id: str) -> Alert | None:
        """The last record of an alert that is over; None where it is not known any more."""
        found = self._values.get(_OVER + alert_id.encode())
        return found if isinstance(found, Alert) else None

    def put_last_record(self, alert_id: str, alert: Alert | None) -> None:
        """Keep the last record of an alert that is over; None forgets it."""
        self._put(_OVER + alert_id.encode(), alert)

    def next_due(self, until_ms: int) -> tuple[int, str] | None:
        """The camera that is to be evaluated first, and when, if that is not after *until_ms*."""
        while self._due and self._due[0][0] <= until_ms:
            due_ms, name = self._due[0]
            if self.camera(name).due_ms == due_ms:
                return due_ms, name
            heappop(self._due)
        return None

    # -- for the worker

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._set(key, None if value is None else _read(key, value))

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        return [(key, _written(self._values.get(key))) for key in self._before]

    def commit(self) -> None:
        self._before.clear()
        self._committed_clock_ms = self.clock_ms

    def rollback(self) -> None:
        for key, value in self._before.items():
            self._set(key, value)
        self._before.clear()
        self.clock_ms = self._committed_clock_ms
        self.newest_ms = max([0, *(camera.at_ms for camera in self._cameras.values())])

    # -- within

    def _put(self, key: bytes, value: _Value | None) -> None:
        now = self._values.get(key)
        if now != value:
            self._before.setdefault(key, now)
            self._set(key, value)

    def _set(self, key: bytes, value: _Value | None) -> None:
        before = self._values.pop(key, None) if value is None else self._values.get(key)
        if value is not None:
            self._values[key] = value
        if key[:1] == _CAMERA:
            self._set_camera(key[1:].decode(), before, value)

    def _set_camera(self, name: str, before: _Value | None, value: _Value | None) -> None:
        if isinstance(before, CameraState):
            for alert_id, _ in _alerts_of(before):
                self._open.pop(alert_id, None)
        if not isinstance(value, CameraState):
            self._cameras.pop(name, None)
            self._services.pop(name.removeprefix(_SERVICE), None)
            return
        for alert_id, cause in _alerts_of(value):
            self._open[alert_id] = (name, cause)
        if is_camera(name):
            self._cameras[name] = value
        elif (service := service_of(name)) is not None:
            self._services[service] = value
        self.newest_ms = max(self.newest_ms, value.at_ms)
        self.clock_ms = max(self.clock_ms, value.at_ms)
        if value.due_ms != (before.due_ms if isinstance(before, CameraState) else None):
            self._await(name, value.due_ms)

    def _await(self, name: str, due_ms: int | None) -> None:
        """Note when a camera is to be evaluated, now that this is another moment; None is never."""
        if due_ms is None:
            return
        heappush(self._due, (due_ms, name))
        if len(self._due) > 2 * len(self._values):  # most of it is what no camera's entry says any more
            known = ((key[1:].decode(), value) for key, value in self._values.items() if isinstance(value, CameraState))
            self._due = [(camera.due_ms, name) for name, camera in known if camera.due_ms is not None]
            heapify(self._due)


def _read(key: bytes, value: bytes) -> _Value:
    match key[:1]:
        case b"c":
            return CAMERAS.read(value)
        case b"i":
            return INCIDENTS.read(value)
        case _:
            return LAST_RECORDS.read(value)


def _written(value: _Value | None) -> bytes | None:
    match value:
        case CameraState():
            return CAMERAS.write(value)
        case Incident():
            return INCIDENTS.write(value)
        case Alert():
            return LAST_RECORDS.write(value)
        case _:
            return None


def _alerts_of(camera: CameraState) -> list[tuple[str, str]]:
    """Id and cause of each alert that is not over."""
    causes: Mapping[str, CauseState] = camera.causes
    return [(state.emitted.alert.alert_id, name) for name, state in causes.items() if state.emitted is not None]


def _incident_key(group: str, kind: str) -> bytes:
    return _INCIDENT + f"{group}\0{kind}".encode()
