"""Numbers over time, packed: a series is cut into chunks of equal length, a chunk is one string of equal slots.

A slot that was never written reads as zeros, which no number is packed to: numbers are told from nothing. Each chunk
ends by itself when it is older than its resolution is kept, so that a camera costs the same after a year as after a
week.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SHARE_MOST = 65_534


@dataclass(frozen=True)
class Resolution:
    """How finely a series is kept, and for how long.

    Attributes:
        step_ms: Length of a slot.
        slots: Slots of a chunk.
        keep_ms: How long a chunk is kept after its end.
    """

    step_ms: int
    slots: int
    keep_ms: int

    @property
    def chunk_ms(self) -> int:
        return self.step_ms * self.slots

    def place(self, at_ms: int) -> tuple[int, int]:
        """Chunk and slot of a time."""
        return at_ms // self.chunk_ms, at_ms % self.chunk_ms // self.step_ms

    def expires_s(self, chunk: int) -> int:
        """When a chunk is to go, Unix seconds."""
        return ((chunk + 1) * self.chunk_ms + self.keep_ms) // 1_000

    def chunks(self, from_ms: int, to_ms: int) -> range:
        """Chunks that cover a span."""
        return range(from_ms // self.chunk_ms, to_ms // self.chunk_ms + 1)


_HOUR_MS = 3_600_000
MINUTES = Resolution(60_000, 120, 4 * _HOUR_MS)
"""Four hours by the minute."""
QUARTERS = Resolution(900_000, 336, 7 * 24 * _HOUR_MS)
"""A week by quarters of an hour; half a week a chunk: of shorter ones the keys cost more than the numbers."""
RESOLUTIONS = (MINUTES, QUARTERS)

ACCURACY = "accuracy"
"""Estimate and both ends of its interval; subject: the camera."""
EVIDENCE = "evidence"
"""Evidence of a signal over its threshold; subject: SIGNAL/CAMERA."""
MIX = "mix"
"""Predictions of a class; subject: CLASS/CAMERA."""
VEHICLES = "vehicles"
"""Vehicles of a class by the minute in which they were last seen, the camera's clock; subject: CLASS/CAMERA."""
TELEMETRY = "telemetry"
"""A reading of a device; subject: NAME/CAMERA."""
LATENCY = "latency"
"""How long a hop took, a histogram over all cameras: bin k counts up to 2^k milliseconds; subject: one of `HOPS`."""
RACE = "race"
"""Paired outcomes of two versions by who was right, as `RIGHT` lists it; subject: PROPENSITY/MODEL/CHAMPION/SHADOW."""

HOPS = ("capture", "predict")
"""From the camera's clock to ingest's, and from there to prediction made."""
RIGHT = ("neither", "champion", "shadow", "both")

LATENCY_BINS = 16

SHARES_WIDTH = 6
EVIDENCE_WIDTH = 1
READING_WIDTH = 4
COUNT_BITS = 16
LATENCY_BITS = 32
RACE_BITS = 32


def pack_shares(shares: Sequence[float]) -> bytes:
    """Three shares, 0 to 1, in 6 bytes."""
    return struct.pack("<3H", *(1 + round(min(max(share, 0.0), 1.0) * _SHARE_MOST) for share in shares))


def unpack_shares(packed: bytes) -> list[tuple[float, ...] | None]:
    """Slots of `pack_shares`; None where nothing was written."""
    return [
        None if not slot[0] else tuple((number - 1) / _SHARE_MOST for number in slot)
        for slot in struct.iter_unpack("<3H", _whole(packed, SHARES_WIDTH))
    ]


def pack_evidence(share: float) -> bytes:
    """A share of a threshold in one byte; at the threshold and above it 255."""
    return bytes([1 + round(min(max(share, 0.0), 1.0) * 254)])


def unpack_evidence(packed: bytes) -> list[float | None]:
    """Slots of `pack_evidence`."""
    return [(slot - 1) / 254 if slot else None for slot in packed]


def pack_reading(value: float) -> bytes:
    """A reading in 4 bytes: a float of single precision, with its bits turned round so that 0.0 is not nothing."""
    (bits,) = struct.unpack("<I", struct.pack("<f", min(max(value, -3e38), 3e38)))
    return struct.pack("<I", bits ^ 0xFFFF_FFFF)


def unpack_readings(packed: bytes) -> list[float | None]:
    """Slots of `pack_reading`."""
    return [
        None if not slot else struct.unpack("<f", struct.pack("<I", slot ^ 0xFFFF_FFFF))[0]
        for (slot,) in struct.iter_unpack("<I", _whole(packed, READING_WIDTH))
    ]


def unpack_counts(packed: bytes) -> list[int]:
    """Slots that Redis counted in: big-endian numbers of 16 bits."""
    return [count for (count,) in struct.iter_unpack(">H", _whole(packed, 2))]


def unpack_latencies(packed: bytes) -> list[tuple[int, ...]]:
    """Slots of histograms: `LATENCY_BINS` big-endian numbers of 32 bits each."""
    return list(struct.iter_unpack(f">{LATENCY_BINS}I", _whole(packed, 4 * LATENCY_BINS)))


def unpack_race(packed: bytes) -> list[tuple[int, ...]]:
    """Slots of paired outcomes: a big-endian number of 32 bits for each of `RIGHT`."""
    return list(struct.iter_unpack(f">{len(RIGHT)}I", _whole(packed, 4 * len(RIGHT))))


def latency_bin(latency_ms: int) -> int:
    """Bin of a latency: the first whose upper end, 2^k milliseconds, is not below it."""
    return min(max(latency_ms - 1, 0).bit_length(), LATENCY_BINS - 1)


def percentile_ms(histogram: Sequence[int], share: float) -> float | None:
    """Upper end of the bin in which the *share* of all lies, milliseconds; None of an empty histogram."""
    wanted, seen = share * sum(histogram), 0
    for number, count in enumerate(histogram):
        seen += count
        if count and seen >= wanted:
            return float(2**number)
    return None


def times(resolution: Resolution, chunk: int, slots: int) -> Iterator[int]:
    """When each of the first *slots* of a chunk begins, Unix milliseconds."""
    first = chunk * resolution.chunk_ms
    return iter(range(first, first + slots * resolution.step_ms, resolution.step_ms))


def _whole(packed: bytes, width: int) -> bytes:
    """*packed* with its last slot filled up: Redis keeps no more bytes than were written."""
    return packed + bytes(-len(packed) % width)
