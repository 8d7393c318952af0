"""Bench of hot swaps: what counts as around one, and that versions out of turn stop it."""

import hashlib

import numpy as np
import pytest

from catseye.models.net import Net
from infra.benches.harness import BenchError
from infra.benches.latency import MODEL
from infra.benches.swap import (
    AROUND_NS,
    Answer,
    Block,
    another_version,
    around,
    compare,
    swapped_ns,
    turn_faults,
    turns,
    windows,
    with_surroundings,
)

OLD, NEW = "old", "new"
S = AROUND_NS


def log(partition: int, *versions: str, first: int = 0) -> list[Answer]:
    """One partition's log: a frame for each of *versions*, numbered from *first* on."""
    return [Answer(partition, first + place, version) for place, version in enumerate(versions)]


def test_the_other_version_is_the_same_net_under_another_hash() -> None:
    """As large to 16 bytes, the same contract, other bytes."""
    first = MODEL.read_bytes()
    second = another_version(first)
    assert hashlib.sha256(first).digest() != hashlib.sha256(second).digest()
    assert len(second) == pytest.approx(len(first), abs=16)
    assert Net(second).spec == Net(first).spec


def test_turns_are_those_of_each_partition() -> None:
    """However the partitions come mixed, each has its own order."""
    left, right = log(0, OLD, OLD, NEW), log(1, NEW, NEW, OLD)
    assert turns([right[0], left[0], left[1], right[1], left[2], right[2]]) == {0: [OLD, NEW], 1: [NEW, OLD]}


def test_versions_in_turn_are_no_fault() -> None:
    """There and back by two swaps; a partition without a frame between them shows neither."""
    found = turns([*log(0, OLD, NEW, NEW, OLD), *log(1, OLD, OLD)])
    assert turn_faults(found, [OLD, NEW, OLD]) == []


def test_a_mixed_batch_and_a_swap_that_did_not_happen_are_faults() -> None:
    """Negative control: one partition changes there and back, another never."""
    found = turns([*log(0, OLD, NEW), *log(1, OLD, NEW, OLD, NEW), *log(2, OLD, OLD)])
    assert turn_faults(found, [OLD, NEW]) == [
        "partition 1 had 3 changes of version by 1 swaps",
        "partition 2 went from old to old where from old to new was announced",
    ]


def test_a_swap_is_when_the_first_prediction_of_the_new_version_is_seen() -> None:
    """On whichever partition, after its own announcement; none without swaps."""
    answers = [*log(0, OLD, NEW, OLD, first=0), *log(1, OLD, NEW, OLD, first=10)]
    seen_ns = {0: 1, 1: 40, 2: 90, 10: 2, 11: 30, 12: 95}
    assert swapped_ns(answers, seen_ns, [(NEW, 20), (OLD, 50)]) == [30, 90]
    assert swapped_ns(answers, seen_ns, []) == []


def test_a_swap_that_nobody_saw_stops_the_bench() -> None:
    """Negative control: the version predicted before, never since."""
    with pytest.raises(BenchError, match="after swap 1 nothing was predicted by old"):
        swapped_ns(log(0, OLD, NEW), {0: 1, 1: 40}, [(OLD, 50)])


def test_around_a_swap_is_a_second_on_both_sides_or_from_its_announcement() -> None:
    """Long loading counts whole; short loading makes the time around it no shorter."""
    assert windows([2 * S, 6 * S], [5 * S, 6 * S]) == ((2 * S, 6 * S), (5 * S, 7 * S))


def test_what_lies_in_two_windows_counts_once() -> None:
    """Ends included."""
    times_ns = np.array([0, 1, 2, 3, 4, 5])
    assert around(times_ns, [(1, 2), (2, 4)]).tolist() == [False, True, True, True, True, False]
    assert around(times_ns, []).tolist() == [False] * 6


def test_both_sides_of_a_pass_are_asked_for_the_same_seconds() -> None:
    """Whichever came first: the windows are those of the side that swapped."""
    times_ns = np.array([0, 1, 2, 3])
    calm, swaps = np.array([9.0, 1.0, 2.0, 9.0]), np.array([9.0, 3.0, 4.0, 9.0])
    rows: list[dict[str, float | str]] = [{"pass": n, "side": side} for n, side in ((1, "with"), (1, "without"))]
    blocks = [Block(times_ns, swaps, ((1, 2),)), Block(times_ns, calm, ())]
    expected = [
        {"pass": 1, "side": "with", "near": 2, "near_p50_ms": 4.0, "near_p99_ms": 4.0},
        {"pass": 1, "side": "without", "near": 2, "near_p50_ms": 2.0, "near_p99_ms": 2.0},
    ]
    assert with_surroundings(rows, blocks) == expected
    assert with_surroundings(rows[::-1], blocks[::-1]) == expected[::-1]


def test_rows_become_the_figures() -> None:
    """The bound holds for p99 around a swap; the others are said beside it."""
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": "with", "near_p99_ms": 60.0, "near_p50_ms": 30.0, "p99_ms": 55.0},
        {"pass": 1, "side": "without", "near_p99_ms": 40.0, "near_p50_ms": 30.0, "p99_ms": 50.0},
    ]
    assert {figure.name: (figure.interval.median, figure.met) for figure in compare(rows)} == {
        "p99 around a swap, with / without": (1.5, False),
        "p50 around a swap, with / without": (1.0, None),
        "p99 of the whole block, with / without": (1.1, None),
    }
