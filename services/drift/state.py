"""Values of drift's state topic: what each begins with, and rows of other times as rows of today.

A row is written as the format number, the name of its layout (8 bytes) and the packed numbers. The layout itself, which
names what each field and each place along an axis is called, lies once on each partition, before the first row that
names it. So a new signal or field needs no new format: rows are copied by name.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import digest
from catseye.runtime.state_format import HIGHEST, Format, Unnumbered, same_body
from catseye.runtime.state_rows import RowCopy
from services.drift import state_0
from services.drift.columns import Fields, axes_of, copy, fields_of, row_of, text_of
from services.drift.detectors.registry import DETECTORS
from services.drift.layout import EVIDENCE_FIELDS, LEARNING_FIELDS, REFERENCE_FIELDS, SEEN_FIELDS, STREAM_AXIS

EVIDENCE: Final = b"e"
_ID_BYTES: Final = 8
PIECES: Final[Mapping[bytes, Fields]] = {
    b"r": REFERENCE_FIELDS,
    EVIDENCE: EVIDENCE_FIELDS,
    b"w": SEEN_FIELDS,
    b"l": LEARNING_FIELDS,
}
"""Fields of each piece of a camera's rows that has a key of its own."""


class Layout(msgspec.Struct, frozen=True):
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
        return self.axes[STREAM_AXIS.name]


TODAY: Final = Layout(
    {letter.decode(): text_of(fields) for letter, fields in PIECES.items()},
    {name: places for fields in PIECES.values() for name, places in axes_of(fields).items()},
    tuple(DETECTORS),
)
TODAY_JSON: Final = msgspec.json.encode(TODAY)
TODAY_ID: Final = bytes.fromhex(digest("layout", TODAY_JSON.decode()))[:_ID_BYTES]
FORMAT_0: Final = Layout(state_0.PIECES, state_0.AXES, state_0.DETECTORS)
_ID_0: Final = bytes(_ID_BYTES)
_LENGTHS_0: Final = {
    letter: row_of(fields_of(FORMAT_0.pieces[letter.decode()], FORMAT_0.axes)).itemsize for letter in PIECES
}


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
        unnumbered=Unnumbered(lambda value: len(value) == _LENGTHS_0[letter], lambda value: Piece(_ID_0, value)),
    )


_ROWS: Final = {letter: _format(letter) for letter in PIECES}
_JSON: Final = same_body("drift", "a fact of the partition", lambda value: value[:1] in (b"[", b"{"))
_DETECTOR: Final = same_body("drift", "a detector", lambda value: len(value) % 4 == 0)


class Layouts:
    """Layouts that rows of a partition have, as far as its log holds them.

    Attributes:
        on_log: Whether today's is among them.
    """

    def __init__(self) -> None:
        self._known = {_ID_0: FORMAT_0, TODAY_ID: TODAY}
        self.on_log = False

    def restore(self, name: bytes, value: bytes) -> None:
        """Take one that lies on the log."""
        self.on_log |= name == TODAY_ID
        self._known[name] = msgspec.json.decode(read_json(value), type=Layout)

    def read(self, letter: bytes, value: bytes) -> bytes | None:
        """A piece as today's layout has it; None where it was written before there were numbers by another build than
        the one that format 0 is of: such a camera learns anew.

        Raises:
            Misconfigured: it is of a format of the future.
        """
        is_0 = len(value) == _LENGTHS_0[letter]
        if not is_0 and not b"\x01" <= value[:1] <= bytes((HIGHEST,)):
            return None
        piece = _ROWS[letter].read(value)
        layout = self._known.get(piece.layout)
        if layout is None:
            return None
        return piece.numbers if layout == TODAY else _copied(_identity(layout), letter, piece.numbers)


def write_row(letter: bytes, numbers: bytes) -> bytes:
    """A piece of today's layout as it goes to the log."""
    return _ROWS[letter].write(Piece(TODAY_ID, numbers))


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


def stream_called(name: str) -> int | None:
    """Number of the stream that a detector's key names; by its number where the key is of format 0. None where there
    is no such stream any more."""
    if name.isdigit():
        name = FORMAT_0.streams[int(name)]
    return STREAM_AXIS.places.index(name) if name in STREAM_AXIS.places else None


def is_of_format_0(name: str) -> bool:
    """Whether a detector's key is of format 0."""
    return name.isdigit()


def _identity(layout: Layout) -> bytes:
    return msgspec.json.encode(layout)


@lru_cache(maxsize=64)
def _copies(layout_json: bytes, letter: bytes) -> tuple[RowCopy, NDArray[np.uint8], NDArray[np.uint8]]:
    """What copies pieces of a layout, and numbers of streams and of detectors today by those in it."""
    layout = msgspec.json.decode(layout_json, type=Layout)
    rows = copy(fields_of(layout.pieces[letter.decode()], layout.axes), PIECES[letter])
    return rows, _renumbered(layout.streams, STREAM_AXIS.places), _renumbered(layout.detectors, tuple(DETECTORS))


def _renumbered(stored: tuple[str, ...], today: tuple[str, ...]) -> NDArray[np.uint8]:
    numbers = np.zeros(256, np.uint8)
    for place, name in enumerate(stored):
        numbers[place] = today.index(name) if name in today else 0
    return numbers


def _copied(layout_json: bytes, letter: bytes, numbers: bytes) -> bytes:
    rows, streams, detectors = _copies(layout_json, letter)
    found: NDArray[Any] = rows(np.frombuffer(numbers, rows.stored))
    if letter == EVIDENCE:
        alarmed = found["alarmed"]
        alarmed["stream"], alarmed["detector"] = streams[alarmed["stream"]], detectors[alarmed["detector"]]
    return found.tobytes()
