"""The checks that decide whether a peer's figure counts: each must see a record that is lost, repeated or wrong."""

import numpy as np
import pytest

from infra.benches.load import HEAD, PAYLOAD, Deck, Read, faults, occurrences, state_faults
from infra.benches.peers.bare import copy
from infra.benches.peers.broken import breaking

DECK = Deck.deal(2_000, keys=50, counted=True, seed=3)


def value(number: int, count: int) -> bytes:
    return np.array([(number, count)], HEAD).tobytes() + PAYLOAD


def read_of(values: list[bytes]) -> Read:
    read = Read()
    read.add(values[:700])
    read.add(values[700:])
    return read


def right() -> list[bytes]:
    return [value(i, int(n)) for i, n in enumerate(DECK.expected)]


def test_occurrences_count_from_one_in_order_of_appearance() -> None:
    """Each element gets the how-manieth of its value it is."""
    assert occurrences(np.array([7, 3, 7, 7, 3])).tolist() == [1, 1, 2, 3, 2]


def test_occurrences_of_nothing_is_nothing() -> None:
    """An empty input has no counts."""
    assert occurrences(np.array([], np.int64)).tolist() == []


def test_a_right_output_has_no_faults_in_any_order() -> None:
    """Order across partitions is nobody's promise."""
    assert faults(read_of(right()[::-1]), DECK) == []


def test_a_lost_record_is_reported() -> None:
    """Negative control: one record of 2,000 missing."""
    values = right()
    del values[1_234]
    assert faults(read_of(values), DECK) == ["1 records lost"]


def test_a_repeated_record_is_reported() -> None:
    """Negative control: one record of 2,000 twice."""
    assert faults(read_of([*right(), right()[5]]), DECK) == ["1 records repeated"]


def test_a_wrong_count_is_reported() -> None:
    """Negative control: state that went back one step."""
    values = right()
    values[9] = value(9, int(DECK.expected[9]) + 1)
    assert faults(read_of(values), DECK) == ["1 records with a wrong count"]


def test_a_record_that_nobody_sent_is_reported() -> None:
    """Ids outside the deck are no index into it."""
    assert faults(read_of([*right(), value(2_000, 1), value(-1, 1)]), DECK) == ["2 records that nobody sent"]


def test_a_cut_payload_is_reported() -> None:
    """An engine that writes less than it was asked for is cheaper for no good reason."""
    values = right()
    values[0] = values[0][:-10]
    assert faults(read_of(values), DECK) == ["10 bytes too many or too few"]


def test_copied_records_all_carry_the_same_count() -> None:
    """Without state every record comes back with 1."""
    assert set(Deck.deal(10, keys=2, counted=False, seed=1).expected.tolist()) == {1}


@pytest.mark.parametrize("write", [lambda n: n.to_bytes(8, "big"), lambda n: str(n).encode()])
def test_durable_counts_are_read_in_both_spellings(write: object) -> None:
    """Big-endian as Kafka Streams and ours write them, digits as quixstreams and Faust do."""
    assert callable(write)
    state = {b"key-%d" % i: write(n) for i, n in enumerate(DECK.totals())}
    assert state_faults(state, DECK) == []


def test_a_lost_key_in_durable_state_is_reported() -> None:
    """Negative control: a changelog that misses one key."""
    state = {b"key-%d" % i: n.to_bytes(8, "big") for i, n in enumerate(DECK.totals()[1:])}
    assert state_faults(state, DECK) == [
        f"durable state has 49 keys that add up to {2_000 - DECK.totals()[0]:,}, not 50 to 2,000"
    ]


class Record:
    """As much of a message as the loop looks at."""

    def __init__(self, number: int) -> None:
        self._number = number

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return value(self._number, 0)


@pytest.mark.parametrize(("fault", "reported"), [("drop", "1 records lost"), ("repeat", "1 records repeated")])
def test_the_broken_peers_are_caught(fault: str, reported: str) -> None:
    """The negative controls that a bench runs before it measures do what they say, once, across batches."""
    core, written = breaking(copy, fault), []
    for start in range(0, 2_000, 300):
        batch = [Record(i) for i in range(start, min(start + 300, 2_000))]
        written += [out for _, out in core(batch)[0]]  # type: ignore[arg-type]
    assert faults(read_of(written), Deck.deal(2_000, keys=50, counted=False, seed=3)) == [reported]
