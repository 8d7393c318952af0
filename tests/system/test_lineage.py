"""Lineage and the model card on a real broker: from a prediction to its training frames, and back."""

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from catseye.cli import main
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of, prediction_id
from catseye.contract.records import AcceptedFrame, Outcome, Prediction, Record, Role
from catseye.kafka.admin import create_topics
from catseye.models.store import ArtifactStore
from catseye.ops.lineage.index import FILE
from catseye.ops.lineage.manifest import Manifest
from catseye.settings import Settings, load
from infra.local.kafka import KafkaCluster
from tests.system.running import ROOT, catseye
from tests.unit.test_lineage import alert, decision, event

pytestmark = pytest.mark.broker

CODEC = Codec()
CAMERAS = ("north", "south")
EACH = 20  # frames of a camera
OLD, NEW, OTHER = "0ld0" * 3, "1234abcd5678", "12349999"
NOW_MS = 1_800_000_000_000


@dataclass(frozen=True)
class Road:
    """Two cameras whose frames a first version saw, then a second one that was trained on some of them.

    Attributes:
        settings: Of the fleet.
        dataset: Hash of the manifest.
        places: Frame number of a camera to partition and offset.
        transactional: Writes as the services do, markers included.
    """

    settings: Settings
    dataset: str
    places: dict[tuple[str, int], tuple[int, int]]
    transactional: Producer


def jpeg(camera: str, sequence: int) -> bytes:
    """Bytes of their own for each frame."""
    return f"{camera} {sequence}".encode() * 50


def id_of(camera: str, sequence: int, role: Role = "champion") -> str:
    """Of the prediction of a frame: the first half was made by the first version."""
    return prediction_id(camera, "b", sequence, "road", version_of(sequence), role)


def version_of(sequence: int) -> str:
    """Who was champion at that frame."""
    return OLD if sequence < EACH // 2 else NEW


def prediction(camera: str, sequence: int, place: tuple[int, int], role: Role = "champion") -> Prediction:
    """Says car."""
    return Prediction(
        camera=camera,
        boot="b",
        sequence=sequence,
        captured_at_ms=NOW_MS + sequence,
        received_at_ms=NOW_MS + sequence,
        predicted_at_ms=NOW_MS + 1_000 * sequence,
        prediction_id=id_of(camera, sequence, role),
        model="road",
        version=version_of(sequence),
        role=role,
        frame_partition=place[0],
        frame_offset=place[1],
        label="car",
        probabilities={"car": 0.9, "bus": 0.1},
        brightness=0.5,
        contrast=0.1,
        sharpness=1.0,
        dark_share=0.0,
        bright_share=0.0,
        perceptual_hash=0,
        model_sha256="f" * 64,
        embedding=[],
    )


def outcome(reported: Prediction, label: str | None, **changed: Any) -> Outcome:
    """Its label."""
    return Outcome(
        **{name: getattr(reported, name) for name in Outcome.__struct_fields__ if name in Prediction.__struct_fields__}
        | {
            "predicted": reported.label,
            "confidence": 0.9,
            "change": "matched",
            "label": label,
            "correct": label and label == reported.label,
            "label_probability": label and 0.9,
            "source": "audit",
            "propensity": 1.0,
            "labelled_at_ms": NOW_MS,
            "label_received_at_ms": NOW_MS + 60_000,
            "label_delay_ms": 60_000,
        }
        | changed
    )


class Writer:
    """Writes records to the topics of one fleet, in transactions."""

    def __init__(self, settings: Settings, producer: Producer) -> None:
        self._prefix = settings.topic_prefix
        self._partitions = settings.partitions
        self._producer = producer
        self.offsets: dict[tuple[str, str], tuple[int, int]] = {}

    def write(self, topic: str, *records: Record, key: str = "") -> list[tuple[int, int]]:
        """Partition and offset of each."""
        lies: list[tuple[int, int]] = []
        self._producer.begin_transaction()
        for record in records:
            camera = getattr(record, "camera", None)
            by_camera = camera is not None and topic != "alerts"
            self._producer.produce(
                self._prefix + topic,
                CODEC.encode(record),
                camera if by_camera else key,
                partition_of(camera, self._partitions) if by_camera else 0,
                on_delivery=lambda fault, message: lies.append(
                    (int(message.partition() or 0), int(message.offset() or 0))
                ),
            )
            self._producer.flush(30)
        self._producer.commit_transaction(30)
        assert len(lies) == len(records)
        return lies


@pytest.fixture
def road(broker: KafkaCluster, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Road:
    """Everything that the services would have written."""
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("CATSEYE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("CATSEYE_PARTITIONS", "3")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "shared"), str(ROOT))))
    settings = load(Settings)
    create_topics(settings)
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "transactional.id": f"{prefix}test", "log_level": 0}
    )
    producer.init_transactions(30)
    writer = Writer(settings, producer)
    places: dict[tuple[str, int], tuple[int, int]] = {}
    for camera in CAMERAS:
        frames = [
            AcceptedFrame(
                camera=camera,
                boot="b",
                sequence=sequence,
                captured_at_ms=NOW_MS,
                received_at_ms=NOW_MS,
                jpeg=jpeg(camera, sequence),
                width=8,
                height=8,
                brightness=0.5,
                contrast=0.1,
                sharpness=1.0,
                dark_share=0.0,
                bright_share=0.0,
                perceptual_hash=0,
            )
            for sequence in range(EACH)
        ]
        places |= {(camera, number): place for number, place in enumerate(writer.write("frames.accepted", *frames))}
    rows = sorted((places["north", number], number) for number in range(4))
    manifest = Manifest(
        decision_id="d" * 32,
        model="road",
        base_version=OLD,
        frames_topic=f"{prefix}frames.accepted",
        frames_ranges={"0": (0, 4)},
        classes=["car", "bus"],
        cut_off_ms=NOW_MS,
        by_part={"train": 3, "window": 1},
        partitions=[place[0] for place, _ in rows],
        offsets=[place[1] for place, _ in rows],
        labels=[1, 1, 0, 0],
        parts=[2, 0, 0, 0],
    )
    store = ArtifactStore(f"file://{tmp_path / 'data' / 'artifacts'}")
    dataset = store.put(msgspec.json.encode(manifest, order="sorted"))
    gate = {f"drifted/{name}": 0.5 for name in ("champion", "candidate")}
    gate |= {"drifted/frames": 10.0, "drifted/won": 2.0, "drifted/lost": 2.0}
    trained: dict[str, Any] = {"dataset_sha256": dataset, "decision_id": "d" * 32}
    writer.write("retraining", decision(base_version=OLD))
    writer.write("alerts", alert(), alert(1))
    writer.write(
        "models",
        event(OLD, "champion", NOW_MS, by="ada"),
        event(NEW, "candidate", NOW_MS + 1, metrics=gate, **trained),
        event(NEW, "champion", NOW_MS + 2, by="rollout", **trained),
        event(OTHER, "rejected", NOW_MS + 3),
    )
    reported = [prediction(camera, number, place) for (camera, number), place in places.items()]
    writer.write("predictions", *reported)
    writer.write("predictions.shadow", prediction("north", 15, places["north", 15], "shadow"))
    writer.write("outcomes", *[outcome(each, "bus" if each.sequence % 2 else "car") for each in reported])
    corrected = prediction("north", 15, places["north", 15])
    writer.write(
        "outcomes",
        outcome(corrected, "car", change="corrected"),
        outcome(prediction("south", 17, places["south", 17]), None, change="withdrawn"),
    )
    return Road(settings, dataset, places, producer)


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    reported = capsys.readouterr()
    return int(ended.value.code or 0), reported.out, reported.err


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """The object that a command prints."""
    status, out, err = call(capsys, *argv, "--json", "-")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_a_prediction_is_followed_to_its_frame_and_to_a_training_frame(
    road: Road, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Byte for byte, with its newest outcome, its model, the decision, the alert and the first version."""
    found = answer(capsys, "lineage", id_of("north", 15), "--save", str(tmp_path / "saved"))
    assert (found["prediction"]["camera"], found["prediction"]["sequence"]) == ("north", 15)
    frame, training = found["frame"], found["training_frame"]
    assert (frame["place"]["partition"], frame["place"]["offset"]) == road.places["north", 15]
    assert frame["jpeg_sha256"] == sha256(jpeg("north", 15)).hexdigest()
    assert Path(frame["saved"]).read_bytes() == jpeg("north", 15)
    assert Path(training["saved"]).read_bytes() == jpeg("north", 1)  # the first row is of the window
    assert (training["name"], training["label"]) == ("north/b/1", "bus")
    assert (found["outcome"]["label"], found["outcome"]["change"]) == ("car", "corrected")
    new, old = found["chain"]
    assert (new["version"], new["made_by"], new["decision"]["decision_id"]) == (NEW, "trainer", "d" * 32)
    assert (new["dataset_sha256"], new["base_version"]) == (road.dataset, OLD)
    assert new["causes"][0]["alert"]["revision"] == 1
    assert (old["version"], old["made_by"], old["base_version"]) == (OLD, "ada", None)
    shadow = answer(capsys, "lineage", id_of("north", 15, "shadow"))
    assert (shadow["prediction"]["role"], shadow["outcome"], shadow["outcome_missing"]) == (
        "shadow",
        None,
        "no label came so far",
    )
    status, out, _ = call(capsys, "lineage", id_of("south", 3))
    assert status == 0
    assert "bus (matched, by audit, 60.0 s after the frame): the prediction is wrong" in out
    assert "no event names the dataset" in out


def test_a_frame_is_followed_by_its_name(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    """As all commands print it; of a frame that champion and shadow saw, the champion's prediction."""
    assert answer(capsys, "lineage", "north/b/15")["prediction_id"] == id_of("north", 15)
    status, _, err = call(capsys, "lineage", "north/b/99")
    assert (status, "predictions that are known is of frame north/b/99; `catseye watch predictions`" in err) == (
        2,
        True,
    )


def test_a_label_of_what_is_not_there_is_doubted(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    """Warned of and sent; with --strict refused. A label that fits says nothing."""
    assert call(capsys, "label", "north", "b/5", "car") == (0, "north/b/5\tcar\n", "")
    status, out, err = call(capsys, "label", "north", "b/500", "car")
    assert (status, out) == (0, "north/b/500\tcar\n")
    assert err.startswith("warning: no prediction of north/b/500 is kept")
    for argv in (["b/5", "cars"], ["b/500", "cars"]):
        _, _, err = call(capsys, "label", "north", *argv)
        assert (
            f"road {NEW if argv[0] == 'b/500' else OLD} knows no class cars; it knows bus, car (cars is perhaps car)"
            in err
        )
        status, out, err = call(capsys, "label", "north", *argv, "--strict")
        assert (status, out, err.startswith("Error: not sent: ")) == (1, "", True)


def test_a_model_and_a_dataset_are_followed(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    """By what they begin with; the predictions that a dataset influenced are counted as they come."""
    model = answer(capsys, "lineage", NEW[:6])
    assert [link["version"] for link in model["chain"]] == [NEW, OLD]
    assert model["served"] == [[NOW_MS + 2, None]]
    found = answer(capsys, "lineage", road.dataset[:8])
    assert (found["dataset_sha256"], found["predictions"]) == (road.dataset, EACH)
    (version,) = found["versions"]
    assert (version["version"], version["stage"], version["shadow_predictions"]) == (NEW, "champion", 1)
    assert version["first_at_ms"] == NOW_MS + 1_000 * (EACH // 2)
    assert version["last_id"] in {id_of(camera, EACH - 1) for camera in CAMERAS}
    # What comes later is indexed by the next call, and a repeat counts once.
    place = road.places["north", 0]
    later = [prediction("north", EACH - 1, place), prediction("north", EACH, place)]
    Writer(road.settings, road.transactional).write("predictions", *later)
    assert answer(capsys, "lineage", road.dataset)["predictions"] == EACH + 1


@pytest.mark.parametrize(
    ("command", "subject", "reported"),
    [
        ("lineage", "0" * 32, "none of the 41 predictions that are known has the id 0000"),
        ("lineage", "0" * 64, "no model was trained on a dataset"),
        ("lineage", "1234", "begins 2 versions"),
        ("lineage", "nothing", "is nothing that is known"),
        ("report", "nothing", "no version begins with nothing; `catseye models list` shows them"),
        ("report", "1234", "2 versions begin with 1234"),
    ],
)
@pytest.mark.usefixtures("road")
def test_what_is_not_there_is_reported(
    command: str, subject: str, reported: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, with the status of a wrong command line."""
    status, out, err = call(capsys, command, subject)
    assert (status, out) == (2, "")
    assert reported in err


def test_without_topics_the_command_says_so(
    broker: KafkaCluster,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And how they are made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", prefix)
    for command in ("lineage", "report"):
        status, _, err = call(capsys, command, "abcd1234")
        assert status == 2
        assert "`catseye topics create` makes" in err


def test_topics_that_were_made_anew_start_a_new_index(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    """What the old ones held is forgotten."""
    assert answer(capsys, "lineage", road.dataset)["predictions"] == EACH
    admin = AdminClient({"bootstrap.servers": road.settings.kafka_bootstrap_servers, "log_level": 0})
    for future in admin.delete_topics([f"{road.settings.topic_prefix}predictions"]).values():
        future.result()
    create_topics(road.settings)
    place = road.places["north", 12]
    fresh = [prediction("north", number, place) for number in range(3 * EACH)]  # longer than the one before
    Writer(road.settings, road.transactional).write("predictions", *fresh)
    assert answer(capsys, "lineage", road.dataset)["predictions"] == 3 * EACH - EACH // 2
    assert call(capsys, "lineage", id_of("south", 12))[0] == 2


def test_a_manifest_that_is_gone_or_changed(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    """Gone, the rest still holds; changed, nothing may be believed."""
    file = road.settings.data_dir / "artifacts" / road.dataset[:2] / road.dataset
    content = file.read_bytes()
    file.unlink()
    found = answer(capsys, "lineage", NEW)
    assert found["chain"][0]["manifest"] is None
    assert "the artifact store has no" in found["chain"][0]["manifest_missing"]
    assert [link["version"] for link in found["chain"]] == [NEW, OLD]  # the decision names the base too
    file.write_bytes(content + b" ")
    status, _, err = call(capsys, "lineage", NEW)
    assert (status, "other bytes" in err) == (1, True)


def test_the_card_is_one_file(road: Road, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With the accuracy on the newest outcome of each prediction; and where it is when nobody says where."""
    page = tmp_path / "out" / "card.html"
    found = answer(capsys, "report", NEW[:6], "--out", str(page))
    # Ten frames of each camera, half of them right, one corrected to right, one withdrawn.
    assert (found["figures"]["by_role"]["champion"]["right"], found["figures"]["by_role"]["champion"]["of"]) == (11, 19)
    assert found["figures"]["withdrawn"] == 1
    assert found["gate"][0]["won"] == 2
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    for words in (road.dataset, "Expected calibration error", "57.9%", "ada"):
        assert words in text
    status, out, _ = call(capsys, "report", OTHER)
    assert status == 0
    (default,) = (road.settings.data_dir / "reports").glob("*.html")
    assert str(default) in out
    assert "how accurate and how calibrated" in default.read_text(encoding="utf-8")


def test_a_call_in_a_process_of_its_own(road: Road) -> None:
    """As people call it, with an index that is damaged: named, with what to do."""
    status, out, _ = catseye("lineage", road.dataset[:10])
    assert (status, f"influenced  {EACH} predictions" in out) == (0, True)
    (road.settings.data_dir / FILE).write_bytes(b"damaged " * 1_000)
    for other in road.settings.data_dir.glob(f"{FILE}-*"):
        other.unlink()
    status, _, err = catseye("lineage", road.dataset[:10])
    assert (status, "delete it and call again" in err) == (2, True)
