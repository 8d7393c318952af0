"""`services.ground_truth.entry`: what is packed is unpacked, and every field stands where the others expect it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ground_truth.entry import (
    DELAY_MAX_MS,
    FULL,
    LABEL,
    LABEL_AT,
    LABEL_END,
    MODEL_NO,
    MODEL_NO_AT,
    NEVER_MS,
    NO_LABEL,
    RECEIVED,
    SHADOW_CLASSES,
    Entry,
    ShadowEntry,
    digest_of,
    pack,
    pack_shadow,
    shadow_model_no,
    shadow_size_of,
    size_of,
    unpack,
    unpack_shadow,
)

longs = st.integers(-(2**63), 2**63 - 1)
shorts = st.integers(0, FULL)
entries = st.builds(
    Entry,
    received_at_ms=longs,
    captured_at_ms=longs,
    frame_offset=longs,
    predict_delay_ms=st.integers(0, DELAY_MAX_MS),
    model_no=shorts,
    predicted_no=shorts,
    brightness=st.integers(0, 255),
    flags=st.integers(0, 255),
    labelled_at_ms=longs,
    digest=st.binary(min_size=8, max_size=8),
    probabilities=st.lists(shorts, max_size=20).map(tuple),
)


@given(entries, st.integers(0, 9))
def test_what_is_packed_is_unpacked(entry: Entry, padding: int) -> None:
    """Bytes behind it are padding and change nothing."""
    classes = len(entry.probabilities)
    packed = pack(entry)
    assert unpack(packed + bytes(padding), classes) == entry
    assert len(packed) == size_of(classes) == 50 + 2 * classes


@given(entries)
def test_the_parts_stand_where_they_are_searched_for(entry: Entry) -> None:
    """Expiry reads the time alone, the join the label and the model's number."""
    packed = pack(entry)
    assert RECEIVED.unpack_from(packed) == (entry.received_at_ms,)
    assert MODEL_NO.unpack_from(packed, MODEL_NO_AT) == (entry.model_no,)
    assert LABEL.unpack_from(packed, LABEL_AT) == (entry.flags, entry.labelled_at_ms, entry.digest)
    assert size_of(0) == LABEL_END


@given(entries, st.integers(0, 255), longs, st.text(max_size=5))
def test_a_label_is_put_in_place(entry: Entry, flags: int, labelled_at_ms: int, label: str) -> None:
    """Nothing else of the entry changes."""
    packed = pack(entry)
    held = LABEL.pack(flags, labelled_at_ms, digest_of(label))
    changed = unpack(packed[:LABEL_AT] + held + packed[LABEL_END:], len(entry.probabilities))
    assert changed == entry._replace(flags=flags, labelled_at_ms=labelled_at_ms, digest=digest_of(label))


@given(st.lists(st.none() | st.text(max_size=8), unique=True, max_size=20))
def test_labels_and_the_withdrawal_have_digests_of_their_own(labels: list[str | None]) -> None:
    """8 bytes each, the same in every process; none is that of no label."""
    digests = [digest_of(label) for label in labels]
    assert len(set(digests)) == len(labels)
    assert {len(digest) for digest in digests} <= {8}
    assert NO_LABEL not in digests


def test_digests_are_pinned() -> None:
    """They stand on the state topic: a release that changes them would take every label for another one."""
    actual = [digest_of(label).hex() for label in (None, "", "\0", "car")]
    assert actual == ["94f6d9cdd1ea8248", "00e83d0a3f7519ad", "3ae820785f7a2994", "d8040c144e6a4850"]


def test_a_stranger_who_labels_everything_differently_fills_no_memory() -> None:
    """Labels are texts of the public: what is remembered of them is bounded."""
    for number in range(20_000):
        digest_of(f"label {number}")
    assert digest_of.cache_info().currsize <= 10_000


def test_what_does_not_fit_is_an_error() -> None:
    """A byte too few, a number too large: never a wrong entry."""
    sound = Entry(1, 2, 3, 4, 5, 1, 6, 0, NEVER_MS, NO_LABEL, (1, 2))
    with pytest.raises(struct.error):
        unpack(pack(sound)[:-1], 2)
    with pytest.raises(struct.error):
        pack(sound._replace(probabilities=(FULL + 1,)))


shadow_entries = st.builds(
    ShadowEntry,
    received_at_ms=longs,
    model_no=shorts,
    predicted_no=shorts,
    predicted_probability=st.integers(0, 255),
    probabilities=st.lists(st.integers(0, 255), max_size=SHADOW_CLASSES).map(tuple),
)


@given(shadow_entries)
def test_what_a_shadow_reported_is_packed_and_unpacked(entry: ShadowEntry) -> None:
    """In 13 bytes and one a class; its time stands where expiry looks for it."""
    packed = pack_shadow(entry)
    assert unpack_shadow(packed) == entry
    assert len(packed) == shadow_size_of(len(entry.probabilities)) == 13 + len(entry.probabilities)
    assert (RECEIVED.unpack_from(packed), shadow_model_no(packed)) == ((entry.received_at_ms,), entry.model_no)


def test_a_shadow_with_many_classes_keeps_sixteen_and_the_predicted_one() -> None:
    """What is not kept has probability 0."""
    entry = ShadowEntry(0, 0, 20, 51, (255,) * SHADOW_CLASSES)
    assert [entry.probability(class_no) for class_no in (0, 15, 16, 20, 21)] == [1.0, 1.0, 0.0, 0.2, 0.0]
    assert shadow_size_of(1_000) == len(pack_shadow(entry)) == 29
