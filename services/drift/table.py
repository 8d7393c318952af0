"""What the drift service knows of the cameras of one partition: rows of `services.drift.layout`, and what they share.

Keys on the state topic are the camera's name, a zero byte and the part; a version of a model and the partition's own
facts have keys that begin with a zero byte, which no camera's name does.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.drift.detectors.registry import Detector
from services.drift.layout import LEARNING, REFERENCE, WATCH

PARTS: Final = {b"r": REFERENCE, b"w": WATCH, b"l": LEARNING}
_FIRST_ROOM: Final = 64
_VERSION: Final = b"\0v"
_SHARED: Final = b"\0p"
_DETECTOR: Final = b"d"  # then the number of its stream
Rows = NDArray[Any]


class Version(msgspec.Struct, frozen=True, array_like=True):
    """A version of a model and its classes, which rows name by a number."""

    model: str
    version: str
    classes: tuple[str, ...]


class Shared(msgspec.Struct, array_like=True):
    """Facts of a partition.

    Attributes:
        newest_ms: Latest arrival of a frame or label at ingest.
        heard_at_ms: Our clock when the last batch came, 0 before the first one of this process; with it silence is told
            from a backlog.
        told_ms: Event time up to which statistics were published.
        said_ms: Time of the latest report: none is of an earlier one.
        turn: Row whose statistics come next.
    """

    newest_ms: int = 0
    heard_at_ms: int = 0
    told_ms: int = 0
    turn: int = 0
    said_ms: int = 0


class Table:
    """Rows of all cameras of a partition; a `catseye.stream.State`.

    Attributes:
        names: Camera of each row.
        reference: What is normal, one `REFERENCE` a camera.
        watch: What is seen, one `WATCH` a camera.
        learning: What is measured while the first reference grows, one `LEARNING` a camera.
        versions: Models by the number that rows know them by.
        shared: Facts of the partition.
        detectors: Those that were chosen instead of the engine, by row and stream, as far as they were needed yet.
        detector_states: What the log has of them.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.versions: dict[int, Version] = {}
        self.shared = Shared()
        self._rooms: dict[bytes, Rows] = {part: np.zeros(_FIRST_ROOM, dtype) for part, dtype in PARTS.items()}
        self._rows: dict[str, int] = {}
        self._before: dict[tuple[bytes, int], bytes] = {}
        self.detectors: dict[tuple[int, int], Detector] = {}
        self.detector_states: dict[tuple[int, int], bytes] = {}
        self._detectors_touched: set[tuple[int, int]] = set()
        self._versions_new: set[int] = set()
        self._shared_before: Shared | None = None
        self._committed_names = 0
        self._slots: dict[int, tuple[str, ...]] = {}

    @property
    def reference(self) -> Rows:
        return self._rooms[b"r"]

    @property
    def watch(self) -> Rows:
        return self._rooms[b"w"]

    @property
    def learning(self) -> Rows:
        return self._rooms[b"l"]

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, camera: str) -> bool:
        return camera in self._rows

    def row(self, camera: str) -> int:
        """Row of *camera*; a new one is all zeros."""
        found = self._rows.get(camera)
        if found is None:
            found = self._rows[camera] = len(self.names)
            self.names.append(camera)
            for part, room in self._rooms.items():
                if found >= len(room):
                    self._rooms[part] = np.concatenate([room, np.zeros_like(room)])
        return found

    def slots(self, row: int) -> tuple[str, ...]:
        """Names of the telemetry that *row* watches."""
        names = self._slots.get(row)
        if names is None:
            names = self._slots[row] = tuple(
                name.decode() for name in self.reference["telemetry"][row].tolist() if name
            )
        return names

    def keep_slots(self, row: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """Let *row*, whose reference was touched, watch telemetry of these *names*."""
        self.reference["telemetry"][row, : len(names)] = [name.encode() for name in names]
        self._slots[row] = names
        return names

    def touch(self, rows: Iterable[int], parts: bytes) -> None:
        """Say that *parts* (letters) of *rows* are about to change, so that they can be as before again."""
        for letter in parts:
            part = bytes((letter,))
            room, before = self._rooms[part], self._before
            for row in rows:
                if (part, row) not in before:
                    before[part, row] = room[row].tobytes()

    def touch_detector(self, row: int, stream: int) -> None:
        """Say that a chosen detector is about to change."""
        self._detectors_touched.add((row, stream))

    def drop_detectors(self, row: int, streams: range) -> None:
        """Forget the chosen detectors of *row* in *streams*: what they were made for is no longer normal."""
        for key in [
            (row, stream) for stream in streams if (row, stream) in self.detectors.keys() | self.detector_states.keys()
        ]:
            self.detectors.pop(key, None)
            self._detectors_touched.add(key)

    def shares(self) -> Shared:
        """Facts of the partition, about to change."""
        if self._shared_before is None:
            self._shared_before = msgspec.structs.replace(self.shared)
        return self.shared

    def saw(self, at_ms: int) -> None:
        """Something that ingest took then came in: time moves on, never back."""
        self.shares().newest_ms = max(self.shared.newest_ms, at_ms)

    def knows(self, number: int, version: Version) -> None:
        """Remember which version rows mean by *number*."""
        if number not in self.versions:
            self.versions[number] = version
            self._versions_new.add(number)

    # -- catseye.stream.State

    def restore(self, key: bytes, value: bytes | None) -> None:
        if value is None:  # only the learning part and detectors are ever removed, see `changes`
            camera, _, part = key.rpartition(b"\0")
            if part.startswith(_DETECTOR):
                self.detector_states.pop((self.row(camera.decode()), int(part[1:])), None)
            else:
                self.learning[self.row(camera.decode())] = np.zeros((), LEARNING)
        elif key.startswith(_VERSION):
            self.versions[int.from_bytes(key[len(_VERSION) :], "big")] = msgspec.json.decode(value, type=Version)
        elif key == _SHARED:
            self.shared = msgspec.json.decode(value, type=Shared)
            self.shared.heard_at_ms = 0  # of the process before: while nobody listened nobody was silent
        else:
            camera, _, part = key.rpartition(b"\0")
            row = self.row(camera.decode())
            if part.startswith(_DETECTOR):
                self.detector_states[row, int(part[1:])] = value
                return
            if len(value) == PARTS[part].itemsize:  # else of a version with another layout: the camera learns anew
                self._rooms[part][row] = np.frombuffer(value, PARTS[part])[0]
            self._committed_names = len(self.names)

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        changed: list[tuple[bytes, bytes | None]] = []
        for (part, row), before in self._before.items():
            now = self._rooms[part][row].tobytes()
            if now != before:
                key = self.names[row].encode() + b"\0" + part
                changed.append((key, now if part != b"l" or any(now) else None))
        for row, stream in self._detectors_touched:
            detector = self.detectors.get((row, stream))
            changed.append((self._detector_key(row, stream), detector.to_bytes() if detector else None))
        changed += [
            (_VERSION + number.to_bytes(8, "big"), msgspec.json.encode(self.versions[number]))
            for number in self._versions_new
        ]
        if self._shared_before is not None and self._shared_before != self.shared:
            changed.append((_SHARED, msgspec.json.encode(self.shared)))
        return changed

    def _detector_key(self, row: int, stream: int) -> bytes:
        return self.names[row].encode() + b"\0" + _DETECTOR + str(stream).encode()

    def commit(self) -> None:
        for key in self._detectors_touched:
            if detector := self.detectors.get(key):
                self.detector_states[key] = detector.to_bytes()
            else:
                self.detector_states.pop(key, None)
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._detectors_touched.clear()
        self._before.clear()
        self._versions_new.clear()
        self._shared_before = None
        self._committed_names = len(self.names)

    def rollback(self) -> None:
        self._slots.clear()
        for (part, row), before in self._before.items():
            self._rooms[part][row] = np.frombuffer(before, PARTS[part])[0]
        for name in self.names[self._committed_names :]:
            del self._rows[name]
        del self.names[self._committed_names :]
        for number in self._versions_new:
            del self.versions[number]
        if self._shared_before is not None:
            self.shared = self._shared_before
        for key in self._detectors_touched:
            self.detectors.pop(key, None)  # made again from what the log has
        self._forget_changes()
