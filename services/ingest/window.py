"""Which frames of a camera were seen: a sliding window of sequence numbers for each boot, after RFC 6479.

A camera that fell silent is forgotten when none of its frames could be accepted once more: all are too old by then.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from catseye.runtime.state_format import Format, Unnumbered
from catseye.runtime.stream import KeyedState

WIDTH = 2_048  # sequence numbers that a window remembers behind the highest; 256 bytes
BOOTS = 8  # boots that are remembered; of an older one every frame would be new again
MASK = (1 << WIDTH) - 1
BUCKET_MS = 24 * 3_600_000  # a silent camera is forgotten so much late at most, while others of its partition go on


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
    newest_ms: int = 0  # of a window that was written before it was kept


@dataclass
class CameraWindow:
    """What ingest remembers of one camera: some hundred bytes.

    Attributes:
        duplicates: Frames that were dropped because they had been seen.
        newest_ms: When the broker took the last of its frames, Unix milliseconds; 0 where that is not known.
    """

    duplicates: int = 0
    newest_ms: int = 0
    _boots: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, boot: str, sequence: int, written_ms: int) -> Verdict:
        """Judge a frame and remember it.

        Args:
            boot: Name of the publisher's run.
            sequence: Number within the boot, 0 or more.
            written_ms: When the broker took it, Unix milliseconds.
        """
        self.newest_ms = max(self.newest_ms, written_ms)
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
        """As the state topic has it."""
        return _FORMAT.write(self)

    @classmethod
    def from_bytes(cls, value: bytes) -> "CameraWindow":
        """The other way round, of any format. Raises Misconfigured for what a newer version wrote."""
        return _FORMAT.read(value)

    def _body(self) -> bytes:
        boots = [_Boot(name, top, seen.to_bytes(WIDTH // 8).lstrip(b"\0")) for name, (top, seen) in self._boots.items()]
        return msgspec.msgpack.encode(_Stored(boots, self.duplicates, self.newest_ms))

    @classmethod
    def _read(cls, body: bytes) -> "CameraWindow":
        stored = msgspec.msgpack.decode(body, type=_Stored)
        boots = {boot.name: (boot.highest, int.from_bytes(boot.seen)) for boot in stored.boots}
        return cls(stored.duplicates, stored.newest_ms, boots)


_FORMAT = Format(
    "ingest",
    "what was seen of a camera",
    write=CameraWindow._body,
    readers={1: CameraWindow._read},
    unnumbered=Unnumbered(lambda value: value[:1] >= b"\x90", CameraWindow._read),  # an array of msgpack
)


class Windows(KeyedState):
    """The windows of one partition, by camera; those that fell silent are found by age.

    A camera stands in the bucket of its last frame or in an earlier one: that it went on is seen when the turn of that
    bucket comes. Until it is first looked at it stands in the earliest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[int, dict[bytes, None]] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        if self.get(key) is None:
            self._note(key)
        super().put(key, value)

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._note(key)
        if value is not None:
            _FORMAT.check(value)
        super().restore(key, value)

    def rollback(self) -> None:
        for key in self._before:
            self._note(key)
        super().rollback()

    def forget(self, now_ms: int, silent_ms: int, most: int) -> int:
        """Take away windows of cameras that were silent for longer than *silent_ms*, to the bucket.

        Args:
            now_ms: Unix milliseconds, by a clock that is not ahead.
            silent_ms: How long a camera is remembered after its last frame.
            most: How many cameras are looked at.

        Returns:
            How many were taken away.
        """
        gone = 0
        for _ in range(most):
            oldest = min(self._buckets, default=None)
            if oldest is None or (oldest + 1) * BUCKET_MS > now_ms - silent_ms:
                break
            cameras = self._buckets[oldest]
            camera, _ = cameras.popitem()
            if not cameras:
                del self._buckets[oldest]
            gone += self._is_over(camera, oldest, now_ms)
        return gone

    def _is_over(self, camera: bytes, bucket: int, now_ms: int) -> bool:
        """Take the window of *camera* away, if its last frame is of *bucket*; else note the camera again."""
        stored = self.get(camera)
        if stored is None:
            return False
        window = CameraWindow.from_bytes(stored)
        if not window.newest_ms:
            window.newest_ms = now_ms
            self.put(camera, window.to_bytes())
        if window.newest_ms // BUCKET_MS > bucket:
            self._note(camera, window.newest_ms // BUCKET_MS)
            return False
        self.put(camera, None)
        return True

    def _note(self, camera: bytes, bucket: int = 0) -> None:
        self._buckets.setdefault(bucket, {})[camera] = None
