"""Figure 1: what is sent is what ingest would write, models keep the contract, and wrong predictions are seen."""

import numpy as np
import pytest

from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedFrame, Frame, Prediction
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from infra.benches.conv_model import CLASSES, conv_model
from infra.benches.frames import CAMERAS, PARTITIONS, Frames, crops, faults, number_of, numbers, require_none
from infra.benches.harness import BenchError
from infra.benches.load import LoadRecord
from infra.benches.pipeline import answers_of, compare, wrong

NOW_MS = 1_790_000_000_000
JPEGS = crops()[:3]
FRAMES = Frames(JPEGS, NOW_MS)
STATES = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]], np.float32)
SENT = 200


def value(record: LoadRecord) -> bytes:
    return record.value


def predicted(number: int, crop: int | None = None) -> bytes:
    """A prediction of frame *number*, which says what the net says of its crop, or of crop *crop*."""
    sequence, camera = divmod(number, CAMERAS)
    row = STATES[(number if crop is None else crop) % len(STATES)]
    return Codec().encode(
        Prediction(
            camera=f"camera-{camera:04d}", boot="boot-1", sequence=sequence, captured_at_ms=NOW_MS,
            received_at_ms=NOW_MS, predicted_at_ms=NOW_MS, prediction_id="f" * 32, model="conv", version="1",
            role="champion", frame_partition=0, frame_offset=0, label="one",
            probabilities=dict(zip(CLASSES, row.tolist(), strict=True)), brightness=0.5, contrast=0.2, sharpness=1.0,
            dark_share=0.0, bright_share=0.0, perceptual_hash=1, model_sha256="0" * 64, embedding=[],
        )
    )  # fmt: skip


RIGHT = [predicted(number) for number in range(SENT)]


@pytest.mark.parametrize("number", [0, 1, 63, 64, 100_000])
def test_a_frame_made_by_number_is_read_back_as_that_number(number: int) -> None:
    """As publishers and as ingest write it, with its crop, on its camera's partition."""
    published, accepted = FRAMES.published(number), FRAMES.accepted(number)
    frame, checked = Codec().decode(value(published), Frame), Codec().decode(value(accepted), AcceptedFrame)
    assert number_of(frame.camera, frame.sequence) == number_of(checked.camera, checked.sequence) == number
    assert frame.jpeg == checked.jpeg == JPEGS[number % 3]
    assert published.partition == accepted.partition == partition_of(frame.camera, PARTITIONS)
    assert published.key == accepted.key == frame.camera.encode()


def test_a_camera_that_is_none_of_ours_has_no_number() -> None:
    """A record that somebody else sent is found out."""
    assert number_of("gate-7", 3) == -1


def test_a_record_that_was_cut_off_still_says_its_number() -> None:
    """What the pass-through copy writes is the first bytes of a frame."""
    assert numbers([value(FRAMES.published(777))[:100]], Frame).tolist() == [777]


def test_every_frame_once_has_no_faults_in_any_order() -> None:
    """Order across partitions is nobody's promise."""
    assert wrong(RIGHT[::-1], SENT, STATES) == []


def test_a_missing_prediction_is_reported() -> None:
    """Negative control: one of 200 lost."""
    assert wrong(RIGHT[:50] + RIGHT[51:], SENT, STATES) == ["1 frames lost"]


def test_a_repeated_prediction_is_reported() -> None:
    """Negative control: one of 200 twice."""
    assert wrong([*RIGHT, RIGHT[9]], SENT, STATES) == ["1 frames repeated"]


def test_a_prediction_of_a_frame_that_nobody_sent_is_reported() -> None:
    """Negative control: one too many, by another name."""
    assert wrong([*RIGHT, predicted(SENT)], SENT, STATES) == ["1 frames that nobody sent"]


def test_a_prediction_of_another_crop_is_reported() -> None:
    """Negative control: a frame that got its neighbour's answer."""
    assert wrong([predicted(0, crop=1), *RIGHT[1:]], SENT, STATES) == [
        "1 predictions that the net does not make from memory"
    ]


def test_faults_stop_the_bench() -> None:
    """There is no figure of a pipeline that loses a frame."""
    with pytest.raises(BenchError, match="ours gives wrong results: 1 frames lost"):
        require_none("ours", faults(np.arange(9), 10))


@pytest.mark.parametrize("layers", [0, 3])
def test_a_model_of_any_depth_keeps_the_contract(layers: int) -> None:
    """It loads, its golden crop comes out as the file says, and it classifies crops."""
    file = conv_model(layers, JPEGS[0])
    assert Net(file).spec.name == f"conv-{layers}"
    assert answers_of(file, [decode_rgb(jpeg) for jpeg in JPEGS], micro_batch=2).shape == (3, len(CLASSES))


def test_rows_become_the_figures_of_the_design() -> None:
    """Frames/s against memory with the target of each model, the shipped one without, and CPU a frame."""
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": side, "model": model, "cpu_us": cost, "frames_per_s": speed}
        for model in ("0.4 ms", "3 ms", "shipped")
        for side, cost, speed in (("ours", 500.0, 800.0), ("memory", 400.0, 1_000.0))
    ]
    assert {figure.name: (figure.interval.median, figure.met) for figure in compare(rows)} == {
        "0.4 ms: frames/s, through Kafka / from memory": (0.8, True),
        "0.4 ms: CPU a frame, through Kafka / from memory": (1.25, None),
        "3 ms: frames/s, through Kafka / from memory": (0.8, False),
        "3 ms: CPU a frame, through Kafka / from memory": (1.25, None),
        "shipped: frames/s, through Kafka / from memory": (0.8, None),
        "shipped: CPU a frame, through Kafka / from memory": (1.25, None),
    }


def test_one_side_alone_makes_no_figure() -> None:
    """`--only memory` shows rows."""
    assert compare([{"pass": 1, "side": "memory", "model": "3 ms", "cpu_us": 1.0, "frames_per_s": 1.0}]) == []
