"""`catseye replay` on a real broker: what real services said is said again, other models are judged by it."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from numpy.typing import NDArray

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedFrame, AcceptedLabel
from catseye.models.jpeg import decode_rgb
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from infra.local.worse_model import worse
from services.ingest.quality import measure
from tests.system.running import CROPS, ROOT, Running, catseye, running, wait_until

pytestmark = pytest.mark.broker

CODEC: Final = Codec()
MODEL: Final = ROOT / "infra" / "example" / "vehicles.onnx"
SERVICES: Final = [service for service in PASSING if service.name in ("inference", "ground_truth")]
PARTITIONS: Final = 2
SETTINGS: Final = {
    "CATSEYE_PARTITIONS": str(PARTITIONS),
    "CATSEYE_DRIFT_REFERENCE_SAMPLES": "200",
    "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0",
    "CATSEYE_DRIFT_FLEET_CAMERAS": "3",
    "CATSEYE_DRIFT_FALSE_INCIDENTS_PER_WEEK": "1000",
}
CAMERAS: Final = ("same", "bright", "wrong")
EACH: Final = 500
CHANGE: Final = 300
EVERY_MS: Final = 5_000
DELAY_MS: Final = 60_000
START_MS: Final = clock.now_ms() - 3_600_000
Name = tuple[str, int]
"""Camera and number of a frame."""


@dataclass(frozen=True)
class Road:
    """Three cameras whose frames real services predicted and whose labels they joined.

    Attributes:
        running: The services.
        labels: All labels, in the order in which they came.
        places: Partition and offset of each frame.
    """

    running: Running
    labels: list[AcceptedLabel]
    places: Mapping[Name, tuple[int, int]]

    def hold(self, to_ms: int) -> dict[Name, str]:
        """The labels that hold by a moment."""
        held: dict[Name, str | None] = {}
        for label in self.labels:
            if label.received_at_ms <= to_ms and received_ms(label.sequence) <= to_ms:
                held[label.camera, label.sequence] = label.label
        return {name: label for name, label in held.items() if label is not None}


def received_ms(sequence: int) -> int:
    """When a frame came."""
    return START_MS + sequence * EVERY_MS


@cache
def crops() -> list[tuple[str, NDArray[np.uint8]]]:
    """Class and pixels of each crop."""
    files = [file for folder in sorted(CROPS.iterdir()) if folder.is_dir() for file in sorted(folder.glob("*.jpg"))]
    return [(file.parent.name, decode_rgb(file.read_bytes())) for file in files]


def road() -> tuple[list[AcceptedFrame], list[AcceptedLabel]]:
    """One camera as ever, one in another light, one of whose labels half are wrong, from a moment on."""
    chance = random.Random(4)
    names = sorted({name for name, _ in crops()})
    frames, labels = [], []
    for sequence in range(EACH):
        for camera in CAMERAS:
            truth, pixels = chance.choice(crops())
            if camera == "bright" and sequence >= CHANGE:
                pixels = (pixels * 0.5 + 120).astype(np.uint8)
            jpeg = bytes(cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
            quality = measure(decode_rgb(jpeg))
            frames.append(
                AcceptedFrame(
                    camera=camera,
                    boot="b",
                    sequence=sequence,
                    captured_at_ms=received_ms(sequence),
                    received_at_ms=received_ms(sequence),
                    jpeg=jpeg,
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    **quality._asdict(),
                )
            )
            reported = chance.choice(names) if camera == "wrong" and sequence >= CHANGE else truth
            labels.append(label_of(camera, sequence, reported, received_ms(sequence) + DELAY_MS))
    later_ms = received_ms(EACH) + DELAY_MS
    first = {label.sequence: label.label for label in labels if label.camera == "same"}
    corrections = ["car" if first[sequence] == "truck" else "truck" for sequence in range(20)]
    labels += [label_of("same", sequence, label, later_ms) for sequence, label in enumerate(corrections)]
    labels += [label_of("same", sequence, None, later_ms + 1_000) for sequence in range(20, 30)]
    return frames, labels


def label_of(camera: str, sequence: int, label: str | None, at_ms: int) -> AcceptedLabel:
    """A label that came at a moment."""
    return AcceptedLabel(
        camera=camera, boot="b", sequence=sequence, label=label, labelled_at_ms=at_ms, received_at_ms=at_ms
    )


def write(found: Running, topic: str, records: list[Any]) -> dict[Name, tuple[int, int]]:
    """Write *records* where their cameras live; says where they lie."""
    lies: list[tuple[int, int]] = []  # a partition acknowledges in the order in which it was written
    written: dict[int, list[Name]] = {}

    def acknowledged(fault: Any, message: Any) -> None:
        assert fault is None
        lies.append((message.partition(), message.offset()))

    producer = Producer({"bootstrap.servers": found.settings.kafka_bootstrap_servers, "log_level": 0})
    for record in records:
        partition = partition_of(record.camera, PARTITIONS)
        written.setdefault(partition, []).append((record.camera, record.sequence))
        producer.produce(
            found.settings.topic_prefix + topic,
            CODEC.encode(record),
            record.camera,
            partition,
            on_delivery=acknowledged,
        )
    assert producer.flush(60) == 0
    offsets = {partition: iter(sorted(offset for at, offset in lies if at == partition)) for partition in written}
    return {name: (partition, next(offsets[partition])) for partition, names in written.items() for name in names}


@pytest.fixture(scope="module")
def recorded(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """A span that real services predicted and joined."""
    frames, labels = road()
    folder = tmp_path_factory.mktemp("replay")
    with running(
        broker.bootstrap_servers, folder, "replay-test.", SERVICES, model=MODEL.read_bytes(), variables=SETTINGS
    ) as found:
        places = write(found, "frames.accepted", frames)
        found.wait_for("ground_truth", "prediction", len(frames))
        write(found, "labels.accepted", labels)
        wait_until(lambda: len(found.records("outcomes")) == len(labels), "outcomes of all labels")
        yield Road(found, labels, places)


@cache
def worse_model() -> bytes:
    """The champion with noise on its weights."""
    return worse(MODEL.read_bytes(), [pixels for _, pixels in crops()[::10]])


def call(*argv: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    return catseye("replay", *argv, environment=environment)


def answer(*argv: str) -> Any:
    """The object that the command prints."""
    status, out, err = call(*argv, "--json", "-")
    assert status == 0, err
    return json.loads(out)


def kinds(found: Any) -> set[tuple[str, str]]:
    """Camera and kind of each alert."""
    return {(alert["camera"], alert["kind"]) for alert in found["alerts"]}


def test_the_champion_repeats_what_it_reported(recorded: Road) -> None:
    """The same class on every frame, so the same accuracy; and its alerts are those of the road that changed."""
    found = answer("--model", str(MODEL))
    score, held = found["score"], recorded.hold(2**60)
    assert (score["frames"], score["compared"], score["same"]) == (len(CAMERAS) * EACH,) * 3
    assert list(score["champions"].values()) == [len(CAMERAS) * EACH]
    assert list(score["champions"]) == [f"{found['candidate']['model']} {found['candidate']['version']}"]
    assert (score["labelled"], score["corrected"], score["withdrawn"]) == (len(held), 20, 10)
    reported = {(each.camera, each.sequence): each.label for each in recorded.running.records("predictions")}
    right = sum(reported[name] == label for name, label in held.items())
    for both in (score["overall"], *score["by_class"].values(), *score["by_camera"].values()):
        assert both["candidate"] == both["champion"]
        assert (both["only_candidate"], both["only_champion"]) == (0, 0)
    assert (score["overall"]["candidate"]["right"], score["overall"]["candidate"]["of"]) == (right, len(held))
    assert (score["label_delay_median_ms"], score["missing"], score["unanswered"]) == (DELAY_MS, 0, 0)
    assert found["learning"] == {}
    # Labels came for a minute after the last frames: that is a silence of all cameras, and what live drift said too.
    silent = {(camera, "camera_silent") for camera in CAMERAS}
    assert kinds(found) - silent >= {("bright", "input"), ("wrong", "concept")}
    assert {camera for camera, _ in kinds(found) - silent} == {"bright", "wrong"}
    for alert in found["alerts"]:
        assert alert["opened_at_ms"] > received_ms(EACH if alert["kind"] == "camera_silent" else CHANGE)


def test_a_worse_model_scores_less_and_is_reported(recorded: Road, tmp_path: Path) -> None:
    """Beside the champion on the same frames, in a table for people too."""
    file = tmp_path / "worse.onnx"
    file.write_bytes(worse_model())
    found = answer("--model", str(file))
    overall = found["score"]["overall"]
    assert overall["candidate"]["of"] == overall["champion"]["of"] == len(recorded.hold(2**60))
    assert overall["candidate"]["high"] < overall["champion"]["low"]
    assert overall["only_champion"] - overall["only_candidate"] == (
        overall["champion"]["right"] - overall["candidate"]["right"]
    )
    assert ("bright", "input") in kinds(found)
    status, out, _ = call("--model", str(file), "--camera", "wrong", "--camera", "same")
    assert status == 0
    for words in (f"on {2 * EACH:,} frames", "ACCURACY", "class truck", "camera wrong", "ALERT"):
        assert words in out
    assert "camera bright" not in out


def test_labels_that_came_after_the_end_do_not_count(recorded: Road) -> None:
    """Nor do frames; from a moment on, those before it are left out."""
    to_ms = received_ms(100)
    score = answer("--model", str(MODEL), "--to", str(to_ms))["score"]
    held = recorded.hold(to_ms)
    assert score["frames"] == 101 * len(CAMERAS)
    assert score["labelled"] == len(held) == (101 - DELAY_MS // EVERY_MS) * len(CAMERAS)
    assert (score["corrected"], score["withdrawn"]) == (0, 0)
    found = answer("--model", str(MODEL), "--from", str(received_ms(90)), "--to", str(to_ms))
    assert found["score"]["frames"] == 11 * len(CAMERAS)
    assert (found["score"]["labelled"], found["score"]["missing"], found["score"]["missing_labelled"]) == (0, 0, 0)
    assert len(found["learning"]) == len(CAMERAS)


@pytest.mark.usefixtures("recorded")
def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    """With the status of what a person must change, or of a model that cannot be used."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"this is no model")
    model = ("--model", str(MODEL))
    for argv, status, words in (
        (("--model", str(bad)), 1, "bad.onnx: the file cannot be used"),
        ((*model, "--from", "-1h", "--to", "-2h"), 2, "the span ends before it begins"),
        ((*model, "--to", "2020-01-01"), 2, "the archive has no frame in this span"),
        ((*model, "--camera", "nobody"), 2, "the archive has no frame of nobody in this span"),
    ):
        found, out, err = call(*argv)
        assert (found, out) == (status, ""), err
        assert words in err
        assert err.count("\n") == 1
    status, _, err = call(*model, CATSEYE_TOPIC_PREFIX="nothing.")
    assert (status, "`catseye topics create` makes the topics" in err) == (2, True)


def test_frames_that_the_archive_dropped_are_counted(recorded: Road) -> None:
    """By their predictions and by their labels; the rest is judged."""
    partition, offset = recorded.places["wrong", 50]
    topic = recorded.running.settings.topic_prefix + "frames.accepted"
    admin = AdminClient({"bootstrap.servers": recorded.running.settings.kafka_bootstrap_servers, "log_level": 0})
    for future in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result()
    gone = sum(place[0] == partition and place[1] < offset for place in recorded.places.values())
    score = answer("--model", str(MODEL), "--from", str(START_MS))["score"]
    assert (score["frames"], score["missing"], score["missing_labelled"]) == (len(CAMERAS) * EACH - gone, gone, gone)
