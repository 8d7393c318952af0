"""Rows of cameras, as a `services.drift.layout.Layout` has them.

A process has one `Table` a layout, so that a round of watching takes cameras of all its partitions at once. Whose a row
is, what it was before and what of it goes to the log is for the `services.drift.cameras.Cameras` of each partition to
know.
"""

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from services.drift import state
from services.drift.columns import row_of
from services.drift.detectors.registry import Detector
from services.drift.layout import NARROWEST, Layout
from services.drift.sample import Ints

if TYPE_CHECKING:
    from services.drift.cameras import Cameras

_REFERENCE: Final = b"r"
_WATCH: Final = b"w"
_LEARNING: Final = b"l"
_DAYS: Final = b"y"
PARTS: Final = (_REFERENCE, _WATCH, _LEARNING, _DAYS)
DETECTOR: Final = b"d"  # then the name of its stream
_CAPACITY: Final = 64
Rows = NDArray[Any]


class Table:
    """Rows of the cameras of a process whose models need the same layout.

    Args:
        layout: Of its rows.

    Attributes:
        layout: The same.
        logged: Pieces of each part that have keys of their own on the log: evidence moves with samples, the rest of
            what is watched with each frame.
        names: Camera of each row; empty where a row is free.
        reference: What is normal, one `Layout.reference` a row.
        watch: What is seen, one `Layout.watch` a row.
        learning: What is measured while the first reference grows, one `Layout.learning` a row.
        days: What labels of whole days show, one `Layout.days` a row.
        normal: What follows from *reference*, one `Layout.normal` a row, as far as it is known: no state.
        detectors: Those that were chosen instead of the engine, by row and stream, as far as they were needed yet.
        detector_states: What the log has of them.
        old_keys: Those of them that lie on the log under a key of format 0, with that key's part.
    """

    def __init__(self, layout: Layout = NARROWEST) -> None:
        self.layout = layout
        evidence_bytes = row_of(layout.pieces[state.EVIDENCE]).itemsize
        self._types = {_REFERENCE: layout.reference, _WATCH: layout.watch, _LEARNING: layout.learning}
        self._types[_DAYS] = layout.days
        self.logged = {
            _REFERENCE: {_REFERENCE: slice(0, layout.reference.itemsize)},
            _WATCH: {
                state.EVIDENCE: slice(0, evidence_bytes),
                _WATCH: slice(evidence_bytes, layout.watch.itemsize),
            },
            _LEARNING: {_LEARNING: slice(0, layout.learning.itemsize)},
            _DAYS: {_DAYS: slice(0, layout.days.itemsize)},
        }
        self.names: list[str] = []
        self.detectors: dict[tuple[int, int], Detector] = {}
        self.detector_states: dict[tuple[int, int], bytes] = {}
        self.old_keys: dict[tuple[int, int], bytes] = {}
        self._stored: dict[bytes, Rows] = {part: np.zeros(_CAPACITY, dtype) for part, dtype in self._types.items()}
        self._touched = {part: np.zeros(_CAPACITY, bool) for part in PARTS}  # rows of which `Cameras.before` has it
        self.normal: Rows = np.zeros(_CAPACITY, layout.normal)
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

    @property
    def days(self) -> Rows:
        return self._stored[b"y"]

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
                self.cameras(row).before[self, part, row] = self.part(row, part)
            touched[places] = True
            if part == _REFERENCE and not labels_alone:
                self.normal["known"][places] = False

    def untouched(self, row: int, part: bytes) -> None:
        """What was before is no longer needed: *part* of *row* is as it is, or as it was."""
        self._touched[part][row] = False

    def touch_detector(self, row: int, stream: int) -> None:
        """Say that a chosen detector is about to change."""
        self.cameras(row).detectors_touched.add((self, row, stream))

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
        self._stored[part][row] = np.frombuffer(value, self._types[part])[0]
        self._slots.pop(row, None)
        self.normal["known"][row] = False

    def restore(self, row: int, part: bytes, value: bytes | None) -> None:
        """Let a part of *row* be as the log has it, in this layout; None where it was removed."""
        if part.startswith(DETECTOR):
            self._restore_detector(row, part, value)
        elif value is None:  # only the learning part and detectors are ever removed, see `Cameras.changes`
            self.learning[row] = np.zeros((), self.layout.learning)
        else:
            whole = next(whole for whole, pieces in self.logged.items() if part in pieces)
            known = bytearray(self.part(row, whole))
            known[self.logged[whole][part]] = value
            self.put_back(row, whole, bytes(known))

    def fill(self, row: int, table: "Table", its_row: int) -> None:
        """Let *row*, all zeros, hold what is known in *its_row* of another table, as far as it has a place here."""
        for part, pieces in self.logged.items():
            whole = table.part(its_row, part)
            there = table.logged[part]
            numbers = (state.moved(table.layout, self.layout, piece, whole[there[piece]]) for piece in pieces)
            self.put_back(row, part, b"".join(numbers))
        places = {(its_row, stream): (row, here) for stream, here in table.streams_there(its_row, self.layout)}
        for kept, known in ((self.detector_states, table.detector_states), (self.old_keys, table.old_keys)):
            kept.update({here: known[each] for each, here in places.items() if each in known})

    def streams_there(self, row: int, layout: Layout) -> list[tuple[int, int]]:
        """Streams of *row* that have chosen detectors, each with its number in another layout."""
        streams = sorted({stream for its_row, stream in (*self.detectors, *self.detector_states) if its_row == row})
        there = [(stream, state.stream_called(layout, self.layout.stream[stream].name)) for stream in streams]
        return [(stream, number) for stream, number in there if number is not None]

    def _restore_detector(self, row: int, part: bytes, value: bytes | None) -> None:
        name = part[len(DETECTOR) :].decode()
        stream, is_old = state.stream_called(self.layout, name), state.is_of_format_0(name)
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


class Tables:
    """Tables of a process, one a layout as soon as a camera needs it."""

    def __init__(self) -> None:
        self._by_buckets: dict[int, Table] = {}

    def of(self, layout: Layout) -> Table:
        """The one whose rows have that layout."""
        table = self._by_buckets.get(layout.buckets)
        if table is None:
            table = self._by_buckets[layout.buckets] = Table(layout)
        return table


def _twice(rows_of_part: Rows) -> Rows:
    """Room for as many rows more."""
    return np.concatenate([rows_of_part, np.zeros_like(rows_of_part)])
