"""Joins labels with predictions on (camera, frame). Law: each accepted label has exactly one end, and what holds of a
frame in the end does not depend on the order in which its labels came.

Of the labels of a frame the one with the greatest `label_rank` holds: the labeller's clock, then the label's digest.

Where a shadow predicted the frame too, the first outcome of the frame makes a pair: at most one a frame, whatever
becomes of the label later.

A label that has no prediction waits. It is unknown when the prediction cannot come any more: all that was published
until a while after the label has been worked on by the services before, and by this one. So a frame that is held up
behind others costs no label its outcome, and where no camera lives a label ends too: watermarks go on with our clock.

Records are read and outcomes are written a batch at a time; in between each has its turn, in the order of the batch.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.heads import FEWEST
from catseye.contract.message import Message
from catseye.contract.records import AcceptedLabel, Change, PairedOutcome, UnmatchedLabel, UnmatchedReason
from catseye.runtime.progress import UNKNOWN, Progress, road_of_frames
from catseye.runtime.router import Refusal, Written
from catseye.runtime.stream import Output, Tally
from services.ground_truth import sightings
from services.ground_truth.arrivals import Labelled, Predicted, label_alone, read_labels, read_predictions
from services.ground_truth.entry import (
    HAD_OUTCOME,
    LABEL,
    LABEL_AT,
    LABEL_END,
    MODEL_NO,
    MODEL_NO_AT,
    NO_LABEL,
    RECEIVED,
    ShadowEntry,
    digest_of,
    unpack,
    unpack_shadow,
)
from services.ground_truth.join_state import JoinState, Model
from services.ground_truth.outcome import Joined, as_class, label_probability, outcome_bytes, outcome_of

EXPIRE_AT_ONCE = 2_000  # entries forgotten in one transaction, so that a long silence does not make a long one
_NOT_YET = Output("", 0, None, None)


def label_rank(label: AcceptedLabel) -> tuple[int, bytes]:
    """What decides between two labels of one frame: the greater one holds."""
    return label.labelled_at_ms, digest_of(label.label)


class _Turn:
    """What comes of a batch. The place of an outcome is kept until all of them are written at once."""

    def __init__(self) -> None:
        self.outputs: list[Written] = []
        self.joined: list[tuple[int, Joined]] = []

    def join(self, joined: Joined) -> None:
        """Keep the next place for the outcome."""
        self.joined.append((len(self.outputs), joined))
        self.outputs.append(_NOT_YET)


class GroundTruthCore(Tally):
    """Predictions and labels in, outcomes, pairs and unmatched labels out.

    Args:
        codec: Reads and writes records: a batch of them in one pass.
        horizon_ms: Longest time from a frame's arrival to its label's.
        early_ms: A label is unknown when all that was published until so long after it came in has been worked on.
            Where the services before stand still, or nothing is known of them, it waits for the horizon and this by
            our clock, so that no label stays for ever.
        margin_ms: How long accepted frames and labels are kept beyond the horizon. Twice both after a boot's last frame
            came in, its labels are unknown and no longer late.
        fewest: Of fewer records in a batch each is read alone, of fewer outcomes each is written alone.
    """

    roads = (road_of_frames("ground_truth", "predictions"),)

    def __init__(
        self, codec: Codec, horizon_ms: int, early_ms: int, margin_ms: int = 0, *, fewest: int = FEWEST
    ) -> None:
        super().__init__()
        self._codec = codec
        self._horizon_ms = horizon_ms
        self._early_ms = early_ms
        self._margin_ms = margin_ms
        self._fewest = fewest
        self._progress = UNKNOWN

    def on_progress(self, *roads: Progress) -> None:
        """How far frames have been worked on, up to their predictions' being read here."""
        (self._progress,) = roads

    def new_state(self) -> JoinState:
        return JoinState(self._horizon_ms, self._margin_ms)

    def on_records(
        self, batch: Sequence[Message], topics: Sequence[str], states: Mapping[int, JoinState], now_ms: int
    ) -> list[Written]:
        turn = _Turn()
        partitions = [message.partition() for message in batch]
        read = self._read(batch, topics, [states[partition] for partition in partitions])
        for place, (topic, partition, each) in enumerate(zip(topics, partitions, read, strict=True)):
            if isinstance(each, Labelled):
                self._on_label(each, states[partition], partition, turn)
            elif isinstance(each, BadRecord):
                turn.outputs.append(Refusal(batch[place], each))
            elif topic == "predictions.shadow":
                self._on_shadow(each, states[partition])
            else:
                self._on_prediction(each, states[partition], partition, turn)
        self._write_outcomes(turn)
        return turn.outputs + self.on_time(states, now_ms)

    def _read(
        self, batch: Sequence[Message], topics: Sequence[str], states: Sequence[JoinState]
    ) -> list[Labelled | Predicted | BadRecord]:
        """What was read of each record, or why it is refused."""
        values = [message.value() for message in batch]
        labels = [place for place, topic in enumerate(topics) if topic == "labels.accepted"]
        others = [place for place, topic in enumerate(topics) if topic != "labels.accepted"]
        read_of_labels = read_labels(self._codec, [values[place] for place in labels], self._fewest)
        read_of_others = read_predictions(
            self._codec,
            [values[place] for place in others],
            [topics[place] == "predictions.shadow" for place in others],
            [states[place] for place in others],
            self._fewest,
        )
        read: list[Labelled | Predicted | BadRecord] = [*read_of_labels, *read_of_others]
        for place, each in zip([*labels, *others], [*read], strict=True):
            read[place] = each
        return read

    def _write_outcomes(self, turn: _Turn) -> None:
        """Put outcomes where their places were kept."""
        at_once = [each for each in turn.joined if each[1].can_be_batched]
        if len(at_once) < self._fewest:
            at_once = []
        alone = [each for each in turn.joined if not each[1].can_be_batched] if at_once else turn.joined
        if at_once:
            written = outcome_bytes(self._codec, [joined for _, joined in at_once])
            for (place, joined), (camera, value) in zip(at_once, written, strict=True):
                turn.outputs[place] = Output("outcomes", joined.partition, camera, value)
        for place, joined in alone:
            label = self._label(joined.label)
            turn.outputs[place] = outcome_of(joined, label)

    def on_time(self, states: Mapping[int, JoinState], now_ms: int) -> list[Written]:
        """Let go of labels whose prediction cannot come any more, and of predictions past the horizon, in time of the
        frames."""
        outputs: list[Written] = []
        waited_ms = now_ms - self._horizon_ms
        for partition, state in states.items():
            until_ms = max(self._progress.worked_until_ms(partition), waited_ms) - self._early_ms
            for key, packed in state.early_before(until_ms):
                state.take_early(key)
                outputs.append(self._left(self._early_label(packed), "unknown"))
            self.events["expired"] += state.expire(EXPIRE_AT_ONCE)
            self.events["mark_ended"] += state.end_marks(EXPIRE_AT_ONCE)
            if state.sightings:
                state.expire_sightings(EXPIRE_AT_ONCE)
            if state.shadows:
                self.events["shadow_expired"] += state.expire_shadows(EXPIRE_AT_ONCE)
        return outputs

    def _on_prediction(self, prediction: Predicted, state: JoinState, partition: int, turn: _Turn) -> None:
        """Let a prediction wait, or join it with the label that came before it."""
        key = prediction.key
        state.saw(prediction.received_at_ms)
        if state.get(key) is not None:
            self.events["prediction_repeated"] += 1
            return
        state.put(key, prediction.packed, None)
        if prediction.sighting is not None:
            state.put_sighting(key, prediction.sighting)
        self.events["prediction"] += 1
        packed = state.early(key)
        if packed is not None:
            state.take_early(key)
            self._on_label(self._early_label(packed), state, partition, turn)

    def _on_shadow(self, prediction: Predicted, state: JoinState) -> None:
        """Keep what a shadow predicted for a frame until the frame's label.

        Which of the two predictions comes first does not matter. A frame that has its outcome makes no pair any more.
        """
        key = prediction.key
        packed = state.get(key)
        if state.is_expired(key) if packed is None else LABEL.unpack_from(packed, LABEL_AT)[0] & HAD_OUTCOME:
            self.events["shadow_late"] += 1
        elif state.shadow(key) is not None:
            self.events["shadow_repeated"] += 1
        else:
            state.put_shadow(key, prediction.packed)
            self.events["shadow"] += 1

    def _on_label(self, label: Labelled, state: JoinState, partition: int, turn: _Turn) -> None:
        """Join a label, let it wait, or write why it makes no outcome."""
        packed = state.get(label.key)
        if packed is None:
            turn.outputs += self._without_prediction(label, state)
            return
        if label.received_at_ms - RECEIVED.unpack_from(packed)[0] > self._horizon_ms:
            turn.outputs.append(self._left(label, "late"))
            return
        fate, changed = applied(packed, label)
        if changed is not packed:
            state.put(label.key, changed, packed)
        if fate == "repeated" or fate == "superseded":  # noqa: PLR1714 - mypy narrows only this form
            turn.outputs.append(self._left(label, fate))
            return
        self.events[f"label_{fate}"] += 1
        sighting = sightings.unpack(state.sighting(label.key)) if state.sightings else sightings.NOTHING
        model = state.models[MODEL_NO.unpack_from(packed, MODEL_NO_AT)[0]]
        joined = Joined(label, packed, model, fate, partition, sighting)
        turn.join(joined)
        if fate == "matched" and state.shadows:
            turn.outputs += self._pair(joined, state)

    def _pair(self, joined: Joined, state: JoinState) -> list[Written]:
        """The pair of a frame's first outcome and what the shadow predicted, which is kept no longer."""
        key = joined.label.key
        packed = state.shadow(key)
        if packed is None:
            return []
        state.take_shadow(key)
        entry = unpack_shadow(packed)
        shadow, champion = state.models[entry.model_no], joined.model
        if (shadow.name, shadow.version) == (champion.name, champion.version):
            self.events["pair_of_one_version"] += 1  # around a promotion; nothing can be learnt from it
            return []
        self.events["pair"] += 1
        return [_paired(joined, self._label(joined.label), entry, shadow)]

    def _without_prediction(self, label: Labelled, state: JoinState) -> list[Written]:
        key = label.key
        if state.is_expired(key):
            return [self._left(label, "late")]
        packed = state.early(key)
        if packed is None:
            state.put_early(key, self._packed(label))
            self.events["label_early"] += 1
            return []
        waiting = self._early_label(packed)
        if label.label == waiting.label:
            if label.labelled_at_ms > waiting.labelled_at_ms:
                state.put_early(key, self._packed(label))
                return [self._left(waiting, "repeated")]
            return [self._left(label, "repeated")]
        if (label.labelled_at_ms, label.digest) > (waiting.labelled_at_ms, waiting.digest):
            state.put_early(key, self._packed(label))
            return [self._left(waiting, "superseded")]
        return [self._left(label, "superseded")]

    def _label(self, label: Labelled) -> AcceptedLabel:
        return self._codec.decode(label.value, AcceptedLabel)

    def _packed(self, label: Labelled) -> bytes:
        return RECEIVED.pack(label.received_at_ms) + self._codec.encode(self._label(label))

    def _early_label(self, packed: bytes) -> Labelled:
        value = packed[RECEIVED.size :]
        return label_alone(self._codec.decode(value, AcceptedLabel), value)

    def _left(self, arrived: Labelled, reason: UnmatchedReason) -> UnmatchedLabel:
        self.events[f"label_{reason}"] += 1
        label = self._label(arrived)
        return UnmatchedLabel(
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


def applied(packed: bytes, label: Labelled) -> tuple[Change | Literal["repeated", "superseded"], bytes]:
    """What *label* does to a prediction, and the prediction's entry afterwards."""
    flags, labelled_at_ms, digest = LABEL.unpack_from(packed, LABEL_AT)
    its_digest = label.digest
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


def _paired(joined: Joined, label: AcceptedLabel, entry: ShadowEntry, shadow: Model) -> PairedOutcome:
    label = as_class(label, joined.model)
    assert label.label is not None
    champion, predicted = joined.model, unpack(joined.packed, len(joined.model.classes))
    known = label.label in shadow.classes
    return PairedOutcome(
        camera=label.camera,
        boot=label.boot,
        sequence=label.sequence,
        received_at_ms=predicted.received_at_ms,
        label_received_at_ms=label.received_at_ms,
        model=champion.name,
        champion=champion.version,
        shadow=shadow.version,
        label=label.label,
        champion_predicted=champion.classes[predicted.predicted_no],
        shadow_predicted=shadow.classes[entry.predicted_no],
        champion_label_probability=label_probability(label.label, predicted, champion),
        shadow_label_probability=entry.probability(shadow.classes.index(label.label)) if known else 0.0,
        source=label.source,
        propensity=label.propensity,
        frame_partition=joined.partition,
        frame_offset=predicted.frame_offset,
        track=joined.sighting.track,
    )
