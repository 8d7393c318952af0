"""What the decoding child and its parent say to each other: length, then msgpack. Pixels go by shared memory."""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from catseye.video.faults import Because

_LENGTH: Final = struct.Struct("<I")
MESSAGE_MAX_BYTES: Final = 64 * 1024


class Order(msgspec.Struct, frozen=True):
    """What the child is to decode.

    Attributes:
        source: Path or address. It stands in no command line: it may hold a password.
        address: Whether it is an address.
        slots: Pictures that find room in the shared memory.
        slot_bytes: Room for one.
        max_pixels: Width times height, at most.
        open_timeout_s: Of a stream, for the first answer.
        read_timeout_s: Of a stream, for the next bytes.
        no_picture_s: Of a live stream, how long it may send without a whole picture.
        pictures_per_s: Pictures of a second that are handed on, at most; None for all.
    """

    source: str
    address: bool
    slots: int
    slot_bytes: int
    max_pixels: int
    open_timeout_s: float
    read_timeout_s: float
    no_picture_s: float
    pictures_per_s: float | None = None


class Count(msgspec.Struct, frozen=True):
    """Pictures that were not handed on so far.

    Attributes:
        damaged: The decoder marked or concealed them, or they refer to such a one, or could not be decoded at all.
        late: Of a live stream: the parent held all slots for a second.
        thinned: Whole ones, more than are wanted of a second.
    """

    damaged: int = 0
    late: int = 0
    thinned: int = 0


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The source is a video.

    Attributes:
        codec: FFmpeg's name of it.
        live: Nobody knows how long it goes on.
    """

    codec: str
    live: bool


class Shown(msgspec.Struct, frozen=True, tag=True):
    """A picture lies in a slot: three planes, chroma at half the width and height, rounded up.

    Attributes:
        slot: Where; the parent gives it back.
        width: Pixels as they were coded.
        height: Pixels as they were coded.
        strides: Bytes from row to row, a plane each.
        turns: Quarter turns anticlockwise that set it upright.
        full_range: Luma goes from 0 to 255, not from 16 to 235.
        bt709: Its colours are those of BT.709, not BT.601.
        at_s: Seconds since the first picture.
        captured_at_ms: When it was taken by the stream's own clock, Unix milliseconds.
        dropped: Until then.
    """

    slot: int
    width: int
    height: int
    strides: tuple[int, int, int]
    turns: int
    full_range: bool
    bt709: bool
    at_s: float
    captured_at_ms: int
    dropped: Count


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Data comes, no picture yet."""

    dropped: Count


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Nothing comes any more, and why."""

    because: Because
    detail: str
    dropped: Count


Message = Opened | Shown | Alive | Ended
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def packed(message: Message | Order) -> bytes:
    """A message as it is written."""
    content = _encoder.encode(message)
    return _LENGTH.pack(len(content)) + content


def order_of(content: bytes) -> Order:
    """The first message that a child gets, without its length."""
    return msgspec.msgpack.decode(content, type=Order)


def length_of(head: bytes) -> int:
    """Of the message that begins with these 4 bytes."""
    return int(_LENGTH.unpack(head)[0])


class Inbox:
    """Puts messages together that arrive in pieces."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def take(self, piece: bytes) -> Iterator[Message]:
        """Messages that *piece* completes.

        Raises:
            ValueError: this is no message.
        """
        self._bytes += piece
        while len(self._bytes) >= _LENGTH.size:
            end = _LENGTH.size + length_of(bytes(self._bytes[: _LENGTH.size]))
            if end > MESSAGE_MAX_BYTES:
                raise ValueError("a message of the decoder is too long")
            if len(self._bytes) < end:
                return
            content = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield _decoder.decode(content)  # DecodeError is a ValueError
