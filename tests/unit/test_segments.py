"""Entries by frame and by age: what shares a bucket of time goes from it alone, and a later time is another bucket."""

from services.ground_truth.entry import RECEIVED
from services.ground_truth.segments import Entries, Segments

BOOT = b"camera boot"


def key(sequence: int) -> bytes:
    return BOOT + sequence.to_bytes(8, "big")


def received(at_ms: int) -> bytes:
    return RECEIVED.pack(at_ms)


def test_one_that_is_removed_leaves_the_others_of_its_time() -> None:
    """They still expire in their turn."""
    segments, forgotten = Segments(1_000, len), Entries()
    for sequence in (0, 64):  # in two segments
        segments.place(key(sequence), received(500))
    segments.remove(key(0))
    assert (segments.count, segments.get(key(0))) == (1, None)
    assert segments.expire(1_000, 10, forgotten.extend) == 1
    assert forgotten == [(key(64), received(500))]


def test_one_that_came_again_later_is_as_old_as_the_later_one() -> None:
    """The time before no longer counts."""
    segments, forgotten = Segments(1_000, len), Entries()
    segments.place(key(0), received(500))
    segments.place(key(0), received(5_500))
    assert segments.expire(2_000, 10, forgotten.extend) == 0
    assert (segments.count, forgotten) == (1, [])
    assert segments.expire(6_000, 10, forgotten.extend) == 1
    assert forgotten == [(key(0), received(5_500))]
