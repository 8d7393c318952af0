"""Where a record lay that goes round once more through a topic of ours, byte for byte: a header of the copy says it.

Only a topic that a service alone writes to is believed: on a public one anybody may write such a header.
"""

from typing import Final

import msgspec

from catseye.contract.message import Headers, Message

ORIGIN: Final = "catseye-origin"


class Published(msgspec.Struct, array_like=True, frozen=True):
    """A record at the place where it was published; satisfies `Message`."""

    of_topic: str
    of_partition: int
    at: int
    written: tuple[int, int]
    name: bytes | None
    body: bytes | None = None

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return self.written

    def headers(self) -> None:
        return None


def origin_of(message: Message) -> Headers:
    """Headers for the copy of *message*: its topic, partition, offset, timestamp and key."""
    place = Published(message.topic(), message.partition(), message.offset(), message.timestamp(), message.key())
    return [(ORIGIN, msgspec.msgpack.encode(place))]


def as_published(message: Message) -> Message:
    """The record that *message* is a copy of; itself where its headers do not say: an earlier version wrote it."""
    for name, value in message.headers() or ():
        if name == ORIGIN and isinstance(value, bytes):
            return msgspec.structs.replace(msgspec.msgpack.decode(value, type=Published), body=message.value())
    return message
