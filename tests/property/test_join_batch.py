"""What the join makes of a batch at once is, byte for byte, what it makes of each record alone."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.codec import Codec, schema_texts
from catseye.contract.errors import BadRecord
from catseye.contract.records import AcceptedLabel, Change, Prediction
from services.ground_truth.arrivals import Labelled, read_labels, read_predictions
from services.ground_truth.entry import FULL, NEVER_MS, NO_LABEL, Entry, digest_of, pack
from services.ground_truth.join_state import JoinState, Model
from services.ground_truth.outcome import Joined, outcome_bytes, outcome_of
from tests.corpora.avro import plainest_of, records_of

CODEC = Codec()
NAMES = ["car", "van", "мотоцикл", "", "a class of seventy letters, as nobody would write it, but somebody may, once"]
CHANCES = st.floats(0, 1, width=32) | st.sampled_from([-0.5, 1.0009765625, 1.001, 1.5, float("nan")])
PLAINEST: Any = msgspec.convert(plainest_of(json.loads(schema_texts()["catseye.Prediction"])), Prediction)


def predictions() -> st.SearchStrategy[Any]:
    """As models make them, and now and then what none would."""
    sound = st.fixed_dictionaries(
        {
            "camera": st.sampled_from(["cam", "Zürich", "c" * 70]),
            "boot": st.sampled_from(["b", ""]),
            "sequence": st.integers(-1, 300) | st.integers(0, 2**63 - 1),
            "captured_at_ms": st.integers(-(2**40), 2**41) | st.just(-(2**60)),
            "received_at_ms": st.integers(0, 2**41),
            "predicted_at_ms": st.integers(0, 2**42),
            "model": st.sampled_from(["m", "n"]),
            "version": st.sampled_from(["1", "2"]),
            "frame_offset": st.integers(0, 2**50),
            "label": st.sampled_from(NAMES),
            "probabilities": st.dictionaries(st.sampled_from(NAMES), CHANCES, max_size=5)
            | st.lists(CHANCES, min_size=20, max_size=20).map(
                lambda chances: dict(zip([*NAMES, *map(str, range(15))], chances, strict=True))
            ),
            "brightness": st.floats(0, 1, width=32) | st.sampled_from([1.5, float("nan")]),
        }
    )
    return sound.map(lambda changes: msgspec.structs.replace(PLAINEST, **changes))


def comparable(read: list[Any]) -> list[Any]:
    """Refusals by what they say; labels without how they are written."""
    return [
        (one.reason, one.detail)
        if isinstance(one, BadRecord)
        else one._replace(written=None)
        if isinstance(one, Labelled)
        else one
        for one in read
    ]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(predictions(), st.booleans(), st.integers(0, 1)), min_size=1, max_size=12))
def test_predictions_are_read_at_once_as_alone(batch: list[tuple[Prediction, bool, int]]) -> None:
    """Entries, refusals and numbers of versions; of champions and shadows, of two partitions, of many versions."""
    values = [CODEC.encode(prediction) for prediction, _, _ in batch]
    of_shadows = [of_shadow for _, of_shadow, _ in batch]
    read, models = [], []
    for fewest in (1, 10**9):
        states = [JoinState(1_000), JoinState(1_000)]
        partitions = [states[partition] for _, _, partition in batch]
        read.append(comparable([*read_predictions(CODEC, values, of_shadows, partitions, fewest)]))
        models.append([state.models for state in states])
    assert read[0] == read[1]
    assert models[0] == models[1]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(records_of(AcceptedLabel).map(CODEC.encode) | st.binary(max_size=20), min_size=1, max_size=12))
def test_labels_are_read_at_once_as_alone(values: list[bytes]) -> None:
    """And refusals."""
    assert comparable([*read_labels(CODEC, values, 1)]) == comparable([*read_labels(CODEC, values, 10**9)])


changed: st.SearchStrategy[Change] = st.sampled_from(["matched", "corrected"])
entries = st.builds(
    Entry,
    received_at_ms=st.integers(-(2**62), 2**62),
    captured_at_ms=st.integers(-(2**63), 2**63 - 1),
    frame_offset=st.integers(0, 2**63 - 1),
    predict_delay_ms=st.integers(0, 2**32 - 1),
    model_no=st.just(0),
    predicted_no=st.integers(0, len(NAMES) - 1),
    brightness=st.integers(0, 255),
    flags=st.integers(0, 1),
    labelled_at_ms=st.just(NEVER_MS),
    digest=st.just(NO_LABEL),
    probabilities=st.tuples(*[st.integers(0, FULL)] * len(NAMES)),
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_outcomes_are_written_at_once_as_alone(data: st.DataObject) -> None:
    """The same bytes as the codec writes, and the camera that keys them."""
    joined, expected = [], []
    upper = [name.upper() for name in NAMES]
    models = [Model("m", "1", tuple(NAMES)), Model("Ü", "2", tuple(NAMES[::-1])), Model("m", "3", tuple(upper))]
    for _ in range(data.draw(st.integers(1, 6))):
        record: Any = data.draw(records_of(AcceptedLabel))
        changes = {
            "sequence": abs(record.sequence) % 2**50,
            "label": data.draw(st.sampled_from([*NAMES, *upper, "tractor", None])),
            "received_at_ms": record.received_at_ms % 2**50,
        }
        record = msgspec.structs.replace(record, **changes)
        (label,) = read_labels(CODEC, [CODEC.encode(record)], 1)
        assert isinstance(label, Labelled)
        if label.written is None:
            continue
        model, change = data.draw(st.sampled_from(models)), data.draw(changed)
        one = Joined(label, pack(data.draw(entries)), model, change if record.label else "withdrawn", 3)
        joined.append(one)
        expected.append((record.camera.encode(), CODEC.encode(outcome_of(one, record))))
    assert outcome_bytes(CODEC, joined) == expected


def test_a_label_of_a_frame_that_cannot_be_is_refused() -> None:
    """Whoever wrote it: its number counts from 0 up."""
    label = AcceptedLabel(camera="cam", boot="b", sequence=-1, label="car", labelled_at_ms=1, received_at_ms=1)
    for fewest in (1, 2):
        (refused,) = read_labels(CODEC, [CODEC.encode(label)], fewest)
        assert isinstance(refused, BadRecord)
        (read,) = read_labels(CODEC, [CODEC.encode(msgspec.structs.replace(label, sequence=1))], fewest)
        assert isinstance(read, Labelled)
        assert (read.label, read.digest) == ("car", digest_of("car"))
    assert read_predictions(CODEC, [], [], [], 0) == []
