"""Which frames of a camera were seen: a sliding window of sequence numbers for each boot, after RFC 6479."""

from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

WIDTH = 2_048  # sequence numbers that a window remembers behind the highest; 256 bytes
BOOTS = 8  # boots that are remembered; of an older one every frame would be new again
MASK = (1 << WIDTH) - 1


class Verdict(Enum):
    """What a sequence number is to a window."""

    NEW = auto()
    DUPLICATE = auto()
    TOO_OLD = auto()  # behind the window: nobody can say whether it was seen


class _Boot(msgspec.Struct, array_like=True):
    name: str
    highest: int
    seen: bytes  # big-endian bit set; bit i stands for highest - i


class _Stored(msgspec.Struct, array_like=True):
    boots: list[_Boot]
    duplicates: int


@dataclass
class CameraWindow:
    """What ingest remembers of one camera: some hundred bytes.

    Attributes:
        duplicates: Frames that were dropped because they had been seen.
    """

    duplicates: int = 0
    _boots: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, boot: str, sequence: int) -> Verdict:
        """Judge a frame and remember it.

        Args:
            boot: Name of the publisher's run.
            sequence: Number within the boot, 0 or more.
        """
        highest, seen = self._boots.pop(boot, (sequence, 0))
        behind = highest - sequence
        if behind < 0:
            highest, seen = sequence, (seen << min(-behind, WIDTH) | 1) & MASK
            verdict = Verdict.NEW
        elif behind >= WIDTH:
            verdict = Verdict.TOO_OLD
        elif seen >> behind & 1:
            self.duplicates += 1
            verdict = Verdict.DUPLICATE
        else:
            seen |= 1 << behind
            verdict = Verdict.NEW
        self._boots[boot] = (highest, seen)  # at the end: the boot used last is forgotten last
        if len(self._boots) > BOOTS:
            del self._boots[next(iter(self._boots))]
        return verdict

    def to_bytes(self) -> bytes:
        boots = [_Boot(name, top, seen.to_bytes(WIDTH // 8).lstrip(b"\0")) for name, (top, seen) in self._boots.items()]
        return msgspec.msgpack.encode(_Stored(boots, self.duplicates))

    @classmethod
    def from_bytes(cls, stored: bytes) -> "CameraWindow":
        value = msgspec.msgpack.decode(stored, type=_Stored)
        boots = {boot.name: (boot.highest, int.from_bytes(boot.seen)) for boot in value.boots}
        return cls(value.duplicates, boots)
