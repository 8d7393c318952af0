"""Predictions and labels by number, and what is wrong with the outcomes that come of them.

Prediction n is frame n // 64 of camera n % 64: publishers count, so the frames of a camera are dense.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of, prediction_id
from catseye.contract.records import AcceptedLabel, Outcome, Prediction
from infra.benches.load import LoadRecord

PARTITIONS = 4
CAMERAS = 64
BOOT = "boot-1"
MODEL = "vehicles"
VERSION = "1"
CLASSES = ("bicycle", "bus", "car", "motorcycle", "truck", "van")


def varint(number: int) -> bytes:
    """Write an Avro long that is not negative: zigzag, then 7 bits a byte, lowest first."""
    rest, out = number << 1, bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class Records:
    """Makes records by number: encoded once a camera, then only the number in them is replaced.

    Args:
        by_frame: Key them by frame instead of by camera.
        now_ms: The clocks in them.
    """

    def __init__(self, *, by_frame: bool, now_ms: int) -> None:
        self._by_frame = by_frame
        cameras = [f"camera-{c:04d}" for c in range(CAMERAS)]
        self._cameras = [camera.encode() for camera in cameras]
        self._partitions = [partition_of(camera, PARTITIONS) for camera in cameras]
        codec, self._at = Codec(), 10 + 1 + len(cameras[0]) + 1 + len(BOOT)
        self._predictions = [self._parts(codec.encode(prediction(camera, now_ms))) for camera in cameras]
        self._labels = [[codec.encode(label(camera, name, now_ms + 1_000)) for name in CLASSES] for camera in cameras]

    def _parts(self, whole: bytes) -> tuple[bytes, bytes, bytes]:
        """Split at the sequence, which is 0 and one byte long, and at the id."""
        id_at = whole.index(b"f" * 32)
        return whole[: self._at], whole[self._at + 1 : id_at], whole[id_at + 32 :]

    def _key(self, camera: int, sequence: int) -> bytes:
        return (
            b"%b/%b/%d" % (self._cameras[camera], BOOT.encode(), sequence) if self._by_frame else self._cameras[camera]
        )

    def prediction(self, number: int) -> LoadRecord:
        """Return prediction *number*."""
        sequence, camera = divmod(number, CAMERAS)
        before, between, after = self._predictions[camera]
        value = b"%b%b%b%b%b" % (before, varint(sequence), between, identity(number).encode(), after)
        return LoadRecord(self._key(camera, sequence), value, self._partitions[camera])

    def label(self, number: int) -> LoadRecord:
        """Return the label of prediction *number*."""
        sequence, camera = divmod(number, CAMERAS)
        whole = self._labels[camera][number % len(CLASSES)]
        value = whole[: self._at] + varint(sequence) + whole[self._at + 1 :]
        return LoadRecord(self._key(camera, sequence), value, self._partitions[camera])


def identity(number: int) -> str:
    """Return the id of prediction *number*."""
    sequence, camera = divmod(number, CAMERAS)
    return prediction_id(f"camera-{camera:04d}", BOOT, sequence, MODEL, VERSION, "champion")


def prediction(camera: str, now_ms: int) -> Prediction:
    """Make the first prediction of a camera."""
    return Prediction(
        camera=camera, boot=BOOT, sequence=0, captured_at_ms=now_ms, received_at_ms=now_ms, predicted_at_ms=now_ms,
        prediction_id="f" * 32, model=MODEL, version=VERSION, role="champion", frame_partition=0, frame_offset=0,
        label="car", probabilities={name: 0.9 if name == "car" else 0.02 for name in CLASSES}, brightness=0.5,
        contrast=0.2, sharpness=100.0, dark_share=0.01, bright_share=0.01, perceptual_hash=1,
        model_sha256="0" * 64, embedding=[0.5] * 16,
    )  # fmt: skip


def label(camera: str, name: str, now_ms: int) -> AcceptedLabel:
    """Make a label of the first frame of a camera."""
    return AcceptedLabel(camera=camera, boot=BOOT, sequence=0, label=name, labelled_at_ms=now_ms, received_at_ms=now_ms)


def faults(outcomes: Sequence[bytes], numbers: Sequence[int]) -> list[str]:
    """Say what is wrong with outcomes; nothing means: one for each labelled prediction, with its own label.

    Args:
        outcomes: Values as read.
        numbers: Of the predictions that were labelled.
    """
    codec, seen, wrong = Codec(), Counter[int](), 0
    for value in outcomes:
        outcome = codec.decode(value, Outcome)
        number = outcome.sequence * CAMERAS + int(outcome.camera.removeprefix("camera-"))
        seen[number] += 1
        truth = CLASSES[number % len(CLASSES)]
        expected = (identity(number), "matched", truth, truth == "car", 1_000)
        found = (outcome.prediction_id, outcome.change, outcome.label, outcome.correct, outcome.label_delay_ms)
        wrong += found != expected
    asked = set(numbers)
    counted = [
        (len(seen.keys() - asked), "outcomes of frames without label"),
        (len(asked - seen.keys()), "outcomes lost"),
        (sum(times > 1 for times in seen.values()), "outcomes repeated"),
        (wrong, "outcomes that say the wrong thing"),
    ]
    return [f"{n:,} {what}" for n, what in counted if n]
