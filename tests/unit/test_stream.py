"""`catseye.runtime.stream`: state that is true with its outputs or not at all."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catseye.runtime.stream import KeyedState, NoState, Tally

keys = st.sampled_from([b"a", b"b", b"c"])
values = st.none() | st.binary(max_size=3)
rounds = st.lists(st.tuples(st.lists(st.tuples(keys, values), max_size=6), st.booleans()), max_size=8)


@given(rounds)
def test_a_keyed_state_is_a_mapping_with_one_step_back(
    story: list[tuple[list[tuple[bytes, bytes | None]], bool]],
) -> None:
    """Against a dict: what was committed stays, what was not is as if it had never been."""
    state, expected, log = KeyedState(), dict[bytes, bytes](), dict[bytes, bytes | None]()
    for puts, kept in story:
        drafted: dict[bytes, bytes | None] = dict(expected)
        for key, value in puts:
            state.put(key, value)
            drafted[key] = value
            assert state.get(key) == value
        changes = state.changes()
        assert dict(changes) == {key: drafted.get(key) for key, _ in puts}
        assert len(changes) == len(dict(changes))
        if kept:
            log |= dict(changes)
            expected = {key: value for key, value in drafted.items() if value is not None}
            state.commit()
        else:
            state.rollback()
        assert dict(state.items()) == expected
        assert len(state) == len(expected)
        assert state.changes() == []
    restored = KeyedState()
    for key, value in log.items():
        restored.restore(key, value)
    assert dict(restored.items()) == expected
    assert restored.changes() == []


def test_a_restored_key_can_be_removed() -> None:
    """A tombstone on the state topic takes away what stood there before, or nothing."""
    state = KeyedState()
    for key, value in ((b"a", b"1"), (b"a", None), (b"b", None)):
        state.restore(key, value)
    assert state.items() == []


def test_no_state_stays_nothing() -> None:
    """For a core that remembers nothing."""
    state = NoState()
    state.restore(b"key", b"value")
    state.commit()
    state.rollback()
    assert state.changes() == ()


def test_counts_are_handed_over_once() -> None:
    """What was handed over, or thrown away with a rollback, is not counted again."""
    tally = Tally()
    tally.events["duplicate"] += 2
    assert [tally.counted(), tally.counted()] == [Counter(duplicate=2), Counter()]


@pytest.mark.parametrize("value", [b"", b"0"])
def test_an_empty_value_is_a_value(value: bytes) -> None:
    """Only None removes."""
    state = KeyedState()
    state.put(b"a", value)
    assert state.changes() == [(b"a", value)]
