"""Joins labels with predictions on (camera, frame). Law: each accepted label has exactly one end, and what holds of a
frame in the end does not depend on the order in which its labels came.

Of the labels of a frame the one with the greatest `label_rank` holds: the labeller's clock, then the label's digest.

Where a shadow predicted the frame too, the first outcome of the frame makes a pair: at most one a frame, whatever
becomes of the label later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from catseye.contract.codec import Codec
from catseye.contract.dead_letters import dead_letter, source_of
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import prediction_id
from catseye.contract.message import Message
from catseye.contract.records import (
    AcceptedLabel,
    Change,
    Outcome,
    PairedOutcome,
    Prediction,
    UnmatchedLabel,
    UnmatchedReason,
)
from catseye.contract.topics import full_name
from catseye.runtime.stream import Output, Tally
from services.ground_truth.entry import (
    DELAY_MAX_MS,
    FULL,
    HAD_OUTCOME,
    LABEL,
    LABEL_AT,
    LABEL_END,
    MODEL_NO,
    MODEL_NO_AT,
    NEVER_MS,
    NO_LABEL,
    RECEIVED,
    SHADOW_CLASSES,
    SHADOW_FULL,
    Entry,
    ShadowEntry,
    digest_of,
    pack,
    pack_shadow,
    unpack,
    unpack_shadow,
)
from services.ground_truth.join_state import JoinState, Model, frame_key

SEQUENCE_MAX = 2**62  # as ingest has it
EXPIRE_AT_ONCE = 2_000  # entries forgotten in one transaction, so that a long silence does not make a long one


def label_rank(label: AcceptedLabel) -> tuple[int, bytes]:
    """What decides between two labels of one frame: the greater one holds."""
    return label.labelled_at_ms, digest_of(label.label)


class GroundTruthCore(Tally):
    """Predictions and labels in, outcomes, pairs and unmatched labels out.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        horizon_ms: Longest time from a frame's arrival to its label's.
        early_ms: How long a label waits for its prediction, in time of the frames that are predicted.
        margin_ms: How long accepted frames and labels are kept beyond the horizon. Twice both after a boot's last frame
            came in, its labels are unknown and no longer late.
    """

    def __init__(self, codec: Codec, prefix: str, horizon_ms: int, early_ms: int, margin_ms: int = 0) -> None:
        super().__init__()
        self._codec = codec
        self._horizon_ms = horizon_ms
        self._early_ms = early_ms
        self._margin_ms = margin_ms
        self._predictions = full_name("predictions", prefix)
        self._labels = full_name("labels.accepted", prefix)
        self._outcomes = full_name("outcomes", prefix)
        self._pairs = full_name("outcomes.paired", prefix)
        self._unmatched = full_name("labels.unmatched", prefix)
        self._dead_letters = full_name("dead-letters", prefix)

    def new_state(self) -> JoinState:
        return JoinState(self._horizon_ms, self._margin_ms)

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, JoinState], now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        for message in batch:
            partition = message.partition()
            try:
                if message.topic() == self._predictions:
                    prediction = self._codec.leading_fields(message.value(), Prediction, "brightness")
                    outputs += self.on_prediction(prediction, states[partition], partition)
                elif message.topic() == self._labels:
                    label = self._codec.decode(message.value(), AcceptedLabel)
                    outputs += self.on_label(label, states[partition], partition)
                else:
                    prediction = self._codec.leading_fields(message.value(), Prediction, "brightness")
                    self.on_shadow(prediction, states[partition])
            except BadRecord as fault:
                self.events[f"dead_{fault.reason}"] += 1
                letter = self._codec.encode(dead_letter("ground_truth", message, fault, now_ms))
                outputs.append(Output(self._dead_letters, partition, source_of(message), letter))
        return outputs + self.on_time(states, now_ms)

    def on_time(self, states: Mapping[int, JoinState], now_ms: int) -> list[Output]:
        """Let go of labels that waited long enough and of predictions past the horizon. Time is that of the frames."""
        outputs: list[Output] = []
        for partition, state in states.items():
            for key, packed in state.early_before(state.newest_ms - self._early_ms):
                state.take_early(key)
                outputs.append(self._left(self._early_label(packed), "unknown", partition))
            self.events["expired"] += state.expire(EXPIRE_AT_ONCE)
            self.events["mark_ended"] += state.end_marks(EXPIRE_AT_ONCE)
            if state.shadows:
                self.events["shadow_expired"] += state.expire_shadows(EXPIRE_AT_ONCE)
        return outputs

    def on_prediction(self, prediction: Mapping[str, Any], state: JoinState, partition: int) -> list[Output]:
        """Let a prediction wait, or join it with the label that came before it.

        Args:
            prediction: Fields of a `Prediction` from the first up to brightness: reading the rest costs half as much
                as the whole join.
        """
        _check(prediction)
        state.saw(prediction["received_at_ms"])
        key = frame_key(prediction["camera"], prediction["boot"], prediction["sequence"])
        if state.get(key) is not None:
            self.events["prediction_repeated"] += 1
            return []
        state.put(key, pack(_entry_of(prediction, state)), None)
        self.events["prediction"] += 1
        packed = state.early(key)
        if packed is None:
            return []
        state.take_early(key)
        return self.on_label(self._early_label(packed), state, partition)

    def on_shadow(self, prediction: Mapping[str, Any], state: JoinState) -> None:
        """Keep what a shadow says of a frame until the frame's label; fields as in `on_prediction`.

        Which of the two predictions comes first does not matter. A frame that has its outcome makes no pair any more.
        """
        _check(prediction)
        key = frame_key(prediction["camera"], prediction["boot"], prediction["sequence"])
        packed = state.get(key)
        if state.is_expired(key) if packed is None else LABEL.unpack_from(packed, LABEL_AT)[0] & HAD_OUTCOME:
            self.events["shadow_late"] += 1
        elif state.shadow(key) is not None:
            self.events["shadow_repeated"] += 1
        else:
            state.put_shadow(key, pack_shadow(_shadow_entry_of(prediction, state)))
            self.events["shadow"] += 1

    def on_label(self, label: AcceptedLabel, state: JoinState, partition: int) -> list[Output]:
        """Join a label, let it wait, or say why it makes no outcome."""
        key = frame_key(label.camera, label.boot, label.sequence)
        packed = state.get(key)
        if packed is None:
            return self._without_prediction(label, key, state, partition)
        if label.received_at_ms - RECEIVED.unpack_from(packed)[0] > self._horizon_ms:
            return [self._left(label, "late", partition)]
        fate, changed = judged(packed, label)
        if changed is not packed:
            state.put(key, changed, packed)
        if fate == "repeated" or fate == "superseded":  # noqa: PLR1714 - mypy narrows only this form
            return [self._left(label, fate, partition)]
        self.events[f"label_{fate}"] += 1
        model = state.models[MODEL_NO.unpack_from(packed, MODEL_NO_AT)[0]]
        outcome = _outcome(label, fate, unpack(packed, len(model.classes)), model, partition)
        outputs = [Output(self._outcomes, partition, label.camera.encode(), self._codec.encode(outcome))]
        return outputs + self._pair(outcome, key, state) if fate == "matched" and state.shadows else outputs

    def _pair(self, outcome: Outcome, key: bytes, state: JoinState) -> list[Output]:
        """The pair of a frame's first outcome and what the shadow said, which is kept no longer."""
        packed = state.shadow(key)
        if packed is None:
            return []
        state.take_shadow(key)
        entry = unpack_shadow(packed)
        shadow = state.models[entry.model_no]
        if (shadow.name, shadow.version) == (outcome.model, outcome.version):
            self.events["pair_of_one_version"] += 1  # around a promotion; nothing can be learnt from it
            return []
        self.events["pair"] += 1
        pair = _paired(outcome, entry, shadow)
        return [Output(self._pairs, 0, outcome.camera.encode(), self._codec.encode(pair))]

    def _without_prediction(self, label: AcceptedLabel, key: bytes, state: JoinState, partition: int) -> list[Output]:
        if state.is_expired(key):
            return [self._left(label, "late", partition)]
        packed = state.early(key)
        if packed is None:
            state.put_early(key, self._packed(label))
            self.events["label_early"] += 1
            return []
        waiting = self._early_label(packed)
        if label.label == waiting.label:
            if label.labelled_at_ms > waiting.labelled_at_ms:
                state.put_early(key, self._packed(label))
                return [self._left(waiting, "repeated", partition)]
            return [self._left(label, "repeated", partition)]
        if label_rank(label) > label_rank(waiting):
            state.put_early(key, self._packed(label))
            return [self._left(waiting, "superseded", partition)]
        return [self._left(label, "superseded", partition)]

    def _packed(self, label: AcceptedLabel) -> bytes:
        return RECEIVED.pack(label.received_at_ms) + self._codec.encode(label)

    def _early_label(self, packed: bytes) -> AcceptedLabel:
        return self._codec.decode(packed[RECEIVED.size :], AcceptedLabel)

    def _left(self, label: AcceptedLabel, reason: UnmatchedReason, partition: int) -> Output:
        self.events[f"label_{reason}"] += 1
        unmatched = UnmatchedLabel(
            camera=label.camera,
            boot=label.boot,
            sequence=label.sequence,
            label=label.label,
            labelled_at_ms=label.labelled_at_ms,
            source=label.source,
            propensity=label.propensity,
            received_at_ms=label.received_at_ms,
            reason=reason,
        )
        return Output(self._unmatched, partition, label.camera.encode(), self._codec.encode(unmatched))


def judged(packed: bytes, label: AcceptedLabel) -> tuple[Change | Literal["repeated", "superseded"], bytes]:
    """What *label* does to a prediction, and the prediction's entry afterwards."""
    flags, labelled_at_ms, digest = LABEL.unpack_from(packed, LABEL_AT)
    its_digest = digest_of(label.label)
    fate: Change | Literal["repeated", "superseded"]
    if its_digest == digest:
        if label.labelled_at_ms <= labelled_at_ms:
            return "repeated", packed
        fate = "repeated"
    elif digest != NO_LABEL and (label.labelled_at_ms, its_digest) < (labelled_at_ms, digest):
        return "superseded", packed
    elif label.label is None:
        fate = "repeated" if digest == NO_LABEL else "withdrawn"  # without a label there is nothing to withdraw
    else:
        fate = "corrected" if flags & HAD_OUTCOME else "matched"
        flags |= HAD_OUTCOME
    held = LABEL.pack(flags, label.labelled_at_ms, its_digest)
    return fate, packed[:LABEL_AT] + held + packed[LABEL_END:]


def _check(prediction: Mapping[str, Any]) -> None:
    """Raises `BadRecord` for numbers that an entry cannot hold: whoever wrote them, the join must go on."""
    probabilities: Mapping[str, float] = prediction["probabilities"]
    # A comparison with NaN is false, so it is out of range too.
    if not all(0 <= probability <= 1.001 for probability in probabilities.values()):
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "a probability is not between 0 and 1")
    if not 0 <= prediction["brightness"] <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"brightness is {prediction['brightness']}; it is between 0 and 1")
    if not 0 <= prediction["sequence"] < SEQUENCE_MAX:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {prediction['sequence']}; it counts from 0 up")


def _numbers_of(prediction: Mapping[str, Any], state: JoinState) -> tuple[int, tuple[str, ...], int]:
    """Number of the version in *state*, its classes and the number of the predicted one."""
    model_no = state.model_no(prediction["model"], prediction["version"], list(prediction["probabilities"]))
    classes = state.models[model_no].classes
    if prediction["label"] not in classes:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"label {prediction['label']!r:.200} is no class of its version")
    return model_no, classes, classes.index(prediction["label"])


def _entry_of(prediction: Mapping[str, Any], state: JoinState) -> Entry:
    probabilities: Mapping[str, float] = prediction["probabilities"]
    model_no, classes, predicted_no = _numbers_of(prediction, state)
    received_at_ms: int = prediction["received_at_ms"]
    return Entry(
        received_at_ms,
        prediction["captured_at_ms"],
        prediction["frame_offset"],
        min(max(prediction["predicted_at_ms"] - received_at_ms, 0), DELAY_MAX_MS),
        model_no,
        predicted_no,
        round(prediction["brightness"] * 255),
        flags=0,
        labelled_at_ms=NEVER_MS,
        digest=NO_LABEL,
        probabilities=tuple([min(int(probabilities.get(name, 0.0) * FULL + 0.5), FULL) for name in classes]),
    )


def _shadow_entry_of(prediction: Mapping[str, Any], state: JoinState) -> ShadowEntry:
    probabilities: Mapping[str, float] = prediction["probabilities"]
    model_no, classes, predicted_no = _numbers_of(prediction, state)
    kept = (classes[predicted_no], *classes[:SHADOW_CLASSES])
    predicted, *others = [min(int(probabilities.get(name, 0.0) * SHADOW_FULL + 0.5), SHADOW_FULL) for name in kept]
    return ShadowEntry(prediction["received_at_ms"], model_no, predicted_no, predicted, tuple(others))


def _paired(outcome: Outcome, entry: ShadowEntry, shadow: Model) -> PairedOutcome:
    assert outcome.label is not None
    assert outcome.label_probability is not None
    known = outcome.label in shadow.classes
    return PairedOutcome(
        camera=outcome.camera,
        boot=outcome.boot,
        sequence=outcome.sequence,
        received_at_ms=outcome.received_at_ms,
        label_received_at_ms=outcome.label_received_at_ms,
        model=outcome.model,
        champion=outcome.version,
        shadow=shadow.version,
        label=outcome.label,
        champion_predicted=outcome.predicted,
        shadow_predicted=shadow.classes[entry.predicted_no],
        champion_label_probability=outcome.label_probability,
        shadow_label_probability=entry.probability(shadow.classes.index(outcome.label)) if known else 0.0,
        source=outcome.source,
        propensity=outcome.propensity,
        frame_partition=outcome.frame_partition,
        frame_offset=outcome.frame_offset,
    )


def _outcome(label: AcceptedLabel, change: Change, entry: Entry, model: Model, partition: int) -> Outcome:
    predicted = model.classes[entry.predicted_no]
    known = label.label in model.classes
    withdrawn = label.label is None
    probability = entry.probabilities[model.classes.index(label.label)] / FULL if label.label and known else 0.0
    return Outcome(
        camera=label.camera,
        boot=label.boot,
        sequence=label.sequence,
        captured_at_ms=entry.captured_at_ms,
        received_at_ms=entry.received_at_ms,
        predicted_at_ms=entry.received_at_ms + entry.predict_delay_ms,
        prediction_id=prediction_id(label.camera, label.boot, label.sequence, model.name, model.version, "champion"),
        model=model.name,
        version=model.version,
        role="champion",
        frame_partition=partition,
        frame_offset=entry.frame_offset,
        predicted=predicted,
        confidence=entry.probabilities[entry.predicted_no] / FULL,
        change=change,
        label=label.label,
        correct=None if withdrawn else predicted == label.label,
        label_probability=None if withdrawn else probability,
        brightness=entry.brightness / 255,
        source=label.source,
        propensity=label.propensity,
        labelled_at_ms=label.labelled_at_ms,
        label_received_at_ms=label.received_at_ms,
        label_delay_ms=label.received_at_ms - entry.received_at_ms,
    )
