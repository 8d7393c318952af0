"""How many labels of which class came for frames of which time, one camera. Pure.

Law: an outcome is counted once, however often it is read; a count since some time is never more than there were.

What is kept grows with the logarithm of time: frames of the last seconds are told apart to `FINEST_MS`, older ones to a
quarter of their age, which is fine enough to say what came since a drift began.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from catseye.contract.records import Outcome
from catseye.runtime.state_format import Format, Unnumbered

FINEST_MS: Final = 10_000
PARTS: Final = 4
"""A bucket is at most this part of its age wide."""
CLASSES_MOST: Final = 200
"""Classes that a bucket tells apart: labels are free text, and a labeller gone wild must not fill the memory."""
OTHER: Final = "(other)"
_KEPT_MS: Final = 90 * 86_400_000


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """Labels of frames from some time on.

    Attributes:
        by_class: Labels of each class as they first came.
        taken_back: How many of them no longer hold: withdrawn, or corrected and counted under their new class too.
    """

    by_class: dict[str, int] = {}
    taken_back: int = 0


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one camera's labels; the value of the service's table.

    Attributes:
        partition: Partition of the outcomes that were counted.
        next_offset: Outcomes before it are counted.
        newest_ms: Time of the newest frame among them, Unix milliseconds.
        buckets: By the time that their frames were not before, Unix milliseconds.
    """

    partition: int = -1
    next_offset: int = 0
    newest_ms: int = 0
    buckets: dict[int, Bucket] = {}


def _read(body: bytes) -> Held:
    return msgspec.json.decode(body, type=Held)


_FORMAT: Final = Format(
    "retrain_trigger",
    "what is known of a camera's labels",
    write=msgspec.json.encode,
    readers={1: _read},
    unnumbered=Unnumbered(lambda value: value[:1] == b"[", _read),
)


def packed(held: Held) -> bytes:
    """*held* as the table has it."""
    return _FORMAT.write(held)


def unpacked(value: bytes) -> Held:
    """The other way round. Raises Misconfigured for what a newer version wrote."""
    return _FORMAT.read(value)


def counted(held: Held, outcome: Outcome, partition: int, offset: int) -> Held:
    """What is known with the outcome that lies at *offset* of *partition*; *held* itself if that was counted before."""
    if partition == held.partition and offset < held.next_offset:
        return held
    newest_ms = max(held.newest_ms, outcome.received_at_ms)
    buckets = held.buckets
    if newest_ms // FINEST_MS != held.newest_ms // FINEST_MS:
        buckets = _aged(buckets, newest_ms)
    start_ms = _start(outcome.received_at_ms, newest_ms)
    return Held(
        partition, offset + 1, newest_ms, buckets | {start_ms: _added(buckets.get(start_ms, Bucket()), outcome)}
    )


def newer(one: Held | None, other: Held) -> Held:
    """Which of two values of a camera holds, *other* being the later record of the changelog.

    A value follows from the outcomes before its offset, so the greater offset knows more. The lower one comes later
    when an instance that was paused, or had an outcome in hand while its partition moved, writes what it knew.
    """
    behind = one is not None and one.partition == other.partition and other.next_offset < one.next_offset
    return one if one is not None and behind else other


def _added(bucket: Bucket, outcome: Outcome) -> Bucket:
    by_class = bucket.by_class
    if outcome.label is not None:
        is_counted_alone = outcome.label in by_class or len(by_class) < CLASSES_MOST
        name = outcome.label if is_counted_alone else OTHER
        by_class = by_class | {name: by_class.get(name, 0) + 1}
    # An outcome does not say which label it replaces, so the class before keeps its count and the sum does not.
    return Bucket(by_class, bucket.taken_back + (outcome.change != "matched"))


def _start(at_ms: int, newest_ms: int) -> int:
    """Start of the bucket of a frame: the older it is, the coarser; each grid is part of the next."""
    width_ms, age_ms = FINEST_MS, newest_ms - at_ms
    while width_ms * 2 * PARTS <= age_ms:
        width_ms *= 2
    return at_ms // width_ms * width_ms


def _aged(buckets: Mapping[int, Bucket], newest_ms: int) -> dict[int, Bucket]:
    aged: dict[int, Bucket] = {}
    for start_ms, bucket in buckets.items():
        if start_ms < newest_ms - _KEPT_MS:
            continue
        at_ms = _start(start_ms, newest_ms)
        aged[at_ms] = _joined(aged[at_ms], bucket) if at_ms in aged else bucket
    return aged


def _joined(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(dict(Counter(one.by_class) + Counter(other.by_class)), one.taken_back + other.taken_back)


class Count(msgspec.Struct, frozen=True):
    """Labels of some cameras since some time.

    Attributes:
        by_class: Labels of each class, by name; one that was corrected may stand in both.
        total: Labels that hold.
    """

    by_class: dict[str, int]
    total: int


def count(cameras: Iterable[Held], since_ms: int) -> Count:
    """Labels for frames from *since_ms* on. A bucket that began before is left out: some of its frames are older."""
    by_class: Counter[str] = Counter()
    taken_back = 0
    for held in cameras:
        for start_ms, bucket in held.buckets.items():
            if start_ms >= since_ms:
                by_class.update(bucket.by_class)
                taken_back += bucket.taken_back
    total = max(0, by_class.total() - taken_back)
    return Count(dict(sorted(by_class.items())), total)
