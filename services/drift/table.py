"""What the drift service knows of cameras: rows of `services.drift.layout`, and what those of a partition share.

A process has one `Table`, so that a round of watching takes cameras of all its partitions at once. Whose a row is, what
it was before and what of it goes to the log is for the `Cameras` of each partition to know.

Keys on the state topic are the camera's name, a zero byte and the part; a version of a model and the partition's own
facts have keys that begin with a zero byte, which no camera's name does.
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.drift import state
from services.drift.columns import row_of
from services.drift.detectors.registry import Detector
from services.drift.layout import EVIDENCE_FIELDS, LEARNING, NORMAL, REFERENCE, STREAM, WATCH
from services.drift.sample import Ints

_REFERENCE: Final = b"r"
_WATCH: Final = b"w"
_LEARNING: Final = b"l"
PARTS: Final = {_REFERENCE: REFERENCE, _WATCH: WATCH, _LEARNING: LEARNING}
_EVIDENCE_BYTES: Final = row_of(EVIDENCE_FIELDS).itemsize
LOGGED: Final = {
    _REFERENCE: {_REFERENCE: slice(0, REFERENCE.itemsize)},
    _WATCH: {b"e": slice(0, _EVIDENCE_BYTES), _WATCH: slice(_EVIDENCE_BYTES, WATCH.itemsize)},
    _LEARNING: {_LEARNING: slice(0, LEARNING.itemsize)},
}
"""Pieces of each part that have keys of their own on the log: evidence moves with samples, the rest with each frame."""
_CAPACITY: Final = 64
_VERSION: Final = b"\0v"
_SHARED: Final = b"\0p"
_LAYOUT: Final = b"\0l"
_DETECTOR: Final = b"d"  # then the name of its stream
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
        last_record_at_ms: Our clock when the last batch came, 0 before the first one of this process; it separates
            silence from a backlog.
        statistics_up_to_ms: Event time up to which statistics were published.
        last_report_ms: Time of the latest report: none is of an earlier one.
        turn: Place among the partition's cameras of the one whose statistics come next.
    """

    newest_ms: int = 0
    last_record_at_ms: int = 0
    statistics_up_to_ms: int = 0
    turn: int = 0
    last_report_ms: int = 0


class Table:
    """Rows of the cameras of a process.

    Attributes:
        names: Camera of each row; empty where a row is free.
        reference: What is normal, one `REFERENCE` a row.
        watch: What is seen, one `WATCH` a row.
        learning: What is measured while the first reference grows, one `LEARNING` a row.
        normal: What follows from *reference*, one `NORMAL` a row, as far as it is known: no state.
        detectors: Those that were chosen instead of the engine, by row and stream, as far as they were needed yet.
        detector_states: What the log has of them.
        old_keys: Those of them that lie on the log under a key of format 0, with that key's part.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.detectors: dict[tuple[int, int], Detector] = {}
        self.detector_states: dict[tuple[int, int], bytes] = {}
        self.old_keys: dict[tuple[int, int], bytes] = {}
        self._stored: dict[bytes, Rows] = {part: np.zeros(_CAPACITY, dtype) for part, dtype in PARTS.items()}
        self._touched = {part: np.zeros(_CAPACITY, bool) for part in PARTS}  # rows of which `Cameras.before` has it
        self.normal: Rows = np.zeros(_CAPACITY, NORMAL)
        self._cameras: list[weakref.ref[Cameras]] = []  # of each row; when they go their rows are free
        self._free: list[int] = []
        self._slots: dict[int, tuple[str, ...]] = {}

    @property
    def reference(self) -> Rows:
        return self._stored[b"r"]

    @property
    def watch(self) -> Rows:
        return self._stored[b"w"]

    @property
    def learning(self) -> Rows:
        return self._stored[b"l"]

    def cameras(self, row: int) -> "Cameras":
        """Those of the partition that *row* is of."""
        return cast("Cameras", self._cameras[row]())

    def take(self, name: str, cameras: "weakref.ref[Cameras]") -> int:
        """A row, all zeros, for a camera *name* of *cameras*."""
        if self._free:
            row = self._free.pop()
            self.names[row], self._cameras[row] = name, cameras
            return row
        row = len(self.names)
        self.names.append(name)
        self._cameras.append(cameras)
        if row >= len(self.normal):
            for part, rows_of_part in self._stored.items():
                self._stored[part] = _twice(rows_of_part)
                self._touched[part] = _twice(self._touched[part])
            self.normal = _twice(self.normal)
        return row

    def free(self, rows: Iterable[int]) -> None:
        """Forget what is known of *rows*, which are nobody's now."""
        freed = {*rows}
        for rows_of_part in (*self._stored.values(), *self._touched.values(), self.normal):
            rows_of_part[[*freed]] = np.zeros((), rows_of_part.dtype)
        for kept in (self.detectors, self.detector_states, self.old_keys):
            for key in [key for key in kept if key[0] in freed]:
                del kept[key]
        for row in freed:
            self.names[row] = ""
            self._slots.pop(row, None)
        self._free += freed

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

    def touch(self, rows: Sequence[int] | Ints, parts: bytes, *, labels_alone: bool = False) -> None:
        """Say that *parts* (letters) of *rows* are about to change, so that they can be as before again.

        Args:
            labels_alone: Whether of references nothing changes but what labels teach, of which nothing else follows.
        """
        places = np.asarray(rows, np.int64)
        for letter in parts:
            part = bytes((letter,))
            touched = self._touched[part]
            for row in places[~touched[places]].tolist():
                self.cameras(row).before[part, row] = self.part(row, part)
            touched[places] = True
            if part == _REFERENCE and not labels_alone:
                self.normal["known"][places] = False

    def untouched(self, row: int, part: bytes) -> None:
        """What was before is no longer needed: *part* of *row* is as it is, or as it was."""
        self._touched[part][row] = False

    def touch_detector(self, row: int, stream: int) -> None:
        """Say that a chosen detector is about to change."""
        self.cameras(row).detectors_touched.add((row, stream))

    def drop_detectors(self, row: int, streams: range) -> None:
        """Forget the chosen detectors of *row* in *streams*: what they were made for is no longer normal."""
        for key in [
            (row, stream) for stream in streams if (row, stream) in self.detectors.keys() | self.detector_states.keys()
        ]:
            self.detectors.pop(key, None)
            self.touch_detector(*key)

    def part(self, row: int, part: bytes) -> bytes:
        """A part of *row* as it goes to the log."""
        value: bytes = self._stored[part][row].tobytes()
        return value

    def put_back(self, row: int, part: bytes, value: bytes) -> None:
        """Let a part of *row* be as `part` gave it."""
        self._stored[part][row] = np.frombuffer(value, PARTS[part])[0]
        self._slots.pop(row, None)
        self.normal["known"][row] = False

    def restore(self, row: int, part: bytes, value: bytes | None) -> None:
        """Let a part of *row* be as the log has it, in today's layout; None where it was removed."""
        if part.startswith(_DETECTOR):
            self._restore_detector(row, part, value)
        elif value is None:  # only the learning part and detectors are ever removed, see `Cameras.changes`
            self.learning[row] = np.zeros((), LEARNING)
        else:
            whole = next(whole for whole, pieces in LOGGED.items() if part in pieces)
            known = bytearray(self.part(row, whole))
            known[LOGGED[whole][part]] = value
            self.put_back(row, whole, bytes(known))

    def _restore_detector(self, row: int, part: bytes, value: bytes | None) -> None:
        name = part[len(_DETECTOR) :].decode()
        stream, is_old = state.stream_called(name), state.is_of_format_0(name)
        if stream is None:
            return
        place = row, stream
        if value is not None:
            self.detector_states[place] = state.read_detector(value)
            if is_old:
                self.old_keys[place] = part
            else:
                self.old_keys.pop(place, None)
        elif not is_old or self.old_keys.pop(place, b""):  # else it lies under its new key already
            self.detector_states.pop(place, None)


class Cameras:
    """Cameras of a partition, in the order in which they came; a `catseye.runtime.stream.State`.

    Args:
        table: Has their rows, for as long as this object lives; by default one of their own.

    Attributes:
        versions: Models by the number that rows know them by.
        shared: Facts of the partition.
        before: Parts of rows that were touched since the last commit, as they were then.
        detectors_touched: Row and stream of chosen detectors that were.
    """

    def __init__(self, table: Table | None = None) -> None:
        self.table = Table() if table is None else table
        self.versions: dict[int, Version] = {}
        self.shared = Shared()
        self.before: dict[tuple[bytes, int], bytes] = {}
        self.detectors_touched: set[tuple[int, int]] = set()
        self._rows: dict[str, int] = {}
        self._in_order: Ints | None = None
        self._versions_new: set[int] = set()
        self._shared_before: Shared | None = None
        self._layouts = state.Layouts()
        self._layout_written = False
        self._committed = 0
        self._self = weakref.ref(self)
        weakref.finalize(self, self.table.free, self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, camera: str) -> bool:
        return camera in self._rows

    @property
    def rows(self) -> Ints:
        """Row of each."""
        if self._in_order is None:
            self._in_order = np.array([*self._rows.values()], np.int64)
        return self._in_order

    def row(self, camera: str) -> int:
        """Row of *camera*; a new one is all zeros."""
        found = self._rows.get(camera)
        if found is None:
            found = self._rows[camera] = self.table.take(camera, self._self)
            self._in_order = None
        return found

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

    # -- catseye.runtime.stream.State

    def restore(self, key: bytes, value: bytes | None) -> None:
        if value is not None and key.startswith(_VERSION):
            number = int.from_bytes(key[len(_VERSION) :], "big")
            self.versions[number] = msgspec.json.decode(state.read_json(value), type=Version)
        elif value is not None and key.startswith(_LAYOUT):
            self._layouts.restore(key[len(_LAYOUT) :], value)
        elif value is not None and key == _SHARED:
            self.shared = msgspec.json.decode(state.read_json(value), type=Shared)
            self.shared.last_record_at_ms = 0  # of the process before: while nobody listened nobody was silent
        else:
            camera, _, part = key.rpartition(b"\0")
            row = self.row(camera.decode())
            if value is not None and part in state.PIECES:
                value = self._layouts.read(part, value)
                if value is None:
                    return
            self.table.restore(row, part, value)
            self._committed = len(self)

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        table = self.table
        changed: list[tuple[bytes, bytes | None]] = []
        for (part, row), before in self.before.items():
            now = table.part(row, part)
            for key, piece in LOGGED[part].items() if now != before else ():
                if now[piece] != before[piece]:
                    gone = part == _LEARNING and not any(now)
                    changed.append((_key(table, row, key), None if gone else state.write_row(key, now[piece])))
        self._layout_written = bool(changed) and not self._layouts.on_log
        if self._layout_written:
            changed.insert(0, (_LAYOUT + state.TODAY_ID, state.write_json(state.TODAY_JSON)))
        for row, stream in self.detectors_touched:
            detector = table.detectors.get((row, stream))
            key = _key(table, row, _DETECTOR + STREAM[stream].name.encode())
            changed.append((key, state.write_detector(detector.to_bytes()) if detector else None))
            if old_key := table.old_keys.get((row, stream)):
                changed.append((_key(table, row, old_key), None))
        changed += [
            (_VERSION + number.to_bytes(8, "big"), state.write_json(msgspec.json.encode(self.versions[number])))
            for number in self._versions_new
        ]
        if self._shared_before is not None and self._shared_before != self.shared:
            changed.append((_SHARED, state.write_json(msgspec.json.encode(self.shared))))
        return changed

    def commit(self) -> None:
        table = self.table
        for key in self.detectors_touched:
            if detector := table.detectors.get(key):
                table.detector_states[key] = detector.to_bytes()
            else:
                table.detector_states.pop(key, None)
            table.old_keys.pop(key, None)
        self._layouts.on_log |= self._layout_written
        self._forget_changes()

    def rollback(self) -> None:
        for (part, row), before in self.before.items():
            self.table.put_back(row, part, before)
        for key in self.detectors_touched:
            self.table.detectors.pop(key, None)  # made again from what the log has
        self.table.free([self._rows.pop(name) for name in [*self][self._committed :]])
        self._in_order = None
        for number in self._versions_new:
            del self.versions[number]
        if self._shared_before is not None:
            self.shared = self._shared_before
        self._forget_changes()

    def _forget_changes(self) -> None:
        for part, row in self.before:
            self.table.untouched(row, part)
        self.before.clear()
        self.detectors_touched.clear()
        self._versions_new.clear()
        self._shared_before = None
        self._layout_written = False
        self._committed = len(self)


def _twice(rows_of_part: Rows) -> Rows:
    """Room for as many rows more."""
    return np.concatenate([rows_of_part, np.zeros_like(rows_of_part)])


def _key(table: Table, row: int, part: bytes) -> bytes:
    """Key of a part of *row* on the state topic."""
    return table.names[row].encode() + b"\0" + part
