"""`services.ground_truth.state_formats`: values with a number, from before there were numbers, and from the future."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catseye.contract.errors import Misconfigured
from services.ground_truth.entry import NEVER_MS, NO_LABEL, RECEIVED, Entry, ShadowEntry, pack, pack_shadow
from services.ground_truth.join_state import MARK
from services.ground_truth.state_formats import BOOT, EARLY, MODEL, PREDICTION, SHADOW, as_known, as_written

times = st.integers(0, 2**47) | st.sampled_from([-1, -(2**40), 2**56 - 1])
chances = st.lists(st.integers(0, 255), min_size=1, max_size=16).map(tuple)
predictions = st.builds(
    lambda at_ms, chances: pack(Entry(at_ms, 1, 2, 3, 0, 0, 9, 0, NEVER_MS, NO_LABEL, chances)), times, chances
)
shadows = st.builds(lambda at_ms, chances: pack_shadow(ShadowEntry(at_ms, 0, 0, 1, chances)), times, chances)
labels = st.builds(lambda at_ms, record: RECEIVED.pack(at_ms) + record, times, st.binary(max_size=30))
marks = st.builds(MARK.pack, st.integers(0, 2**62), times)
values = st.one_of(
    st.tuples(st.just(PREDICTION), predictions),
    st.tuples(st.just(SHADOW), shadows),
    st.tuples(st.just(EARLY), labels),
    st.tuples(st.just(BOOT), marks | st.integers(0, 2**62).map(lambda sequence: sequence.to_bytes(8, "big"))),
    st.tuples(st.just(MODEL), st.binary(max_size=20).map(lambda rest: b"\x93" + rest)),
)


@given(values)
def test_what_is_written_is_read_and_so_is_what_was_written_before(value: tuple[bytes, bytes]) -> None:
    """Whatever the time: those of tests are near zero."""
    kind, known = value
    written = as_written(kind + b"name", known)
    assert written is not None
    assert written[0] == 1
    assert as_known(kind + b"name", written) == as_known(kind + b"name", known) == known


@given(values, st.integers(2, 31))
def test_a_value_from_the_future_is_refused(value: tuple[bytes, bytes], number: int) -> None:
    """With a sentence that says what to do."""
    kind, known = value
    written = as_written(kind, known) or b""
    with pytest.raises(Misconfigured, match=rf"^ground_truth.state: .* is in format {number}"):
        as_known(kind, bytes((number,)) + written[1:])


def test_what_is_removed_stays_removed() -> None:
    """A tombstone has no format."""
    assert as_written(b"p", None) is as_known(b"s", None) is None
