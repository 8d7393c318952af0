"""What incidents knows: of each camera its newest report and the lives of its alerts, of each group its incidents.

Everything is an immutable value under a key of the state topic, so that one step back is a reference kept.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from catseye.contract.records import Alarm, Alert

FLEET = ""
"""Stands where a camera's name stands, which is never empty, for what concerns all of them."""
_CAMERA, _INCIDENT = b"c", b"i"


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One cause on one camera, from the first alarm to the end: at most one alert.

    Attributes:
        cause: Of the alarm that was first; names the alert.
        since_ms: From when on it waits to be opened, event time.
        wait_ms: How long it waits for other alarms.
        blocked: Whether a fault of the camera kept it from opening.
        behind: Newest alarm of each kind that was raised since.
        raised: Kinds that are raised now.
        gone_ms: Since when none is; None while one is.
        blames_version: Whether a new version of the model began shortly before.
        beyond_mix: Whether accuracy fell further than another mix of classes can make it.
        alert: Its last record; None before it opened.
        shown: Whether it was ever opened, not only suppressed.
        held_until_ms: Until when a person wants it quiet; 0 when nobody does.
        acknowledged: Whether a person has seen it as it is.
        told: What its last record told of, but for numbers.
        more: Cameras of the incident that its last record counted and did not name.
        written_ms: When that was.
    """

    cause: str
    since_ms: int
    wait_ms: int
    blocked: bool = False
    behind: dict[str, Alarm] = {}
    raised: tuple[str, ...] = ()
    gone_ms: int | None = None
    blames_version: bool = False
    beyond_mix: bool = False
    alert: Alert | None = None
    shown: bool = False
    held_until_ms: int = 0
    acknowledged: bool = False
    told: str = ""
    more: int = 0
    written_ms: int = 0


class Quiet(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that alerts of a kind are not wanted for a while.

    Attributes:
        until_ms: Unix milliseconds.
        by: Whose word.
    """

    until_ms: int
    by: str


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One camera.

    Attributes:
        at_ms: Event time of the newest report.
        lag_ms: How far its event time was behind the clock of all when it came: its own time goes on from there.
        alarms: What it said.
        model: Name of the model.
        version: Version that serves.
        version_since_ms: Since when, for this camera.
        version_before: The one before; empty while no other was seen.
        recent_labels: Of the newest report.
        recent_errors: The same.
        worst_loss: The same.
        lanes: Causes under way, by name.
        revisions: Last revision of alerts that are over, oldest first, so that one that comes back goes on counting.
        ended_ms: When these ended, so that it can be said again.
        counted: Kinds of whose newest incident it is part without being named there: when that incident opened.
        quiet: Kinds that a person wants no alert of for a while.
        heard: What a person said last, so that a repeat is known.
        episodes: Of the fleet: how often its accuracy has been too low.
        due_ms: When something is to be looked at though no report comes, by the clock of all.
    """

    at_ms: int = -1
    lag_ms: int = 0
    alarms: tuple[Alarm, ...] = ()
    model: str = ""
    version: str = ""
    version_since_ms: int = 0
    version_before: str = ""
    recent_labels: float = 0.0
    recent_errors: float = 0.0
    worst_loss: float = 1.0
    lanes: dict[str, Lane] = {}
    revisions: dict[str, int] = {}
    ended_ms: dict[str, int] = {}
    counted: dict[str, int] = {}
    quiet: dict[str, Quiet] = {}
    heard: str = ""
    episodes: int = 0
    due_ms: int | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of one kind that opened in one group within the window.

    Attributes:
        incident_id: The first one's alert_id.
        first_camera: Whose that is.
        opened_at_ms: When it opened.
        cameras: Those that joined first, in that order.
        more: How many joined after them.
    """

    incident_id: str
    first_camera: str
    opened_at_ms: int
    cameras: tuple[str, ...]
    more: int = 0


_Value = Watched | Incident
_encode = msgspec.msgpack.Encoder().encode
_decode_watched = msgspec.msgpack.Decoder(Watched).decode
_decode_incident = msgspec.msgpack.Decoder(Incident).decode


class Book:
    """State of incidents; satisfies `catseye.runtime.stream.State`."""

    def __init__(self) -> None:
        self._values: dict[bytes, _Value] = {}
        self._cameras: dict[str, Watched] = {}  # those of them that are cameras, the fleet left out
        self._before: dict[bytes, _Value | None] = {}
        self._due: list[tuple[int, str]] = []  # heap; what a camera's entry no longer says is passed over
        self.newest_ms = 0  # of all reports
        self.clock_ms = 0  # event time: that of the newest report, and on while none comes
        self._committed_clock_ms = 0

    def camera(self, name: str) -> Watched:
        """What is known of a camera; of one that was never heard of, nothing."""
        found = self._values.get(_CAMERA + name.encode())
        return found if isinstance(found, Watched) else Watched()

    def cameras(self) -> Mapping[str, Watched]:
        """All of them, the fleet left out."""
        return self._cameras

    def put_camera(self, name: str, watched: Watched) -> None:
        self._put(_CAMERA + name.encode(), watched)

    def incident(self, group: str, kind: str) -> Incident | None:
        """The newest incident of a kind in a group."""
        found = self._values.get(_incident_key(group, kind))
        return found if isinstance(found, Incident) else None

    def put_incident(self, group: str, kind: str, incident: Incident) -> None:
        self._put(_incident_key(group, kind), incident)

    def next_due(self, until_ms: int) -> tuple[int, str] | None:
        """The camera that is to be looked at first, and when, if that is not after *until_ms*."""
        while self._due and self._due[0][0] <= until_ms:
            due_ms, name = self._due[0]
            if self.camera(name).due_ms == due_ms:
                return due_ms, name
            heappop(self._due)
        return None

    # -- what the worker asks and tells

    def restore(self, key: bytes, value: bytes | None) -> None:
        decode = _decode_watched if key[:1] == _CAMERA else _decode_incident
        self._set(key, None if value is None else decode(value))

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        return [(key, _encode(self._values[key])) for key in self._before]

    def commit(self) -> None:
        self._before.clear()
        self._committed_clock_ms = self.clock_ms

    def rollback(self) -> None:
        for key, value in self._before.items():
            self._set(key, value)
        self._before.clear()
        self.clock_ms = self._committed_clock_ms
        self.newest_ms = max([0, *(watched.at_ms for watched in self._cameras.values())])

    # -- within

    def _put(self, key: bytes, value: _Value) -> None:
        now = self._values.get(key)
        if now != value:
            self._before.setdefault(key, now)
            self._set(key, value)

    def _set(self, key: bytes, value: _Value | None) -> None:
        name = key[1:].decode()
        if value is None:
            self._values.pop(key, None)
            self._cameras.pop(name, None)
            return
        before = self._values.get(key)
        self._values[key] = value
        if isinstance(value, Watched):
            if name != FLEET:
                self._cameras[name] = value
            self.newest_ms = max(self.newest_ms, value.at_ms)
            self.clock_ms = max(self.clock_ms, value.at_ms)
            if value.due_ms != (before.due_ms if isinstance(before, Watched) else None):
                self._await(name, value.due_ms)

    def _await(self, name: str, due_ms: int | None) -> None:
        """Note when a camera is to be looked at, now that this is another moment; None is never."""
        if due_ms is None:
            return
        heappush(self._due, (due_ms, name))
        if len(self._due) > 2 * len(self._values):  # most of it is what no camera's entry says any more
            known = ((key[1:].decode(), value) for key, value in self._values.items() if isinstance(value, Watched))
            self._due = [(watched.due_ms, name) for name, watched in known if watched.due_ms is not None]
            heapify(self._due)


def _incident_key(group: str, kind: str) -> bytes:
    return _INCIDENT + f"{group}\0{kind}".encode()
