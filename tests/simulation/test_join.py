"""The join keeps its law in any order, with any repeats, any lateness and a crash at every step."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.codec import Codec
from catseye.contract.heads import FEWEST
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedLabel, Outcome, PairedOutcome, Prediction, UnmatchedLabel
from catseye.runtime.progress import Progress
from catseye.runtime.router import Router
from services.ground_truth import NAME, READS, WRITES, sightings
from services.ground_truth.core import GroundTruthCore, label_rank
from services.ground_truth.join_state import EARLY_BUCKET_MS, JoinState, frame_key
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
HORIZON_MS = 10_000
EARLY_MS = 3_000
CLASSES = ("bike", "car", "truck")


FEWEST_NOW = [FEWEST]


@pytest.fixture(params=[FEWEST, 1], ids=["records alone", "batches at once"], scope="module", autouse=True)
def fewest(request: pytest.FixtureRequest) -> Iterator[None]:
    """Batches here are small: every claim holds when they are read as large ones are, too."""
    FEWEST_NOW[0] = request.param
    yield
    FEWEST_NOW[0] = FEWEST


def core() -> Router[JoinState]:
    """As its worker runs it."""
    return routed(HORIZON_MS, EARLY_MS, fewest=FEWEST_NOW[0])


def routed(*times_ms: int, **how: int) -> Router[JoinState]:
    """A fleet of one partition, without prefix."""
    return Router(GroundTruthCore(CODEC, *times_ms, **how), NAME, READS, WRITES, CODEC, "", 1)


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


def shadow(
    sequence: int, received_at_ms: int, version: str = "9", classes: tuple[str, ...] = CLASSES, **changes: Any
) -> FakeMessage:
    """What a shadow says: of three classes always the next one."""
    reported: dict[str, Any] = {"role": "shadow", "label": classes[(sequence + 1) % len(classes)]}
    message = prediction(sequence, received_at_ms, version, classes, **reported | changes)
    return FakeMessage("predictions.shadow", message.body)


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


def decoded(partition: Partition[JoinState], topic: str, kind: type[Any]) -> list[Any]:
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
shadows = st.builds(shadow, sequences, st.integers(0, 20_000), st.sampled_from(["1", "2", "9"]))
labels = st.builds(label, sequences, st.integers(0, 20_000), texts, clocks)
steps = st.sampled_from(["take", "take", "take", "abort", "crash"])
stories = st.lists(st.tuples(steps, st.lists(predictions | shadows | labels, min_size=1, max_size=6)), max_size=30)


@pytest.mark.slow
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
    reported: list[tuple[int, str | None, int]], chance: Any, data: st.DataObject
) -> None:
    """The last outcome of a frame has its greatest label; each (prediction, label) change is written once."""
    messages = [prediction(sequence, 100) for sequence in range(4)]
    messages += [label(sequence, 200, text, clock) for sequence, text, clock in reported]
    chance.shuffle(messages)
    partition = Partition(core)
    while messages:
        size = data.draw(st.integers(1, len(messages)))
        partition.take(messages[:size])
        messages = messages[size:]
    expected: dict[int, AcceptedLabel] = {}
    for sequence, text, clock in reported:
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


@pytest.mark.slow
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


def worked_until(at_ms: int) -> Progress:
    return Progress(at_ms, {0: at_ms})


def unmatched(partition: Partition[JoinState]) -> list[tuple[int, str]]:
    return [(each.sequence, each.reason) for each in decoded(partition, "labels.unmatched", UnmatchedLabel)]


def test_a_label_for_a_frame_that_nobody_predicted_is_unknown_when_all_has_been_worked_on() -> None:
    """It leaves when the watermark has moved past its time and the grace; our clock alone does not make it leave."""
    partition = Partition(core)
    partition.take([prediction(0, 1_000), label(77, 1_000, "car", 1)])
    partition.core.on_progress(worked_until(1_000 + EARLY_MS))
    partition.take([], now_ms=HORIZON_MS)
    assert unmatched(partition) == []
    partition.core.on_progress(worked_until(1_000 + EARLY_MS + EARLY_BUCKET_MS))
    partition.take([])
    assert unmatched(partition) == [(77, "unknown")]
    assert partition.rebuilt().items() == partition.state.items()


def test_a_label_waits_for_a_frame_that_is_held_up_behind_others() -> None:
    """Others of its partition are predicted long after it; its own frame has not been worked on, so it waits."""
    partition = Partition(core)
    partition.take([label(77, 1_000, "car", 1)])
    partition.core.on_progress(worked_until(900))
    partition.take([prediction(0, 1_000 + 2 * EARLY_MS, camera="other")])
    assert unmatched(partition) == []
    partition.take([prediction(77, 1_000 + 3 * EARLY_MS)])
    (outcome,) = decoded(partition, "outcomes", Outcome)
    assert (outcome.sequence, outcome.change) == (77, "matched")


def test_a_label_where_no_camera_lives_has_an_end() -> None:
    """No prediction ever comes on its partition; the watermark goes on with our clock."""
    partition = Partition(core)
    partition.take([label(77, 1_000, "car", 1)])
    partition.core.on_progress(worked_until(1_000 + EARLY_MS + EARLY_BUCKET_MS))
    partition.take([])
    assert unmatched(partition) == [(77, "unknown")]


def test_a_label_waits_no_longer_than_the_horizon_where_nothing_is_known_of_the_services_before() -> None:
    """By our clock, so that what waits is bounded."""
    partition = Partition(core)
    partition.take([label(77, 1_000, "car", 1)])
    partition.take([], now_ms=1_000 + EARLY_MS + HORIZON_MS)
    assert unmatched(partition) == []
    partition.take([], now_ms=1_000 + EARLY_MS + HORIZON_MS + EARLY_BUCKET_MS)
    assert unmatched(partition) == [(77, "unknown")]


def test_labels_beyond_the_horizon_are_late_before_and_after_their_prediction_is_forgotten() -> None:
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
    partition.core.on_progress(worked_until(6 * HORIZON_MS))
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


# -- pairs


def pairs(partition: Partition[JoinState]) -> list[PairedOutcome]:
    return decoded(partition, "outcomes.paired", PairedOutcome)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_label_makes_a_pair_of_what_champion_and_shadow_reported(order: tuple[int, ...]) -> None:
    """In every order but one: a shadow that speaks after the outcome is late. Nothing waits afterwards."""
    reported = [prediction(0, 100), shadow(0, 100), label(0, 900, "car", 1)]
    for together in (True, False):
        partition = Partition(core)
        ordered = [reported[place] for place in order]
        for batch in [ordered] if together else [[one] for one in ordered]:
            partition.take(batch)
        assert len(decoded(partition, "outcomes", Outcome)) == 1
        assert len(pairs(partition)) == (order[-1] != 1)
        assert partition.state.shadows == 0


def test_a_pair_says_what_both_reported_of_the_label() -> None:
    """And where the frame lies, and how the label came about."""
    partition = Partition(core)
    chances = {"bike": 0.25, "car": 0.5, "truck": 0.25}
    partition.take([prediction(3, 100), shadow(3, 101, probabilities=chances)])
    partition.take([label(3, 900, "car", 1)])
    third = round(65_535 / 3) / 65_535
    (pair,) = pairs(partition)
    assert pair == PairedOutcome(
        camera="cam",
        boot="b",
        sequence=3,
        received_at_ms=100,
        label_received_at_ms=900,
        model="m",
        champion="1",
        shadow="9",
        label="car",
        champion_predicted="bike",
        shadow_predicted="car",
        champion_label_probability=pytest.approx(third),  # type: ignore[arg-type]
        shadow_label_probability=pytest.approx(0.5, abs=1 / 255),  # type: ignore[arg-type]
        source="person",
        propensity=1.0,
        frame_partition=0,
        frame_offset=3,
    )
    (output,) = [output for output in partition.outputs if output.topic == "outcomes.paired"]
    assert (output.partition, output.key) == (0, b"cam")


def test_a_label_that_differs_from_a_class_in_case_only_is_of_that_class() -> None:
    """In outcomes and pairs; a label that two classes differ from so is of neither."""
    partition = Partition(core)
    classes = ("bike", "Bike", "car")
    partition.take([prediction(0, 100), shadow(0, 100), label(0, 900, "CAR", 1)])
    partition.take([prediction(3, 100), label(3, 900, "Bike", 1), label(3, 901, "bike", 2)])
    partition.take([prediction(6, 100, "2", classes), label(6, 900, "BIKE", 1)])
    outcomes = decoded(partition, "outcomes", Outcome)
    found = [(each.sequence, each.label, each.correct, bool(each.label_probability)) for each in outcomes]
    assert found == [
        (0, "car", False, True),
        (3, "bike", True, True),
        (3, "bike", True, True),
        (6, "BIKE", False, False),
    ]
    assert [each.label for each in pairs(partition)] == ["car"]


def test_a_class_that_the_shadow_does_not_know_has_no_probability() -> None:
    """Nor has one beyond the sixteenth, but where it was predicted."""
    many = tuple(f"class {number:02}" for number in range(20))
    partition = Partition(core)
    sure = dict.fromkeys(many, 0.0) | {many[19]: 1.0}
    partition.take([prediction(0, 100), shadow(0, 100), label(0, 900, "tractor", 1)])
    for sequence, truth in ((1, many[18]), (2, many[19])):
        word = shadow(sequence, 100, "many", many, label=many[19], probabilities=sure)
        partition.take([prediction(sequence, 100, "0", many), word, label(sequence, 900, truth, 1)])
    assert [pair.shadow_label_probability for pair in pairs(partition)] == [0.0, 0.0, 1.0]


def test_corrections_withdrawals_and_repeats_make_no_second_pair() -> None:
    """Though the shadow says its word again."""
    partition = Partition(core)
    partition.take([prediction(0, 100), shadow(0, 100), label(0, 900, "car", 1)])
    partition.take([shadow(0, 100), label(0, 901, "truck", 2), label(0, 902, None, 3), label(0, 903, "car", 4)])
    partition.take([label(0, 904, "car", 4)])
    assert [pair.label for pair in pairs(partition)] == ["car"]
    assert partition.state.shadows == 0


def test_a_withdrawal_before_any_label_leaves_the_pair_to_the_first_outcome() -> None:
    """What has no outcome has no pair."""
    partition = Partition(core)
    partition.take([prediction(0, 100), label(0, 900, None, 1), shadow(0, 100), label(0, 901, "car", 2)])
    assert [pair.label for pair in pairs(partition)] == ["car"]


def test_the_first_word_of_a_shadow_holds() -> None:
    """As with predictions."""
    partition = Partition(core)
    partition.take([prediction(0, 100), shadow(0, 100, "8"), shadow(0, 100, "9"), label(0, 900, "car", 1)])
    assert [pair.shadow for pair in pairs(partition)] == ["8"]


def test_one_version_is_not_compared_with_itself() -> None:
    """Around a promotion champion and shadow may be the same for a moment."""
    partition = Partition(core)
    partition.take([prediction(0, 100, "9"), shadow(0, 100, "9"), label(0, 900, "car", 1)])
    assert (pairs(partition), partition.state.shadows) == ([], 0)


def test_what_a_shadow_reported_is_forgotten_with_its_frame() -> None:
    """Also where the champion said nothing; and what it says of a forgotten frame is not kept."""
    partition = Partition(core)
    partition.take([prediction(0, 0), shadow(0, 0), shadow(1, 0)])
    partition.take([prediction(2, 3 * HORIZON_MS)])
    partition.take([shadow(0, 0)])
    assert partition.state.shadows == 0
    assert partition.rebuilt().items() == partition.state.items()


def test_events_of_pairs_are_counted() -> None:
    """Each word of a shadow ends as one of them."""
    one = core()
    state = one.new_state()
    reported = [prediction(0, 0), shadow(0, 0), shadow(0, 0), label(0, 1, "car", 1), shadow(0, 0)]
    one.on_batch([*reported, prediction(1, 0, "9"), shadow(1, 0), label(1, 1, "car", 1), shadow(2, 0)], {0: state}, 0)
    one.on_batch([prediction(3, 3 * HORIZON_MS)], {0: state}, 0)
    counted = {event: count for event, count in one.counted().items() if "shadow" in event or "pair" in event}
    assert counted == {
        "shadow": 3,
        "shadow_repeated": 1,
        "shadow_late": 1,
        "shadow_expired": 1,
        "pair": 1,
        "pair_of_one_version": 1,
    }


@pytest.mark.parametrize("changes", [{"label": "tractor"}, {"probabilities": {"bike": float("nan")}}, {"sequence": -1}])
def test_a_word_of_a_shadow_that_cannot_be_is_a_dead_letter(changes: dict[str, Any]) -> None:
    """As with predictions; the next pair is made."""
    partition = Partition(core)
    partition.take([shadow(**{"sequence": 0, "received_at_ms": 1} | changes)])
    partition.take([prediction(1, 2), shadow(1, 2), label(1, 3, "car", 1)])
    assert [output.topic for output in partition.outputs] == ["dead-letters", "outcomes", "outcomes.paired"]
    assert partition.rebuilt().items() == partition.state.items()


few, soon = st.integers(0, 5), st.integers(0, 400)
reported_of_few = (
    st.builds(prediction, few, soon) | st.builds(shadow, few, soon) | st.builds(label, few, soon, texts, clocks)
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(steps, st.lists(reported_of_few, min_size=1, max_size=4)), max_size=25))
def test_each_frame_has_its_pair_once_whatever_happens(story: list[tuple[str, list[FakeMessage]]]) -> None:
    """With its first outcome, where the shadow had spoken by then; through aborts and crashes, in any batches."""
    one_by_one, in_batches = Partition(core), Partition(core)
    had: set[int] = set()
    reported: set[int] = set()
    for step, batch in story:
        for partition in (one_by_one, in_batches):
            if step == "abort":
                partition.abort(batch)
            if step == "crash":
                partition.crash()
        for message in batch:
            before = len(one_by_one.outputs)
            one_by_one.take([message])
            if message.topic_name == "predictions.shadow":
                reported |= {CODEC.decode(message.body, Prediction).sequence} - had
            new = one_by_one.outputs[before:]
            outcomes = [CODEC.decode(output.value, Outcome) for output in new if output.topic == "outcomes"]
            paired = [CODEC.decode(output.value, PairedOutcome) for output in new if output.topic == "outcomes.paired"]
            first = {outcome.sequence for outcome in outcomes if outcome.change == "matched"}
            assert [pair.sequence for pair in paired] == sorted(first & reported)
            had |= first
            reported -= first
        in_batches.take(batch)
        assert one_by_one.rebuilt().items() == one_by_one.state.items() == in_batches.state.items()
    assert one_by_one.outputs == in_batches.outputs
    assert one_by_one.state.shadows == len(reported)


def test_an_outcome_says_what_its_prediction_says_of_the_object() -> None:
    """Also when the label comes first or is corrected, after a crash, and beside others; a pair names the vehicle."""
    said: dict[str, Any] = {"track": "b-7", "box": [0.1, 0.2, 0.3, 0.4], "first_seen_ms": 40, "last_seen_ms": 90}
    partition = Partition(core)
    partition.take([label(1, 95, "car", 1), prediction(1, 100, **said), shadow(2, 100), prediction(2, 101, **said)])
    partition.crash()
    partition.take([label(2, 102, "car", 1), prediction(3, 103), label(3, 104, "car", 1), label(1, 105, "truck", 2)])
    found = decoded(partition, "outcomes", Outcome)
    of_object = [{name: getattr(each, name) for name in said} for each in found]
    nothing = dict.fromkeys(said)
    assert [each.sequence for each in found] == [1, 2, 3, 1]
    assert of_object == [said, said, nothing, said]
    assert [each.track for each in pairs(partition)] == ["b-7"]


def test_what_predictions_say_of_objects_is_forgotten_with_them() -> None:
    """Memory returns; what says nothing is not kept, and all that waits is read back from the log."""
    partition = Partition(core)
    partition.take([prediction(number, 100, track=f"b-{number}" if number % 2 else None) for number in range(10)])
    assert partition.state.sightings == 5
    partition.crash()
    assert partition.state.sightings == 5
    partition.take([prediction(11, 100 + 2 * HORIZON_MS)])
    assert (partition.state.waiting, partition.state.sightings) == (1, 0)


@given(st.sampled_from(["track", "box", "first_seen_ms", "last_seen_ms", "direction", "line"]), st.integers(0, 2**40))
def test_a_prediction_that_says_something_is_told_by_its_last_bytes(name: str, number: int) -> None:
    """Without reading it: only those that say nothing end with so many zeros."""
    values: dict[str, Any] = {
        "track": f"b-{number}",
        "box": [0.0, 0.0, 0.5, (number + 1) / 2**41],
        "direction": "up",
        "line": "n",
    }
    said: dict[str, Any] = {name: values.get(name, number)}
    sighting = sightings.unpack(sightings.read(CODEC, prediction(1, 100, **said).value() or b""))
    known = said if name in sightings.Sighting._fields else {}
    assert sighting == sightings.NOTHING._replace(**known)
    assert sightings.read(CODEC, prediction(1, 100).value() or b"") is None
