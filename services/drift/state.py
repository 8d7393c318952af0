"""Values of drift's state topic: what each begins with, and rows of other times as rows of today.

A row is written as the format number, the name of its layout (8 bytes) and the packed numbers. The layout itself, which
names what each field and each place along an axis is called, lies once on each partition, before the first row that
names it. So a new signal or field needs no new format: rows are copied by name.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import digest
from catseye.contract.records import Outcome
from catseye.runtime.state_format import HIGHEST, Format, Unnumbered, same_body
from catseye.runtime.state_rows import RowCopy
from services.drift import state_0
from services.drift.columns import axes_of, copy, fields_of, row_of, text_of
from services.drift.detectors.registry import DETECTORS
from services.drift.layout import BUCKETS, Layout, layout_of

EVIDENCE: Final = b"e"
PIECES: Final = (b"r", EVIDENCE, b"w", b"l", b"y")
"""Of a camera's rows, those that have keys of their own."""
_ID_BYTES: Final = 8


class StoredLayout(msgspec.Struct, frozen=True):
    """What rows of a time hold.

    Attributes:
        pieces: Fields of each piece, by its letter, as `columns.text_of` writes them.
        axes: What the places along each axis are called.
        detectors: Names of the detectors that numbers in rows mean.
    """

    pieces: dict[str, str]
    axes: dict[str, tuple[str, ...]]
    detectors: tuple[str, ...]

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that numbers in rows mean."""
        return self.axes["stream"]

    @property
    def buckets(self) -> int:
        """Classes that they tell apart."""
        return len(self.axes["class"])


class Written(NamedTuple):
    """A layout of today as it goes to the log.

    Attributes:
        name: Its own, 8 bytes.
        value: The layout.
        stored: What later versions make of it.
    """

    name: bytes
    value: bytes
    stored: StoredLayout


def _written(layout: Layout) -> Written:
    stored = StoredLayout(
        {letter.decode(): text_of(fields) for letter, fields in layout.pieces.items()},
        {name: places for fields in layout.pieces.values() for name, places in axes_of(fields).items()},
        tuple(DETECTORS),
    )
    value = msgspec.json.encode(stored)
    return Written(bytes.fromhex(digest("layout", value.decode()))[:_ID_BYTES], value, stored)


TODAY: Final = {buckets: _written(layout_of(buckets)) for buckets in BUCKETS}
"""By how many classes they tell apart."""
FORMAT_0: Final = StoredLayout(state_0.PIECES, state_0.AXES, state_0.DETECTORS)
_ID_0: Final = bytes(_ID_BYTES)
_LENGTHS_0: Final = {
    letter.encode(): row_of(fields_of(of_it, FORMAT_0.axes)).itemsize for letter, of_it in FORMAT_0.pieces.items()
}
"""A piece that came later has no length there."""


class Piece(NamedTuple):
    """A piece of a camera's rows.

    Attributes:
        layout: Name of the layout that it has.
        numbers: Packed.
    """

    layout: bytes
    numbers: bytes


def _format(letter: bytes) -> Format[Piece]:
    return Format(
        "drift",
        "a row",
        write=lambda piece: piece.layout + piece.numbers,
        readers={1: lambda body: Piece(body[:_ID_BYTES], body[_ID_BYTES:])},
        unnumbered=Unnumbered(lambda value: len(value) == _LENGTHS_0.get(letter), lambda value: Piece(_ID_0, value)),
    )


_ROWS: Final = {letter: _format(letter) for letter in PIECES}
_JSON: Final = same_body("drift", "a fact of the partition", lambda value: value[:1] in (b"[", b"{"))
AHEAD: Final[Format[list[Outcome]]] = Format(
    "drift",
    "labels that wait for their frames",
    write=msgspec.msgpack.encode,
    readers={1: msgspec.msgpack.Decoder(list[Outcome]).decode},
)
_DETECTOR: Final = same_body("drift", "a detector", lambda value: len(value) % 4 == 0)


class Layouts:
    """Layouts that rows of a partition have, as far as its log holds them.

    Attributes:
        on_log: Names of those.
    """

    def __init__(self) -> None:
        self._known = {_ID_0: FORMAT_0} | {written.name: written.stored for written in TODAY.values()}
        self.on_log: set[bytes] = set()

    def restore(self, name: bytes, value: bytes) -> None:
        """Take one that lies on the log."""
        self.on_log.add(name)
        self._known.setdefault(name, msgspec.json.decode(read_json(value), type=StoredLayout))

    def read(self, letter: bytes, value: bytes) -> tuple[Layout, bytes] | None:
        """A piece as the layout of today for as many classes has it; None where it was written before there were
        numbers by another build than the one that format 0 is of: such a camera learns anew.

        Raises:
            Misconfigured: it is of a format of the future.
        """
        is_0 = len(value) == _LENGTHS_0.get(letter)
        if not is_0 and not b"\x01" <= value[:1] <= bytes((HIGHEST,)):
            return None
        piece = _ROWS[letter].read(value)
        layout = self._known.get(piece.layout)
        if layout is None:
            return None
        now = layout_of(layout.buckets)
        return now, _copied(layout, now, letter, piece.numbers)


def write_row(layout: Layout, letter: bytes, numbers: bytes) -> bytes:
    """A piece of a layout of today as it goes to the log."""
    return _ROWS[letter].write(Piece(TODAY[layout.buckets].name, numbers))


def moved(before: Layout, after: Layout, letter: bytes, numbers: bytes) -> bytes:
    """A piece of one layout of today as another has it: what has no place there is left out."""
    return _copied(TODAY[before.buckets].stored, after, letter, numbers)


def read_json(value: bytes) -> bytes:
    """JSON of a fact of the partition."""
    return _JSON.read(value)


def write_json(value: bytes) -> bytes:
    """The same as it goes to the log."""
    return _JSON.write(value)


def read_detector(value: bytes) -> bytes:
    """State of a chosen detector."""
    return _DETECTOR.read(value)


def write_detector(value: bytes) -> bytes:
    """The same as it goes to the log."""
    return _DETECTOR.write(value)


def stream_called(layout: Layout, name: str) -> int | None:
    """Number of the stream that a detector's key names; by its number where the key is of format 0. None where there
    is no such stream any more."""
    names = TODAY[layout.buckets].stored.streams
    if name.isdigit():
        name = FORMAT_0.streams[int(name)]
    return names.index(name) if name in names else None


def is_of_format_0(name: str) -> bool:
    """Whether a detector's key is of format 0."""
    return name.isdigit()


@lru_cache(maxsize=64)
def _copies(layout_json: bytes, now: Layout, letter: bytes) -> tuple[RowCopy, NDArray[np.uint8], NDArray[np.uint8]]:
    """What copies pieces of a layout, and numbers of streams and of detectors today by those in it."""
    layout, today = msgspec.json.decode(layout_json, type=StoredLayout), TODAY[now.buckets].stored
    rows = copy(fields_of(layout.pieces[letter.decode()], layout.axes), now.pieces[letter])
    return rows, _renumbered(layout.streams, today.streams), _renumbered(layout.detectors, today.detectors)


def _renumbered(stored: tuple[str, ...], today: tuple[str, ...]) -> NDArray[np.uint8]:
    numbers = np.zeros(256, np.uint8)
    for place, name in enumerate(stored):
        numbers[place] = today.index(name) if name in today else 0
    return numbers


def _copied(layout: StoredLayout, now: Layout, letter: bytes, numbers: bytes) -> bytes:
    if layout is TODAY[now.buckets].stored:
        return numbers
    rows, streams, detectors = _copies(msgspec.json.encode(layout), now, letter)
    found: NDArray[Any] = rows(np.frombuffer(numbers, rows.stored))
    if letter == EVIDENCE:
        alarmed = found["alarmed"]
        alarmed["stream"], alarmed["detector"] = streams[alarmed["stream"]], detectors[alarmed["detector"]]
    return found.tobytes()
