"""Which labelled frames a training sees, how they are parted, and what the manifest says of them."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.contract.records import Outcome
from services.trainer.dataset import (
    Labelled,
    Labels,
    Part,
    as_bytes,
    choose,
    fallen_cameras,
    is_fresh,
    manifest,
    runs,
)
from services.trainer.split import apart, clusters, lacking, split
from tests.unit.test_trainer_core import decision

CLASSES = ("bike", "car")


def outcome(sequence: int, **changed: Any) -> Outcome:
    """The outcome of one frame."""
    first = Outcome(
        camera="north",
        boot="b",
        sequence=sequence,
        captured_at_ms=0,
        received_at_ms=1_000 + sequence,
        predicted_at_ms=0,
        prediction_id=str(sequence),
        model="vehicles",
        version="one",
        role="champion",
        frame_partition=0,
        frame_offset=sequence,
        predicted="car",
        confidence=0.9,
        change="matched",
        label="car",
        correct=True,
        label_probability=0.9,
        brightness=0.5,
        source="person",
        propensity=0.9,
        labelled_at_ms=0,
        label_received_at_ms=0,
        label_delay_ms=0,
    )
    return replace(first, **changed)


def frame(number: int, camera: str = "north", label: str = "car", *, correct: bool = True) -> Labelled:
    """A labelled frame; numbers are times and offsets."""
    return Labelled(camera, f"{camera}/b/{number}", number, 0, number, label, correct, "person", 1.0)


def test_the_newest_outcome_of_a_frame_holds() -> None:
    """A correction replaces, a withdrawal removes, a label after it counts again."""
    labels = Labels()
    for reported in (
        outcome(1),
        outcome(2),
        outcome(3),
        outcome(1, change="corrected", label="bike"),
        outcome(2, change="withdrawn", label=None),
        outcome(3, change="withdrawn", label=None),
        outcome(3, change="matched", label="bike"),
        outcome(4, change="withdrawn", label=None),
        outcome(5, role="shadow"),
    ):
        labels.on_outcome(reported)
    assert [(found.offset, found.label, found.correct) for found in labels.frames()] == [
        (1, "bike", False),
        (3, "bike", False),
    ]
    assert labels.outcomes == 9


def test_frames_come_by_time_whatever_their_partition() -> None:
    """Partitions are read one beside the other."""
    labels = Labels()
    labels.on_outcome(outcome(7, frame_partition=1))
    labels.on_outcome(outcome(3))
    assert [(found.partition, found.offset) for found in labels.frames()] == [(0, 3), (1, 7)]


def test_cameras_whose_accuracy_fell_are_found() -> None:
    """By the last fifth of their frames; one frame alone says nothing."""
    fell = [frame(number, "fell", correct=number < 8) for number in range(10)]
    stayed = [frame(number, "stayed", correct=number % 2 == 0) for number in range(10)]
    assert fallen_cameras([*fell, *stayed, frame(1, "single")]) == {"fell": 8}


def test_fresh_is_a_changed_camera_since_its_change() -> None:
    """Its earlier frames are as old as anybody's."""
    changed = {"north": 5}
    found = [is_fresh(one, changed) for one in (frame(4), frame(5), frame(9, "south"))]
    assert found == [False, True, False]


def test_the_newest_fresh_frames_and_a_balanced_sample_of_the_others_are_chosen() -> None:
    """Of the older ones as many of a rare class as of a common one, and of each camera."""
    fresh = [frame(number) for number in range(100, 200)]
    cars = [frame(number, "east" if number % 10 else "west") for number in range(80)]
    bikes = [frame(number, "west", "bike") for number in range(80, 90)]
    chosen = choose([*cars, *bikes, *fresh], {"north": 100}, most=50, fresh_share=0.6)
    assert [one.offset for one in chosen if one.camera == "north"] == list(range(170, 200))
    older = Counter((one.label, one.camera) for one in chosen if one.camera != "north")
    assert older == {("bike", "west"): 10, ("car", "east"): 5, ("car", "west"): 5}
    assert chosen == sorted(chosen, key=lambda one: one.received_at_ms)


def test_where_there_is_little_else_fresh_frames_fill_the_room() -> None:
    """And where nothing changed, the sample is all."""
    frames = [frame(number) for number in range(20)]
    assert choose(frames, {"north": 2}, most=10) == [*frames[:2], *frames[12:]]
    assert choose(frames, {"north": 0}, most=10) == frames[10:]
    assert len(choose(frames, {}, most=10)) == 10
    assert choose(frames, {}, most=30) == frames


def test_a_choice_does_not_depend_on_chance() -> None:
    """After a crash the same outcomes make the same data set."""
    frames = [frame(number, camera) for number in range(50) for camera in ("a", "b")]
    assert choose(frames, {}, most=20) == choose(list(frames), {}, most=20)


def test_the_manifest_counts_and_names_every_frame() -> None:
    """And equal manifests have equal bytes."""
    frames = [frame(12, label="bike"), frame(11), frame(13, "south")]
    parts: list[Part] = ["window", "train", "train"]
    notified: dict[str, Any] = {
        "changed_since_ms": {"north": 12},
        "cut_off_ms": 99,
        "outcomes_topic": "t.outcomes",
        "outcomes_ranges": {"0": (0, 5)},
        "frames_topic": "t.frames.accepted",
        "outcomes_read": 5,
        "labelled": 4,
        "unknown_labels": {"tram": 1},
        "gone": 0,
        "examples_sha256": None,
        "golden_sha256": None,
    }
    found = manifest(decision(causes=("a",)), "one", frames, parts, CLASSES, **notified)
    assert (found.offsets, found.labels, found.parts) == ([11, 12, 13], [1, 0, 1], [0, 2, 0])
    assert found.frames_ranges == {"0": (11, 14)}
    assert found.by_part == {"train": 2, "validation": 0, "window": 1, "left_out": 0}
    assert found.by_class == {"bike": {"window": 1}, "car": {"train": 2}}
    assert found.by_camera == {"north": {"train": 1, "window": 1}, "south": {"train": 1}}
    assert (found.sources, found.propensities) == ({"person": 3}, {"1.00": 3})
    assert as_bytes(found) == as_bytes(manifest(decision(causes=("a",)), "one", frames, parts, CLASSES, **notified))
    assert json.loads(as_bytes(found))["unknown_labels"] == {"tram": 1}


def test_offsets_that_are_far_apart_are_read_in_stretches() -> None:
    """Near ones in one go, in whatever order they are asked for."""
    assert runs([], gap=5) == []
    assert runs([30, 1, 6, 12, 31], gap=5) == [(1, 6), (12, 12), (30, 31)]


# -- clusters and the split


def test_near_identical_frames_are_one_cluster() -> None:
    """Also by way of a third, also at the sign bit; equal hashes always."""
    hashes = [0, 0b11, 0b1111, 1 << 40, -(1 << 63), 0, 0xFFFF << 20]
    found = clusters(hashes, bits=2).tolist()
    assert found[0] == found[1] == found[2] == found[3] == found[4] == found[5]
    assert found[6] != found[0]
    assert len(set(clusters(hashes, bits=0).tolist())) == 6
    assert clusters([], bits=3).tolist() == []


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12), st.integers(0, 40))
def test_clusters_are_what_a_walk_over_near_frames_reaches(hashes: list[int], bits: int) -> None:
    """Against the plain definition."""
    found = clusters(hashes, bits=bits)
    near = [[((one ^ other) & (2**64 - 1)).bit_count() <= bits for other in hashes] for one in hashes]
    reached = np.array(near, dtype=bool).reshape(len(hashes), len(hashes))
    for _ in hashes:
        reached = reached | (reached.astype(int) @ reached.astype(int) > 0)
    expected = [[bool(reached[one, other]) for other in range(len(hashes))] for one in range(len(hashes))]
    assert [[bool(one == other) for other in found] for one in found] == expected


def parted(
    frames: Sequence[Labelled], cluster_of: Sequence[int], frozen: frozenset[int] = frozenset(), since: int = 10**9
) -> list[Part]:
    """Split with a tenth for validation and a fifth for the window; fresh from *since* on."""
    return split(
        frames,
        cluster_of,
        fresh=lambda one: one.received_at_ms >= since,
        frozen=frozen,
        validation_share=0.1,
        window_share=0.2,
    )


def test_the_last_frames_of_each_camera_are_held_out() -> None:
    """Every frame a cluster of its own: that is a split by time, camera by camera."""
    frames = [frame(number, camera) for number in range(10) for camera in ("a", "b")]
    parts = parted(frames, range(20))
    assert parts == ["train"] * 14 + ["validation"] * 2 + ["window"] * 4


def test_near_identical_frames_stay_in_one_part() -> None:
    """A picture that comes again and again is held out as a whole, in every camera."""
    frames = [frame(number, camera) for number in range(50) for camera in ("a", "b")]
    cluster_of = [number % 7 for number in range(100)]
    parts = parted(frames, cluster_of)
    assert {len({part for part, own in zip(parts, cluster_of, strict=True) if own == one}) for one in range(7)} == {1}
    assert set(parts) == {"train", "validation", "window"}


def test_a_changed_camera_is_held_out_before_and_after_its_change() -> None:
    """The gate asks about both."""
    frames = [frame(number) for number in range(40)]
    parts = parted(frames, range(40), since=20)
    assert [number for number, part in enumerate(parts) if part == "window"] == [16, 17, 18, 19, 36, 37, 38, 39]


def test_frames_like_the_golden_set_are_never_trained_on() -> None:
    """They count as held out already."""
    frames = [frame(number) for number in range(10)]
    parts = parted(frames, range(10), frozen=frozenset({0, 1}))
    assert parts == ["window", "window", *["train"] * 7, "validation"]


def test_a_cluster_of_most_of_a_camera_is_trained_on() -> None:
    """Held out, it would leave nothing."""
    frames = [frame(number) for number in range(10)]
    assert parted(frames, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0]) == [*["train"] * 6, "window", "window", "train", "train"]


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["train"]), (2, ["validation", "window"])])
def test_next_to_nothing_can_be_split(count: int, expected: list[Part]) -> None:
    """Without an error; what has no part to train on is refused afterwards."""
    assert parted([frame(number) for number in range(count)], range(count)) == expected


def test_an_example_like_a_held_out_frame_is_not_trained_on() -> None:
    """Nor one like the golden set; one like a training frame is, and one like none."""
    assert apart([0, 1, 2, 3, 4], [0, 1, 2], ["train", "window", "validation"], frozenset({3})) == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("parts", "fresh", "expected"),
    [
        (["train", "validation", "window"], [False, False, True], ""),
        (["train", "validation", "window"], [False, False, False], ""),
        (["train", "validation", "window"], [True, True, False], "none that shows the change to evaluate on"),
        (["train", "window", "window"], [False, False, True], "no part to train on or to evaluate on"),
        ([], [], "no part to train on or to evaluate on"),
    ],
)
def test_a_split_that_cannot_be_assessed_is_refused(parts: list[Part], fresh: list[bool], expected: str) -> None:
    """Least of all may the gate find no frame of the change, and call that no evidence against."""
    found = lacking(parts, fresh)
    assert (found.startswith("duplicates: "), found.endswith(expected)) == (bool(expected), True)
