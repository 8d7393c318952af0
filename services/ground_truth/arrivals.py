"""What comes in, as the join needs it: keys of frames, entries that wait, labels. A batch is read in one pass
(`catseye.contract.heads`), and what that leaves out alone: both ways give the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.heads import Heads, read_heads, texts_of
from catseye.contract.limits import SEQUENCE_MAX
from catseye.contract.records import AcceptedLabel, Prediction
from services.ground_truth import sightings
from services.ground_truth.entry import (
    DELAY_MAX_MS,
    FULL,
    NEVER_MS,
    NO_LABEL,
    SHADOW_CLASSES,
    SHADOW_FULL,
    Entry,
    ShadowEntry,
    digest_of,
    pack,
    pack_shadow,
)
from services.ground_truth.entry_batch import EntryBatch
from services.ground_truth.join_state import JoinState, boot_key, frame_key

Names = tuple[str, ...]
PROBABILITY_MAX = 1.001  # rounding aside 1
LAST = "brightness"  # of the fields of a prediction that are read: the rest is most of it


class Predicted(NamedTuple):
    """A prediction, of a champion or a shadow.

    Attributes:
        key: Of its frame.
        received_at_ms: When ingest took the frame.
        packed: The entry that waits.
        sighting: What it says of its object (`services.ground_truth.sightings`); None where that is nothing.
    """

    key: bytes
    received_at_ms: int
    packed: bytes
    sighting: bytes | None = None


class Labelled(NamedTuple):
    """A label.

    Attributes:
        key: Of its frame.
        label: The class; None withdraws.
        digest: Of the label.
        labelled_at_ms: The labeller's clock.
        received_at_ms: When ingest took it.
        value: The record as it stands on the topic.
        written: How it is written, where that is known: camera and boot, sequence, label, source and propensity,
            labelled_at_ms, received_at_ms.
    """

    key: bytes
    label: str | None
    digest: bytes
    labelled_at_ms: int
    received_at_ms: int
    value: bytes
    written: tuple[bytes, bytes, bytes, bytes, bytes, bytes] | None


def read_labels(codec: Codec, values: Sequence[bytes | None], fewest: int) -> list[Labelled | BadRecord]:
    """Labels as they stand on their topic; of fewer than *fewest* each is read alone."""
    heads = read_heads(codec, values, AcceptedLabel, fewest=fewest)
    found: list[Labelled | BadRecord | None] = [None] * len(values)
    if heads.places:
        labels = heads.bytes_of("label", "label")
        known = {each: texts_of(each[1:])[0] if len(each) > 1 else None for each in set(labels)}
        digests = {each: digest_of(label) for each, label in known.items()}
        written = zip(
            heads.bytes_of("camera", "boot"),
            heads.bytes_of("sequence", "sequence"),
            labels,
            heads.bytes_of("source", "propensity"),
            heads.bytes_of("labelled_at_ms", "labelled_at_ms"),
            heads.bytes_of("received_at_ms", "received_at_ms"),
            strict=True,
        )
        times = zip(heads.integers("labelled_at_ms"), heads.integers("received_at_ms"), strict=True)
        sound = (heads.columns["sequence"].numbers >= 0).tolist()
        for place, is_sound, key, of, (labelled, received) in zip(
            heads.places, sound, _keys(heads), written, times, strict=True
        ):
            if is_sound:
                its = of[2]
                found[place] = Labelled(key, known[its], digests[its], labelled, received, values[place] or b"", of)
    return [_label_alone(codec, values[place]) if each is None else each for place, each in enumerate(found)]


def read_predictions(
    codec: Codec,
    values: Sequence[bytes | None],
    of_shadows: Sequence[bool],
    states: Sequence[JoinState],
    fewest: int,
) -> list[Predicted | BadRecord]:
    """Predictions as they stand on their topics; of fewer than *fewest* each is read alone.

    Args:
        codec: Reads records.
        values: The records.
        of_shadows: Whether each stands on the topic of shadows.
        states: That of each one's partition, which remembers the versions that predicted.
        fewest: See above.
    """
    heads = read_heads(codec, values, Prediction, LAST, fewest=fewest)
    found: list[Predicted | BadRecord | None] = [None] * len(values)
    batches: dict[tuple[bool, Names, Names], EntryBatch] = {}
    known: dict[tuple[JoinState, bool, bytes, Names], tuple[int, EntryBatch]] = {}
    row_at = dict(zip(heads.places, range(len(heads.places)), strict=True))
    if heads.places:
        keys, received = _keys(heads), heads.integers("received_at_ms")
        versions, labels = heads.bytes_of("model", "version"), heads.bytes_of("label", "label")
        names, sound = heads.columns["probabilities"].names, _are_sound(heads)
    for place, state in enumerate(states):  # in this order versions get their numbers, however records are batched
        row = row_at.get(place)
        if row is not None and sound[row]:
            of = state, of_shadows[place], versions[row], names[row]
            its = known.get(of)
            if its is None:
                model, version = texts_of(versions[row])
                number = state.model_no(model, version, names[row])
                kinds = of_shadows[place], state.models[number].classes, names[row]
                its = known[of] = number, batches.setdefault(kinds, EntryBatch(*kinds))
            if its[1].add(place, row, its[0], labels[row]):
                continue
        found[place] = _prediction_alone(codec, values[place], state, of_shadow=of_shadows[place])
    for batch in batches.values():
        for place, row, packed in zip(batch.places, batch.rows, batch.packed(heads), strict=True):
            found[place] = Predicted(keys[row], received[row], packed)
    for place, each in enumerate(found):
        if isinstance(each, Predicted) and not of_shadows[place]:
            sighting = sightings.read(codec, values[place] or b"")
            found[place] = each if sighting is None else each._replace(sighting=sighting)
    return [each for each in found if each is not None]


def _keys(heads: Heads) -> list[bytes]:
    """Key of each record's frame."""
    boots = heads.bytes_of("camera", "boot")
    fronts = {each: boot_key(*texts_of(each)) for each in set(boots)}
    backs = heads.columns["sequence"].numbers.astype(">i8").tobytes()
    return [fronts[boot] + backs[at : at + 8] for boot, at in zip(boots, range(0, len(backs), 8), strict=True)]


def _are_sound(heads: Heads) -> list[bool]:
    """Whether each prediction's numbers are such as `_check` lets pass."""
    probabilities = heads.columns["probabilities"].numbers.astype(np.float64)
    brightness = heads.columns["brightness"].numbers
    sound = ((probabilities >= 0) & (probabilities <= PROBABILITY_MAX)).all(axis=1)
    sound &= (brightness >= 0) & (brightness <= 1) & (heads.columns["sequence"].numbers >= 0)
    found: list[bool] = sound.tolist()
    return found


def _label_alone(codec: Codec, value: bytes | None) -> Labelled | BadRecord:
    try:
        return label_alone(codec.decode(value, AcceptedLabel), value or b"")
    except BadRecord as fault:
        return fault


def label_alone(label: AcceptedLabel, value: bytes) -> Labelled:
    """A label that was read alone from *value*. Raises `BadRecord` where its frame cannot be."""
    _check_sequence(label.sequence)
    key = frame_key(label.camera, label.boot, label.sequence)
    return Labelled(
        key, label.label, digest_of(label.label), label.labelled_at_ms, label.received_at_ms, value, written=None
    )


def _prediction_alone(codec: Codec, value: bytes | None, state: JoinState, *, of_shadow: bool) -> Predicted | BadRecord:
    try:
        fields = codec.leading_fields(value, Prediction, LAST)
        _check(fields)
        packed = pack_shadow(_shadow_entry_of(fields, state)) if of_shadow else pack(_entry_of(fields, state))
    except BadRecord as fault:
        return fault
    return Predicted(frame_key(fields["camera"], fields["boot"], fields["sequence"]), fields["received_at_ms"], packed)


def _check(prediction: Mapping[str, Any]) -> None:
    """Raises `BadRecord` for numbers that an entry cannot hold: whoever wrote them, the join must go on."""
    probabilities: Mapping[str, float] = prediction["probabilities"]
    # A comparison with NaN is false, so it is out of range too.
    if not all(0 <= probability <= PROBABILITY_MAX for probability in probabilities.values()):
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "a probability is not between 0 and 1")
    if not 0 <= prediction["brightness"] <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"brightness is {prediction['brightness']}; it is between 0 and 1")
    _check_sequence(prediction["sequence"])


def _check_sequence(sequence: int) -> None:
    if not 0 <= sequence < SEQUENCE_MAX:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {sequence}; it counts from 0 up")


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
