"""The load of the join bench is what Catseye would write, and its check sees what is wrong."""

from collections.abc import Callable

import pytest

from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedLabel, Outcome, Prediction
from infra.benches.join import compare
from infra.benches.join_load import CAMERAS, CLASSES, PARTITIONS, Records, faults, identity, label, prediction, varint
from infra.benches.load import LoadRecord

NOW_MS = 1_790_000_000_000
RECORDS = Records(by_frame=False, now_ms=NOW_MS)
NUMBERS = [0, 1, 63, 64, 5_000, 4_000_000]


@pytest.mark.parametrize(("number", "written"), [(0, b"\x00"), (1, b"\x02"), (63, b"\x7e"), (64, b"\x80\x01")])
def test_varint_is_avros_zigzag(number: int, written: bytes) -> None:
    """Avro 1.12, "Binary encoding", long: the specification's own examples."""
    assert varint(number) == written


@pytest.mark.parametrize("number", NUMBERS)
def test_a_prediction_made_by_number_is_the_encoded_one(number: int) -> None:
    """What is patched together is byte for byte what the codec writes."""
    sequence, camera = divmod(number, CAMERAS)
    first = Codec().decode(Codec().encode(prediction(f"camera-{camera:04d}", NOW_MS)), Prediction)
    read = Codec().decode(_bytes(RECORDS.prediction(number)), Prediction)
    assert (read.sequence, read.prediction_id, read.camera) == (sequence, identity(number), first.camera)
    assert (read.embedding, read.probabilities) == (first.embedding, first.probabilities)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_label_made_by_number_is_the_encoded_one(number: int) -> None:
    """The label of a prediction names its frame and one of the classes."""
    sequence, camera = divmod(number, CAMERAS)
    read = Codec().decode(_bytes(RECORDS.label(number)), AcceptedLabel)
    truth = label(f"camera-{camera:04d}", CLASSES[number % 6], NOW_MS + 1_000)
    assert (read.camera, read.label, read.received_at_ms) == (truth.camera, truth.label, truth.received_at_ms)
    assert read.sequence == sequence


def test_a_camera_is_placed_on_its_own_partition() -> None:
    """Ours is keyed by camera, peers by frame; both find all of a camera on murmur2(camera)."""
    for records in (RECORDS, Records(by_frame=True, now_ms=NOW_MS)):
        assert records.label(7).partition == partition_of("camera-0007", PARTITIONS)
    assert RECORDS.label(71).key == b"camera-0007"
    assert Records(by_frame=True, now_ms=NOW_MS).label(71).key == b"camera-0007/boot-1/1"


def outcome(number: int, change: Callable[[dict[str, object]], None] = lambda fields: None) -> bytes:
    sequence, camera = divmod(number, CAMERAS)
    truth = CLASSES[number % len(CLASSES)]
    fields: dict[str, object] = {
        "camera": f"camera-{camera:04d}",
        "boot": "boot-1",
        "sequence": sequence,
        "captured_at_ms": NOW_MS,
        "received_at_ms": NOW_MS,
        "predicted_at_ms": NOW_MS,
        "prediction_id": identity(number),
        "model": "vehicles",
        "version": "1",
        "role": "champion",
        "frame_partition": 0,
        "frame_offset": 0,
        "predicted": "car",
        "confidence": 0.9,
        "change": "matched",
        "label": truth,
        "correct": truth == "car",
        "brightness": 0.5,
        "label_probability": 0.02,
        "source": "person",
        "propensity": 1.0,
        "labelled_at_ms": NOW_MS + 1_000,
        "label_received_at_ms": NOW_MS + 1_000,
        "label_delay_ms": 1_000,
    }
    change(fields)
    return Codec().encode(Outcome(**fields))  # type: ignore[arg-type]


def test_right_outcomes_have_no_faults() -> None:
    """One outcome for each labelled prediction, in any order."""
    assert faults([outcome(n) for n in (5, 2, 900)], [2, 5, 900]) == []


def test_lost_repeated_and_foreign_outcomes_are_reported() -> None:
    """Negative control: one of each."""
    reported = faults([outcome(n) for n in (5, 5, 7)], [2, 5])
    assert reported == ["1 outcomes of frames without label", "1 outcomes lost", "1 outcomes repeated"]


def test_an_outcome_with_another_frames_label_is_reported() -> None:
    """Negative control: joined to the wrong label."""
    assert faults([outcome(2, lambda fields: fields.update(label="van"))], [2]) == [
        "1 outcomes that say the wrong thing"
    ]


def test_join_rows_become_the_figures_of_the_design() -> None:
    """Against each peer at each size, ours at the largest over the smallest, and memory over its bound."""
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": "ours", "waiting": 10_000, "cpu_us": 9.0, "bytes_waiting": 0.0},
        {"pass": 1, "side": "quixstreams", "waiting": 10_000, "cpu_us": 90.0, "bytes_waiting": 0.0},
        {"pass": 1, "side": "ours", "waiting": 4_000_000, "cpu_us": 10.0, "bytes_waiting": 60.0},
    ]
    assert {figure.name: (round(figure.interval.median, 3), figure.met) for figure in compare(rows)} == {
        "CPU a pair, 10,000 waiting, ours / quixstreams": (0.1, True),
        "ours: pairs a CPU second, 4,000,000 / 10,000 waiting": (0.9, True),
        "ours: bytes a waiting prediction / 120": (0.5, True),
    }


def _bytes(record: LoadRecord) -> bytes:
    return record.value
