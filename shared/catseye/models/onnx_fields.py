"""The few fields of an ONNX file that are read or changed where they stand, without the package `onnx`.

By Protocol Buffers' wire format: keys and lengths as varints (developers.google.com/protocol-buffers/docs/encoding).
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

GRAPH: Final = 7  # of ModelProto, in onnx.proto
_METADATA: Final = 14
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VARINT, _LENGTH, _FIXED_BYTES = 0, 2, {1: 8, 5: 4}


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: As its `.proto` says.
        value: A varint's number; 0 of what has bytes.
        start: Where the key begins.
        body: Where the bytes begin.
        end: Behind the last byte.
    """

    number: int
    value: int
    start: int
    body: int
    end: int


def fields(message: bytes, at: int, end: int) -> Iterator[Field]:
    """The fields of the message that stands from *at* to *end*, of a file that onnxruntime has loaded."""
    while at < end:
        start = at
        key, at = _read_varint(message, at)
        kind, value = key & 7, 0
        body = at
        if kind == _VARINT:
            value, at = _read_varint(message, at)
        elif kind == _LENGTH:
            length, body = _read_varint(message, at)
            at = body + length
        else:
            at += _FIXED_BYTES[kind]
        yield Field(key >> 3, value, start, body, at)


def metadata_of(onnx: bytes) -> dict[str, str]:
    """The metadata of a file that was checked when it was registered.

    Raises:
        ValueError: it is no ONNX file after all.
    """
    found: dict[str, str] = {}
    try:
        for entry in fields(onnx, 0, len(onnx)):
            if entry.number == _METADATA:
                parts = {part.number: onnx[part.body : part.end] for part in fields(onnx, entry.body, entry.end)}
                found[parts[_KEY].decode()] = parts.get(_VALUE, b"").decode()
    except (IndexError, KeyError) as fault:
        raise ValueError(f"the file is no ONNX: {fault!r}") from fault
    return found


def with_metadata(onnx: bytes, entries: Mapping[str, str]) -> bytes:
    """The file with *entries* in its metadata, in place of those of the same keys; all else stays byte for byte."""
    replaced = tuple(_text(_KEY, key) for key in entries)
    kept = [
        onnx[field.start : field.end]
        for field in fields(onnx, 0, len(onnx))
        if field.number != _METADATA or not onnx[field.body : field.end].startswith(replaced)
    ]
    written = [_text(_KEY, key) + _text(_VALUE, value) for key, value in entries.items()]
    return b"".join([*kept, *(_key(_METADATA, _LENGTH) + _varint(len(entry)) + entry for entry in written)])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _text(number: int, text: str) -> bytes:
    content = text.encode()
    return _key(number, _LENGTH) + _varint(len(content)) + content
