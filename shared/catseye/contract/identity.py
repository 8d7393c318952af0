"""Names that are the same after a crash: made of what caused a thing, never of a clock, a counter of ours or chance."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

DOCTOR: Final = "catseye-doctor"
"""Camera of the frames that `catseye doctor` sends; nobody watches whether it drifts or falls silent."""


def frame_id(camera: str, boot: str, sequence: int) -> str:
    """Name one frame for people: ``camera/boot/sequence``."""
    return f"{camera}/{boot}/{sequence}"


def digest(*causes: str | int) -> str:
    """Hash of *causes*, in order: 32 hexadecimal digits. Lengths stand between them, so no two lists are one text."""
    named = "".join([f"{len(text)}:{text}" for text in map(str, causes)])
    return blake2b(named.encode(), digest_size=16).hexdigest()


def hash_distance(one: int, other: int) -> int:
    """How many of the 64 bits of two perceptual hashes differ, 0 to 64: frames that look alike differ in few."""
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def prediction_id(camera: str, boot: str, sequence: int, model: str, version: str, role: str) -> str:
    """Id of what one version of a model says of one frame in one role."""
    return digest("prediction", camera, boot, sequence, model, version, role)


def dead_letter_id(topic: str, partition: int, offset: int) -> str:
    """Id of a refusal: a record that nobody can read has no other name than its place in the source log."""
    return digest("dead-letter", topic, partition, offset)


def murmur2(key: bytes) -> int:
    """Hash of Kafka's Java client (murmur2, seed 0x9747b28c), as an unsigned 32-bit number.

    aiokafka's is the same, and a test compares them; importing it takes longer than all of ours.
    """
    mixer, mask, length = 0x5BD1E995, 0xFFFFFFFF, len(key)
    hashed = 0x9747B28C ^ length
    for at in range(0, length - 3, 4):
        word = int.from_bytes(key[at : at + 4], "little") * mixer & mask
        word = (word ^ word >> 24) * mixer & mask
        hashed = hashed * mixer & mask ^ word
    if rest := length % 4:
        hashed = (hashed ^ int.from_bytes(key[-rest:], "little")) * mixer & mask
    hashed = (hashed ^ hashed >> 13) * mixer & mask
    return hashed ^ hashed >> 15


@lru_cache(maxsize=100_000)
def partition_of(camera: str, partitions: int) -> int:
    """Partition that *camera* lives on, 0 to *partitions* - 1: the one that Kafka's Java client picks for its name."""
    return (murmur2(camera.encode()) & 0x7FFFFFFF) % partitions
