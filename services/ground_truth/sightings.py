"""What a prediction says of the object in its frame, kept for its outcome. Most frames say nothing and cost nothing.

Layout, little-endian, version 1: received_at_ms i64, bytes of what follows u16, then a list of msgpack: kind, track,
box, first_seen_ms, last_seen_ms.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import FrameKind, Prediction

_HEAD: Final = Struct("<qH")
_LAST: Final = "last_seen_ms"
_NOTHING: Final = bytes(7)
"""How kind, track, box, times, direction and line, the last fields of a prediction, are written where they say nothing.
A track is a text that is not empty, and no text has a zero byte: no prediction with a track ends so."""


class Sighting(NamedTuple):
    """Fields of a prediction, under their names there."""

    kind: FrameKind = "object"
    track: str | None = None
    box: list[float] | None = None
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None


NOTHING: Final = Sighting()
_decoder: Final = msgspec.msgpack.Decoder(Sighting)


def read(codec: Codec, value: bytes) -> bytes | None:
    """What a prediction says of its object, packed; None where that is nothing, or cannot be read."""
    if value.endswith(_NOTHING):
        return None
    try:
        fields = codec.leading_fields(value, Prediction, _LAST)
    except BadRecord:  # what the join needs was read
        return None
    return pack(fields["received_at_ms"], _of(fields))


def pack(received_at_ms: int, sighting: Sighting) -> bytes | None:
    """As it waits; None where it says nothing."""
    if sighting == NOTHING:
        return None
    body = msgspec.msgpack.encode(sighting)
    return _HEAD.pack(received_at_ms, len(body)) + body


def unpack(packed: bytes | None) -> Sighting:
    """What waited; bytes behind it are padding."""
    if packed is None:
        return NOTHING
    return _decoder.decode(packed[_HEAD.size : size_of(packed)])


def size_of(packed: bytes) -> int:
    """Bytes of it without padding."""
    return _HEAD.size + int(_HEAD.unpack_from(packed)[1])


def _of(fields: Mapping[str, Any]) -> Sighting:
    return Sighting._make(fields[name] for name in Sighting._fields)
