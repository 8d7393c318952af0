"""What the drift service knows of the cameras of a partition: whose each row is, and what of it goes to the log.

Keys on the state topic are the camera's name, a zero byte and the part; a version of a model and the partition's own
facts have keys that begin with a zero byte, which no camera's name does.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from catseye.runtime.stream import KeyedState
from services.drift import state
from services.drift.followed import Followed, FollowedCameras
from services.drift.layout import NARROWEST, Layout
from services.drift.sample import Ints
from services.drift.table import DETECTOR, PARTS, Table, Tables

_LEARNING: Final = b"l"
_VERSION: Final = b"\0v"
_SHARED: Final = b"\0p"
_LAYOUT: Final = b"\0l"
_FOLLOWED: Final = b"f"
_AHEAD: Final = b"a"


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


class Home(NamedTuple):
    """Where a camera is known."""

    table: Table
    row: int


class Placed(NamedTuple):
    """Cameras of a partition that are in one table.

    Attributes:
        table: That one.
        places: Of each among all of the partition, in their order, [n].
        rows: Row of each, [n].
    """

    table: Table
    places: Ints
    rows: Ints


class Left(NamedTuple):
    """Where a camera was known when the transaction began that moved it.

    Attributes:
        home: That place.
        before: Parts of its row that had changed since then, as they were.
    """

    home: Home
    before: Mapping[bytes, bytes]


class Cameras:
    """Cameras of a partition, in the order in which they came; a `catseye.runtime.stream.State`.

    Args:
        tables: Have their rows, for as long as this object lives; by default tables of their own.

    Attributes:
        versions: Models by the number that rows know them by.
        shared: Facts of the partition.
        followed: What is known of cameras that follow vehicles or send views, beside their rows.
        ahead: By camera, its labels that wait for the predictions of their frames (`services.drift.ahead`).
        before: Parts of rows that were touched since the last commit, as they were then.
        detectors_touched: Table, row and stream of chosen detectors that were.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = Tables() if tables is None else tables
        self.versions: dict[int, Version] = {}
        self.shared = Shared()
        self.followed = FollowedCameras()
        self.ahead = KeyedState()
        self.before: dict[tuple[Table, bytes, int], bytes] = {}
        self.detectors_touched: set[tuple[Table, int, int]] = set()
        self._homes: dict[str, Home] = {}
        self._left: dict[str, Left] = {}
        self._placed: list[Placed] | None = None
        self._versions_new: set[int] = set()
        self._shared_before: Shared | None = None
        self._layouts = state.Layouts()
        self._layouts_written: set[bytes] = set()
        self._committed = 0
        self._self = weakref.ref(self)
        weakref.finalize(self, _free, self._homes, self._left)

    def __len__(self) -> int:
        return len(self._homes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __contains__(self, camera: str) -> bool:
        return camera in self._homes

    @property
    def table(self) -> Table:
        """The one of cameras whose models have up to eight classes."""
        return self.tables.of(NARROWEST)

    @property
    def rows(self) -> Ints:
        """Row of each in its table."""
        return np.array([home.row for home in self._homes.values()], np.int64)

    @property
    def placed(self) -> list[Placed]:
        """All of them, table by table, that of the fewest classes first."""
        if self._placed is None:
            found: dict[Table, tuple[list[int], list[int]]] = {}
            for place, (table, row) in enumerate(self._homes.values()):
                places, rows = found.setdefault(table, ([], []))
                places.append(place)
                rows.append(row)
            self._placed = [
                Placed(table, np.array(places, np.int64), np.array(rows, np.int64))
                for table, (places, rows) in sorted(found.items(), key=lambda each: each[0].layout.buckets)
            ]
        return self._placed

    def home(self, camera: str, layout: Layout = NARROWEST) -> Home:
        """Where *camera* is known; a new one has a row of *layout*, all zeros."""
        found = self._homes.get(camera)
        if found is None:
            table = self.tables.of(layout)
            found = self._homes[camera] = Home(table, table.take(camera, self._self))
            self._placed = None
        return found

    def with_views(self, table: Table) -> list[tuple[int, Followed]]:
        """Rows in *table* of those that send views, each with what is known of these."""
        homes = [(self._homes.get(camera), known) for camera, known in self.followed if known.views]
        return [(home.row, known) for home, known in homes if home is not None and home.table is table]

    def row(self, camera: str) -> int:
        """Its row there."""
        return self.home(camera).row

    def move(self, camera: str, layout: Layout) -> None:
        """Let *camera* have rows of *layout*, with what is known of it as far as that has a place there."""
        old, new = self._moved(camera, layout)
        before = {part: self.before.pop(_key_of(old, part)) for part in PARTS if _key_of(old, part) in self.before}
        for part in PARTS:
            old.table.untouched(old.row, part)
        for stream, there in old.table.streams_there(old.row, layout):
            touched = (old.table, old.row, stream) in self.detectors_touched
            self.detectors_touched.discard((old.table, old.row, stream))
            if detector := old.table.detectors.pop((old.row, stream), None):
                new.table.detectors[new.row, there] = detector
            if touched:
                new.table.touch_detector(new.row, there)
        if camera in self._left:
            old.table.free([old.row])
        else:
            self._left[camera] = Left(old, before)
        new.table.touch([new.row], b"".join(PARTS))
        for part in PARTS:
            self.before[_key_of(new, part)] = b""  # nothing of it is on the log

    def _moved(self, camera: str, layout: Layout) -> tuple[Home, Home]:
        """Where a camera was known, and where it is now."""
        old, table = self._homes[camera], self.tables.of(layout)
        new = self._homes[camera] = Home(table, table.take(camera, self._self))
        table.fill(new.row, *old)
        self._placed = None
        return old, new

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
            if part == _FOLLOWED:
                self.followed.restore(camera.decode(), value)
                return
            if part == _AHEAD:
                if value is not None:
                    state.AHEAD.check(value)
                self.ahead.restore(camera, value)
                return
            self._restore(camera.decode(), part, value)
            self._committed = len(self)

    def _restore(self, camera: str, part: bytes, value: bytes | None) -> None:
        if value is not None and part in state.PIECES:
            read = self._layouts.read(part, value)
            if read is None:
                self.home(camera)
                return
            layout, value = read
            if self.home(camera, layout).table.layout is not layout:  # all its pieces were written anew when it moved
                old, _ = self._moved(camera, layout)
                old.table.free([old.row])
        table, row = self.home(camera)
        table.restore(row, part, value)

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        changed: list[tuple[bytes, bytes | None]] = []
        buckets = set()
        for (table, part, row), before in self.before.items():
            now = table.part(row, part)
            for key, piece in table.logged[part].items() if now != before else ():
                if now[piece] != before[piece]:
                    gone = part == _LEARNING and not any(now)
                    value = None if gone else state.write_row(table.layout, key, now[piece])
                    changed.append((_key(table, row, key), value))
                    buckets.add(table.layout.buckets)
        layouts = [state.TODAY[each] for each in sorted(buckets)]
        self._layouts_written = {written.name for written in layouts} - self._layouts.on_log
        changed[:0] = [
            (_LAYOUT + written.name, state.write_json(written.value))
            for written in layouts
            if written.name in self._layouts_written
        ]
        for table, row, stream in self.detectors_touched:
            detector = table.detectors.get((row, stream))
            key = _key(table, row, DETECTOR + table.layout.stream[stream].name.encode())
            changed.append((key, state.write_detector(detector.to_bytes()) if detector else None))
            if old_key := table.old_keys.get((row, stream)):
                changed.append((_key(table, row, old_key), None))
        changed += [
            (_VERSION + number.to_bytes(8, "big"), state.write_json(msgspec.json.encode(self.versions[number])))
            for number in self._versions_new
        ]
        changed += [(camera.encode() + b"\0" + _FOLLOWED, value) for camera, value in self.followed.changes()]
        changed += [(camera + b"\0" + _AHEAD, value) for camera, value in self.ahead.changes()]
        if self._shared_before is not None and self._shared_before != self.shared:
            changed.append((_SHARED, state.write_json(msgspec.json.encode(self.shared))))
        return changed

    def commit(self) -> None:
        for table, *place in self.detectors_touched:
            key = place[0], place[1]
            if detector := table.detectors.get(key):
                table.detector_states[key] = detector.to_bytes()
            else:
                table.detector_states.pop(key, None)
            table.old_keys.pop(key, None)
        for left in self._left.values():
            left.home.table.free([left.home.row])
        self._layouts.on_log |= self._layouts_written
        self.followed.commit()
        self.ahead.commit()
        self._forget_changes()

    def rollback(self) -> None:
        for camera, left in self._left.items():
            new, self._homes[camera] = self._homes[camera], left.home
            for part in PARTS:
                self.before.pop(_key_of(new, part))
            self.detectors_touched = {each for each in self.detectors_touched if each[:2] != new}
            new.table.free([new.row])
            for part, before in left.before.items():
                left.home.table.put_back(left.home.row, part, before)
        for (table, part, row), before in self.before.items():
            table.put_back(row, part, before)
        for table, *place in self.detectors_touched:
            table.detectors.pop((place[0], place[1]), None)  # made again from what the log has
        for camera in [*self][self._committed :]:
            home = self._homes.pop(camera)
            home.table.free([home.row])
        self._placed = None
        for number in self._versions_new:
            del self.versions[number]
        if self._shared_before is not None:
            self.shared = self._shared_before
        self.followed.rollback()
        self.ahead.rollback()
        self._forget_changes()

    def _forget_changes(self) -> None:
        for table, part, row in self.before:
            table.untouched(row, part)
        self.before.clear()
        self.detectors_touched.clear()
        self._left.clear()
        self._versions_new.clear()
        self._shared_before = None
        self._layouts_written = set()
        self._committed = len(self)


def _free(homes: Mapping[str, Home], left: Mapping[str, Left]) -> None:
    """Free all rows of a partition that goes."""
    rows: dict[Table, list[int]] = {}
    for table, row in (*homes.values(), *(each.home for each in left.values())):
        rows.setdefault(table, []).append(row)
    for table, its_rows in rows.items():
        table.free(its_rows)


def _key_of(home: Home, part: bytes) -> tuple[Table, bytes, int]:
    """Key of a part among those before a transaction."""
    return home.table, part, home.row


def _key(table: Table, row: int, part: bytes) -> bytes:
    """Key of a part of *row* on the state topic."""
    return table.names[row].encode() + b"\0" + part
