"""The leading fields of many records at once, a column a field.

Law: what stands here stands here as `Codec` reads it alone. Nothing is refused here: whatever is not as nearly every
record is (numbers of more than 8 bytes, texts of more than 64, a map in several blocks, bytes that are no record at
all) is left out, and the codec reads it by itself (tests/property/test_heads.py).

All records are read in step: one array has where each of them stands, and a field is read from all of them by a few
operations of numpy. Source: Avro specification 1.12, "Binary Encoding".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.records import Record

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]

FEWEST: Final = 32
"""Values below which each costs no more alone."""
SHORT: Final = 64  # a length, a count or a choice under this is written in one byte
_PADDING: Final = bytes(SHORT + 16)  # so that words can be read wherever a cursor stands
_GOES_ON: Final = np.uint64(0x8080808080808080)  # another byte of the number follows
_BITS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH: Final = 0x80 * 0x0101010101010101
# The high bits of the first n bytes of a word: all of them from 8 on, none where n is negative.
_HIGH_OF: Final = np.array([_HIGH & 2 ** (8 * min(n, 8)) - 1 for n in range(SHORT)] + [0] * SHORT, np.uint64)
# Seven bits a byte to 14 in two, to 28 in four, to 56: what stays, what moves, how far.
_CLOSE_UP: Final = [
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
]
_SEVEN: Final = np.uint64(0x7F)
_ONE: Final = np.uint64(1)
_FLOATS: Final = {"float": "<f4", "double": "<f8"}
_INT_MOST: Final = 2**31


@dataclass(frozen=True)
class Column:
    """One field of every record.

    Attributes:
        first: Where it begins in the bytes of all records.
        end: Where it ends.
        numbers: Values of a number (64-bit integers or floats), places among the symbols of an enum, [n]. Of a map its
            values, [n, most entries], with zeros behind those that the record has.
        names: Of a map: the names of each record's entries, in the order of its values.
    """

    first: Ints
    end: Ints
    numbers: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    names: Sequence[tuple[str, ...]] = ()

    def of(self, rows: Ints) -> "Column":
        """The same of some of the records."""
        numbers = self.numbers[rows] if len(self.numbers) else self.numbers
        names = [self.names[row] for row in rows.tolist()] if self.names else ()
        return Column(self.first[rows], self.end[rows], numbers, names)


@dataclass(frozen=True)
class Heads:
    """What could be read.

    Attributes:
        places: Of the records that stand here among those that were handed in, ascending.
        columns: By field, in the order of the schema; an entry of each belongs to one of the places.
        every_byte: The bytes of all records, one after the other.
    """

    places: Sequence[int] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    every_byte: bytes = b""

    def bytes_of(self, first: str, last: str) -> list[bytes]:
        """How the fields *first* to *last* of each record are written."""
        firsts, ends = self.columns[first].first.tolist(), self.columns[last].end.tolist()
        every_byte = self.every_byte
        return [every_byte[start:end] for start, end in zip(firsts, ends, strict=True)]

    def integers(self, name: str) -> list[int]:
        """Values of a field of type int or long."""
        values: list[int] = self.columns[name].numbers.tolist()
        return values


def read_heads(
    codec: Codec,
    values: Sequence[bytes | None],
    kind: type[Record],
    last: str | None = None,
    *,
    fewest: int = FEWEST,
) -> Heads:
    """Read the fields up to *last* of many records.

    Args:
        codec: Knows the schemas.
        values: As they stand on the topic.
        kind: The record that the topic carries.
        last: As for `Codec.leading_fields`; None for the whole record to its last byte, as `Codec.decode` reads it.
        fewest: Of fewer values none is read.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    if len(values) < fewest:
        return Heads()
    known = next((found for value in values if (found := codec.written_as(value, kind, last))), None)
    if known is None:
        return Heads()
    header, fields = known
    if not all(_can_read(each["type"]) for each in fields):
        return Heads()
    places = [place for place, value in enumerate(values) if value and value.startswith(header)]
    reader = _Reader([value for value in values if value and value.startswith(header)], len(header))
    columns = {each["name"]: reader.field(each["type"]) for each in fields}
    reader.sound &= reader.at == reader.ends if last is None else reader.at <= reader.ends
    rows = np.flatnonzero(reader.sound)
    if len(rows) < len(places):
        columns = {name: column.of(rows) for name, column in columns.items()}
        places = [places[row] for row in rows.tolist()]
    return Heads(places, columns, reader.every_byte)


def _can_read(kind: Any) -> bool:
    """Whether a field of this type of a schema can be read here."""
    if isinstance(kind, list):
        return len(kind) == 2 and kind[0] == "null" and kind[1] in ("string", "long", "int", "float", "double")
    if isinstance(kind, str):
        return kind in ("string", "long", "int", "float", "double")
    return kind["type"] == "enum" or (kind["type"] == "map" and kind["values"] in _FLOATS)


class _Reader:
    """A cursor in each record. One that went astray reads on, somewhere within the bytes, and is not sound any more."""

    def __init__(self, values: Sequence[bytes], header: int) -> None:
        self.every_byte = b"".join([*values, _PADDING])
        self._bytes = np.frombuffer(self.every_byte, np.uint8)
        self._words: Words = self._every("<u8")
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self.ends: Ints = np.cumsum(lengths)
        self.at: Ints = self.ends - lengths + header
        self.sound: Bools = np.ones(len(values), np.bool_)
        self._last = len(self.every_byte) - len(_PADDING) + 1  # where a cursor may stand; no record ends there

    def field(self, kind: Any) -> Column:
        """Read a field of every record."""
        first = self.at
        if isinstance(kind, list):
            return self._optional(kind[1])
        if not isinstance(kind, str):
            return self._map(kind["values"]) if kind["type"] == "map" else self._enum(len(kind["symbols"]))
        if kind == "string":
            self._text()
            return Column(first, self.at)
        if kind in _FLOATS:
            numbers = self._every(_FLOATS[kind])[first]
            self._pass(numbers.itemsize)
            return Column(first, self.at, numbers)
        numbers = self._long()
        if kind == "int":
            self.sound &= (numbers >= -_INT_MOST) & (numbers < _INT_MOST)
        return Column(first, self.at, numbers)

    def _every(self, kind: str) -> NDArray[Any]:
        """Numbers at every place of the bytes, one a byte."""
        places = len(self.every_byte) - np.dtype(kind).itemsize + 1
        return np.ndarray((places,), kind, self.every_byte, strides=(1,))

    def _pass(self, by: "int | Ints") -> None:
        self.at = np.minimum(self.at + by, self._last)

    def _go_on_where(self, there: Bools, before: tuple[Ints, Bools]) -> None:
        """What was read since *before* was *there* in some records only."""
        self.at = np.where(there, self.at, before[0])
        self.sound = np.where(there, self.sound, before[1])

    def _long(self) -> Ints:
        word = self._words[self.at]
        stops = ~word & _GOES_ON
        self.sound &= stops != 0
        own = stops ^ (stops - _ONE)  # up to the first byte that does not go on
        self._pass(np.bitwise_count(own) >> 3)
        word &= own & _BITS
        for stays, moves, far in _CLOSE_UP:
            word = word & stays | (word & moves) >> far
        return (word >> _ONE).view(np.int64) ^ -(word & _ONE).view(np.int64)

    def _short(self) -> Ints:
        """A number from 0 up to 63; 0 in records that are not sound."""
        byte = self._bytes[self.at]
        self.sound &= byte & 0x81 == 0
        self._pass(1)
        return np.where(self.sound, byte >> 1, 0).astype(np.int64)

    def _text(self) -> None:
        length, first = self._short(), self.at
        high = np.zeros(len(first), np.uint64)
        for passed in range(0, int(length.max()), 8):
            high |= self._words[first + passed] & _HIGH_OF[length - passed]
        self._pass(length)
        for row in np.flatnonzero(high).tolist():  # no ASCII
            if _decoded(self.every_byte[first[row] : self.at[row]]) is None:
                self.sound[row] = False

    def _enum(self, symbols: int) -> Column:
        first, numbers = self.at, self._short()
        self.sound &= numbers < symbols
        return Column(first, self.at, numbers)

    def _optional(self, kind: str) -> Column:
        first, branch = self.at, self._short()
        self.sound &= branch <= 1
        before = self.at, self.sound.copy()
        column = self.field(kind)
        self._go_on_where(branch == 1, before)
        return Column(first, self.at, column.numbers)

    def _map(self, kind: str) -> Column:
        first, count = self.at, self._short()
        of_type, rows, most = self._every(_FLOATS[kind]), len(count), int(count.max())
        numbers, places = np.zeros((rows, most), of_type.dtype), np.zeros((rows, most), np.int64)
        for entry in range(most):
            before = self.at, self.sound.copy()
            self._pass(self._short())
            places[:, entry], numbers[:, entry] = self.at, of_type[self.at]
            self._pass(of_type.itemsize)
            self._go_on_where(entry < count, before)
        before = self.at, self.sound.copy()
        self.sound &= self._bytes[self.at] == 0  # the end of the blocks; the count of a map of none is that end
        self._pass(1)
        self._go_on_where(count > 0, before)
        self.sound &= self.at <= self.ends  # else a record's values are sought among the names of the next
        there = (np.arange(most) < count[:, None]) & self.sound[:, None]
        names = self._names(first, places[there], of_type.itemsize)
        return Column(first, self.at, np.where(there, numbers, 0), names)

    def _names(self, first: Ints, places: Ints, size: int) -> list[tuple[str, ...]]:
        """Names in each record's map, given where all values stand: one tuple for all where they are written the same.

        Of maps that name an entry twice, or whose names are no texts, the records are not sound.
        """
        zeroed = bytearray(self.every_byte)
        np.ndarray((len(zeroed) - size + 1,), f"<u{size}", zeroed, strides=(1,))[places] = 0
        bare = bytes(zeroed)
        rows = np.flatnonzero(self.sound)
        spans = zip(first[rows].tolist(), self.at[rows].tolist(), strict=True)
        written = [bare[start:end] for start, end in spans]
        names = {each: _names_in(each, size) for each in set(written)}
        found: list[tuple[str, ...]] = [()] * len(first)
        for row, each in zip(rows.tolist(), written, strict=True):
            its = names[each]
            if its is None:
                self.sound[row] = False
            else:
                found[row] = its
        return found


def _decoded(written: bytes) -> str | None:
    try:
        return written.decode()
    except UnicodeDecodeError:
        return None


def _names_in(written: bytes, size: int) -> tuple[str, ...] | None:
    """Names in a map of one block whose lengths take a byte each."""
    names: dict[str | None, None] = {}
    at, count = 1, written[0] >> 1
    for _ in range(count):
        end = at + 1 + (written[at] >> 1)
        names[_decoded(written[at + 1 : end])] = None
        at = end + size
    return tuple([name for name in names if name is not None]) if None not in names and len(names) == count else None


def texts_of(written: bytes) -> list[str]:
    """Texts that stand one after the other, as those of `Heads` do."""
    found, at = [], 0
    while at < len(written):
        end = at + 1 + (written[at] >> 1)
        found.append(written[at + 1 : end].decode())
        at = end
    return found


def text_bytes(text: str) -> bytes:
    """How a text is written."""
    encoded = text.encode()
    left, length = len(encoded) << 1, bytearray()
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return bytes([*length, left]) + encoded


def long_bytes(numbers: Sequence[int] | Ints) -> list[bytes]:
    """How numbers of 64 bits are written, one of them or many."""
    signed = np.asarray(numbers, np.int64)
    left = (signed << 1 ^ signed >> 63).view(np.uint64)
    written = np.zeros((len(left), 10), np.uint8)
    width = np.zeros(len(left), np.int64)
    goes_on = np.ones(len(left), np.bool_)
    while goes_on.any():
        byte = int(width.max())
        written[:, byte] = left & _SEVEN
        width += goes_on
        left = left >> np.uint64(7)
        goes_on = left != 0
        written[goes_on, byte] |= 128
    every_byte = written.tobytes()
    return [every_byte[at : at + size] for at, size in zip(range(0, 10 * len(left), 10), width.tolist(), strict=True)]
