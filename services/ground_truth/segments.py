"""Entries of one kind, every one found by its frame and by its age, in little more than their own bytes.

64 neighbouring sequence numbers of one boot share a segment: a bit set has which are there, their entries lie packed
in order in one byte array. Publishers count, so segments are dense (infra/decisions). Age is kept a bucket at a time:
the segments that got an entry in it. So neither finding nor expiring grows with how many wait.
"""

from collections.abc import Callable, Iterator

from services.ground_truth.entry import RECEIVED

SEGMENT_BITS = 6
SEGMENT_MASK = (1 << SEGMENT_BITS) - 1
Entries = list[tuple[bytes, bytes]]  # keys of frames and what is kept of them


class _Segment:
    __slots__ = ("bucket", "front", "packed", "padded", "present", "quarter", "size")

    def __init__(self, front: bytes, quarter: int, size: int) -> None:
        self.front = front  # of the keys here: all but the last byte
        self.quarter = quarter  # of the last byte: its two highest bits
        self.size = size
        self.present = 0
        self.packed = bytearray()
        self.bucket = -1
        self.padded = False  # entries of models with fewer classes than the largest one here

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and packed bytes of each entry, in order."""
        at, base = 0, self.quarter << SEGMENT_BITS
        for place in range(1 << SEGMENT_BITS):
            if self.present >> place & 1:
                yield self.front + bytes((base + place,)), bytes(self.packed[at : at + self.size])
                at += self.size

    def widen(self, size: int) -> None:
        """Give every entry *size* bytes: one of a model with more classes is coming."""
        old, self.size, self.padded = self.size, size, True
        entries = [self.packed[at : at + old] for at in range(0, len(self.packed), old)]
        self.packed = bytearray().join(entry.ljust(size, b"\0") for entry in entries)


class Segments:
    """Entries by the key of their frame: that of its boot (camera and boot) and 8 bytes of sequence number.

    Args:
        bucket_ms: How exactly age is kept, milliseconds.
        size_of: Bytes of an entry that may have padding behind it.
    """

    def __init__(self, bucket_ms: int, size_of: Callable[[bytes], int]) -> None:
        self._bucket_ms = bucket_ms
        self._size_of = size_of
        # By quarter of a key's last byte and by what stands before that: cheaper than to make numbers of bytes.
        self._segments: tuple[dict[bytes, _Segment], ...] = ({}, {}, {}, {})
        self._buckets: dict[int, dict[_Segment, None]] = {}
        self.count = 0

    def get(self, key: bytes) -> bytes | None:
        """Entry of the frame with *key*."""
        last = key[-1]
        segment = self._segments[last >> SEGMENT_BITS].get(key[:-1])
        if segment is None:
            return None
        bit = 1 << (last & SEGMENT_MASK)
        if not segment.present & bit:
            return None
        at = (segment.present & (bit - 1)).bit_count() * segment.size
        packed = bytes(segment.packed[at : at + segment.size])
        return self._unpadded(packed) if segment.padded else packed

    def place(self, key: bytes, packed: bytes) -> None:
        """Keep an entry, or take it in place of the one that is there."""
        front, last = key[:-1], key[-1]
        segments = self._segments[last >> SEGMENT_BITS]
        segment = segments.get(front)
        if segment is None:
            segment = segments[front] = _Segment(front, last >> SEGMENT_BITS, len(packed))
        if len(packed) != segment.size:
            segment.widen(max(segment.size, len(packed)))
        bit = 1 << (last & SEGMENT_MASK)
        at = (segment.present & (bit - 1)).bit_count() * segment.size
        if segment.present & bit:
            # A label leaves the time as it is; an abort may give an entry back that was replaced by a later one.
            comes = segment.packed[at : at + RECEIVED.size] != packed[: RECEIVED.size]
            segment.packed[at : at + segment.size] = packed.ljust(segment.size, b"\0")
        else:
            comes = True
            segment.present |= bit
            segment.packed[at:at] = packed.ljust(segment.size, b"\0")
            self.count += 1
        if comes:
            bucket = RECEIVED.unpack_from(packed)[0] // self._bucket_ms
            if bucket != segment.bucket:
                segment.bucket = bucket
                self._buckets.setdefault(bucket, {})[segment] = None

    def remove(self, key: bytes) -> None:
        """Take an entry away, if it is there."""
        last = key[-1]
        segments = self._segments[last >> SEGMENT_BITS]
        segment = segments.get(key[:-1])
        bit = 1 << (last & SEGMENT_MASK)
        if segment is None or not segment.present & bit:
            return
        at = (segment.present & (bit - 1)).bit_count() * segment.size
        del segment.packed[at : at + segment.size]
        segment.present &= ~bit
        self.count -= 1
        if not segment.present:
            del segments[segment.front]
            stands = self._buckets.get(segment.bucket)
            if stands is not None:
                del stands[segment]
                if not stands:
                    del self._buckets[segment.bucket]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry with the key of its frame."""
        for segments in self._segments:
            for segment in segments.values():
                yield from self._entries(segment)

    def expire(self, cutoff_ms: int, most: int, forgotten: Callable[[Entries], None]) -> int:
        """Take away about *most* entries received before *cutoff_ms*, to the bucket.

        Args:
            cutoff_ms: Unix milliseconds.
            most: After so many no further segment is read.
            forgotten: Gets what was taken away, a segment at a time, in order of sequence number.

        Returns:
            How many were taken away.
        """
        gone = 0
        while self._buckets and gone < most:
            oldest = min(self._buckets)
            end_ms = (oldest + 1) * self._bucket_ms
            if end_ms > cutoff_ms:
                break
            segments = self._buckets[oldest]
            while segments and gone < most:
                segment, _ = segments.popitem()
                if segment.bucket == oldest:
                    segment.bucket = -1  # no longer found by it: an entry that comes back must be noted again
                due = list(self._entries(segment, end_ms))
                for key, _ in due:
                    self.remove(key)
                if due:
                    forgotten(due)
                    gone += len(due)
            if not segments:
                del self._buckets[oldest]
        return gone

    def _entries(self, segment: _Segment, before_ms: int = 2**63) -> Iterator[tuple[bytes, bytes]]:
        """Those of *segment* received before *before_ms*, with their keys."""
        for key, packed in segment.entries():
            if RECEIVED.unpack_from(packed)[0] < before_ms:
                entry = self._unpadded(packed) if segment.padded else packed
                yield key, entry

    def _unpadded(self, packed: bytes) -> bytes:
        return packed[: self._size_of(packed)]
