"""The join keeps its law in any order, with any repeats, any lateness and a crash at every step."""

from collections import Counter, defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.codec import Codec
from catseye.identity import prediction_id
from catseye.records import AcceptedLabel, Outcome, Prediction, UnmatchedLabel
from services.ground_truth.core import GroundTruthCore, label_rank
from services.ground_truth.room import Room, frame_key
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
HORIZON_MS = 10_000
EARLY_MS = 3_000
CLASSES = ("bike", "car", "truck")


def core() -> GroundTruthCore:
    return GroundTruthCore(CODEC, "", HORIZON_MS, EARLY_MS)


def prediction(
    sequence: int, received_at_ms: int, version: str = "1", classes: tuple[str, ...] = CLASSES, **changes: Any
) -> FakeMessage:
    share = 1 / len(classes)
    record = Prediction(
        camera="cam",
        boot="b",
        sequence=sequence,
        captured_at_ms=received_at_ms - 5,
        received_at_ms=received_at_ms,
        predicted_at_ms=received_at_ms + 7,
        prediction_id=prediction_id("cam", "b", sequence, "m", version, "champion"),
        model="m",
        version=version,
        role="champion",
        frame_partition=0,
        frame_offset=sequence,
        label=classes[sequence % len(classes)],
        probabilities=dict.fromkeys(classes, share),
        brightness=0.5,
        contrast=0.1,
        sharpness=0.1,
        dark_share=0.0,
        bright_share=0.0,
        perceptual_hash=1,
        model_sha256="0" * 64,
        embedding=[],
    )
    return FakeMessage("predictions", CODEC.encode(msgspec.structs.replace(record, **changes)))


def label(sequence: int, received_at_ms: int, text: str | None, labelled_at_ms: int) -> FakeMessage:
    record = AcceptedLabel(
        camera="cam",
        boot="b",
        sequence=sequence,
        label=text,
        labelled_at_ms=labelled_at_ms,
        source="person",
        propensity=1.0,
        received_at_ms=received_at_ms,
    )
    return FakeMessage("labels.accepted", CODEC.encode(record))


def decoded(partition: Partition[Room], topic: str, kind: type[Any]) -> list[Any]:
    return [CODEC.decode(output.value, kind) for output in partition.outputs if output.topic == topic]


sequences = st.integers(0, 150)
clocks = st.integers(0, 8)
texts = st.sampled_from([*CLASSES, "tractor", None])
predictions = st.builds(
    prediction,
    sequences,
    st.integers(0, 20_000),
    st.sampled_from(["1", "2"]),
    st.just(CLASSES),
) | st.builds(prediction, sequences, st.integers(0, 20_000), st.just("wide"), st.just((*CLASSES, "bus", "van")))
labels = st.builds(label, sequences, st.integers(0, 20_000), texts, clocks)
steps = st.sampled_from(["take", "take", "take", "abort", "crash"])
stories = st.lists(st.tuples(steps, st.lists(predictions | labels, min_size=1, max_size=6)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(stories)
def test_each_label_has_one_end_whatever_happens(story: list[tuple[str, list[FakeMessage]]]) -> None:
    """matched + corrected + withdrawn + unmatched + still waiting = labels in; state restored = state lived."""
    partition = Partition(core)
    taken: list[FakeMessage] = []
    for step, batch in story:
        if step == "abort":
            before = partition.state.items()
            partition.abort(batch)
            assert partition.state.items() == before
        if step == "crash":
            partition.crash()
        partition.take(batch)
        taken += batch
        assert partition.rebuilt().items() == partition.state.items()
    labels_in = sum(message.topic_name == "labels.accepted" for message in taken)
    ends = len(decoded(partition, "outcomes", Outcome)) + len(decoded(partition, "labels.unmatched", UnmatchedLabel))
    waiting = sum(key[:1] == b"e" for key in partition.state.items())
    assert ends + waiting == labels_in


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), texts, clocks), max_size=12), st.randoms(use_true_random=False), st.data())
def test_what_holds_in_the_end_does_not_depend_on_the_order(
    said: list[tuple[int, str | None, int]], chance: Any, data: st.DataObject
) -> None:
    """The last outcome of a frame has its greatest label; each (prediction, label) change is written once."""
    messages = [prediction(sequence, 100) for sequence in range(4)]
    messages += [label(sequence, 200, text, clock) for sequence, text, clock in said]
    chance.shuffle(messages)
    partition = Partition(core)
    while messages:
        size = data.draw(st.integers(1, len(messages)))
        partition.take(messages[:size])
        messages = messages[size:]
    expected: dict[int, AcceptedLabel] = {}
    for sequence, text, clock in said:
        one = CODEC.decode(label(sequence, 200, text, clock).body, AcceptedLabel)
        if sequence not in expected or label_rank(one) > label_rank(expected[sequence]):
            expected[sequence] = one
    actual: dict[int, str | None] = {}
    for outcome in decoded(partition, "outcomes", Outcome):
        assert actual.get(outcome.sequence, "none so far") != outcome.label
        assert (outcome.change == "matched") == (outcome.sequence not in actual)
        actual[outcome.sequence] = outcome.label
    # A frame whose only word was a withdrawal never had an outcome.
    assert {s: text for s, text in actual.items() if text} == {s: one.label for s, one in expected.items() if one.label}


@given(st.lists(st.sampled_from(range(4)), min_size=1, max_size=10))
def test_a_repeated_prediction_changes_nothing(sequence_numbers: list[int]) -> None:
    """The first prediction of a frame holds."""
    partition = Partition(core)
    for sequence in sequence_numbers:
        partition.take([prediction(sequence, 100)])
    partition.take([label(sequence, 200, "car", 1) for sequence in range(4)])
    counts = Counter(outcome.sequence for outcome in decoded(partition, "outcomes", Outcome))
    assert counts == dict.fromkeys(set(sequence_numbers), 1)


def test_labels_before_their_prediction_are_joined_when_it_comes() -> None:
    """An early label waits; label_delay_ms is then negative."""
    partition = Partition(core)
    partition.take([label(5, 100, "car", 1)])
    partition.take([prediction(5, 400)])
    (outcome,) = decoded(partition, "outcomes", Outcome)
    assert (outcome.label, outcome.change, outcome.label_delay_ms) == ("car", "matched", -300)


def test_a_label_for_a_frame_that_nobody_predicted_is_unknown_in_the_time_of_the_frames() -> None:
    """It leaves when predictions have moved past its time and the grace; silence alone does not make it leave."""
    partition = Partition(core)
    partition.take([prediction(0, 1_000), label(77, 1_000, "car", 1)])
    partition.take([], now_ms=10**12)
    assert decoded(partition, "labels.unmatched", UnmatchedLabel) == []
    partition.take([prediction(1, 1_000 + EARLY_MS + 2_000)])
    assert [(u.sequence, u.reason) for u in decoded(partition, "labels.unmatched", UnmatchedLabel)] == [(77, "unknown")]


def test_labels_past_the_horizon_are_late_before_and_after_their_prediction_is_forgotten() -> None:
    """Exact while the prediction is kept; by the boot's forgotten sequence numbers afterwards."""
    partition = Partition(core)
    partition.take([prediction(0, 0), label(0, HORIZON_MS + 1, "car", 1)])
    partition.take([prediction(1, 3 * HORIZON_MS)])
    assert partition.state.waiting == 1
    partition.take([label(0, 3 * HORIZON_MS, "car", 2)])
    reasons = [unmatched.reason for unmatched in decoded(partition, "labels.unmatched", UnmatchedLabel)]
    assert reasons == ["late", "late"]


def test_a_label_of_a_frame_that_nobody_can_see_any_more_is_unknown() -> None:
    """Its boot's mark ends: it waits as one that came early, and leaves; it has one end as every label has."""
    partition = Partition(core)
    partition.take([prediction(0, 0)])
    for at_ms in (3 * HORIZON_MS, 5 * HORIZON_MS):
        partition.take([prediction(1, at_ms, camera="other")])
    assert not partition.state.is_expired(frame_key("cam", "b", 0))
    partition.take([label(0, 5 * HORIZON_MS, "car", 2)])
    partition.take([prediction(2, 6 * HORIZON_MS, camera="other")])
    reasons = [unmatched.reason for unmatched in decoded(partition, "labels.unmatched", UnmatchedLabel)]
    assert reasons == ["unknown"]


def test_memory_returns_when_predictions_expire() -> None:
    """After two horizons nothing of the first thousand frames is left."""
    partition = Partition(core)
    partition.take([prediction(sequence, sequence) for sequence in range(1_000)])
    partition.take([prediction(5_000, 2 * HORIZON_MS + 2_000)])
    assert partition.state.waiting == 1
    log: dict[bytes, bytes] = defaultdict(bytes)
    for key, value in partition.state_log:
        if value is None:
            log.pop(key)
        else:
            log[key] = value
    assert log == partition.state.items()


def test_an_unreadable_record_is_a_dead_letter() -> None:
    """Nothing on an inner topic stops the join."""
    partition = Partition(core)
    partition.take([FakeMessage("predictions", b"\xff"), prediction(0, 1), label(0, 2, "car", 1)])
    assert [output.topic for output in partition.outputs] == ["dead-letters", "outcomes"]


@pytest.mark.parametrize(
    "changes",
    [
        {"probabilities": {"bike": float("nan"), "car": 0.5, "truck": 0.5}},
        {"probabilities": {"bike": 2.0, "car": 0.5, "truck": 0.5}},
        {"brightness": float("nan")},
        {"brightness": -1.0},
        {"label": "tractor"},
        {"sequence": -1},
        {"sequence": 2**62},
    ],
)
def test_a_prediction_that_cannot_be_is_a_dead_letter_and_the_join_goes_on(changes: dict[str, Any]) -> None:
    """Whoever wrote it; the next pair is joined and the state stays whole."""
    partition = Partition(core)
    partition.take(
        [prediction(**{"sequence": 0, "received_at_ms": 1} | changes), prediction(1, 2), label(1, 3, "car", 1)]
    )
    assert [output.topic for output in partition.outputs] == ["dead-letters", "outcomes"]
    assert partition.rebuilt().items() == partition.state.items()
