"""People publish and subscribe without a line of ours: kcat (librdkafka) and Kafka's Java console tools, in both wire
formats. The Java side writes and reads Avro with Apache's own library, see infra/kafka/clients."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest

from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import Frame, Label, Outcome, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.registry import codec_for
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from infra.kafka.clients.registry import Registry
from infra.kafka.clients.tools import ConsoleTools, Kcat
from infra.local.kafka import KafkaCluster
from infra.local.services import WATCHING
from tests.chaos.tiny_model import tiny_model
from tests.system.running import CROPS, ROOT, Running, running

pytestmark = pytest.mark.broker

CLASSES = tuple(sorted(path.name for path in CROPS.iterdir() if path.is_dir()))
PICTURES = [sorted((CROPS / name).glob("*.jpg"))[0] for name in CLASSES]
MODEL = tiny_model(CLASSES, PICTURES[0].read_bytes())
PARTITIONS = 6  # the default
BOOT = "boot-1"


class Sent(NamedTuple):
    """A frame that somebody publishes: its camera, its picture, who publishes it and in which wire format."""

    camera: str
    picture: Path
    client: str
    wire: str


def cameras(count: int) -> Iterator[str]:
    """Cameras whose frames kcat puts where they do not live: CRC-32 of the key is not murmur2."""
    names = (f"gate-{number}" for number in range(1_000))
    apart = (name for name in names if crc32(name.encode()) % PARTITIONS != partition_of(name, PARTITIONS))
    for _ in range(count):
        yield next(apart)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="module")
def java_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Java side is compiled to, once."""
    return tmp_path_factory.mktemp("classes")


def expected_classes() -> dict[Path, str]:
    """What the model says of each picture."""
    chances = Net(MODEL).predict([decode_rgb(picture.read_bytes()) for picture in PICTURES]).probabilities
    return {picture: CLASSES[place] for picture, place in zip(PICTURES, chances.argmax(axis=1), strict=True)}


class Clients:
    """kcat and the console tools, publishing what they are told to."""

    def __init__(self, it: Running, codec: Codec, folder: Path, java_classes: Path) -> None:
        self._prefix = it.settings.topic_prefix
        self._folder = folder
        servers, registry_url = it.settings.kafka_bootstrap_servers, it.settings.schema_registry_url
        self.kcat = Kcat(servers)
        self.java = ConsoleTools(servers, java_classes, registry_url)
        self._codecs = {"single-object": Codec(), "confluent": codec}
        self._at_ms = int(time.time() * 1_000)

    def publish(self, frames: list[Sent]) -> None:
        """Publish one after the other, the console producer's all in one run."""
        for number, sent in enumerate(frames):
            if sent.client == "kcat":
                frame = Frame(
                    camera=sent.camera,
                    boot=BOOT,
                    sequence=0,
                    captured_at_ms=self._at_ms,
                    jpeg=sent.picture.read_bytes(),
                )
                file = self._folder / f"frame-{number}"
                file.write_bytes(self._codecs[sent.wire].encode(frame))
                self.kcat.publish(full_name("frames", self._prefix), sent.camera, file)
        lines = [
            f"{sent.wire} {sent.camera} {BOOT} 0 {self._at_ms} {sent.picture}"
            for sent in frames
            if sent.client == "java"
        ]
        self.java.publish(full_name("frames", self._prefix), ROOT / "schemas" / "frame.avsc", lines)

    def label(self, camera: str, name: str, wire: str) -> None:
        """Label a frame by kcat."""
        label = Label(
            camera=camera,
            boot=BOOT,
            sequence=0,
            label=name,
            labelled_at_ms=self._at_ms,
            source="person",
            propensity=1.0,
        )
        file = self._folder / "label"
        file.write_bytes(self._codecs[wire].encode(label))
        self.kcat.publish(full_name("labels", self._prefix), camera, file)


@pytest.mark.parametrize("wires", [("single-object",), ("single-object", "confluent")], ids=["avro", "registry"])
def test_foreign_clients_publish_and_read(
    wires: tuple[str, ...],
    broker: KafkaCluster,
    prefix: str,
    tmp_path: Path,
    java_classes: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Frames of kcat and of the Java console producer are predicted, one that both send once; both clients read the
    predictions back, and kcat the outcome of a label that it sent. With a registry predictions are in Confluent's
    format and frames may be in either."""
    variables = {}
    if "confluent" in wires:
        variables["SCHEMA_REGISTRY_URL"] = request.getfixturevalue("registry").url
    ways = [(client, wire) for client in ("kcat", "java") for wire in wires]
    *places, place_of_both = zip(cameras(len(ways) + 1), PICTURES, strict=False)
    frames = [Sent(*place, *way) for place, way in zip(places, ways, strict=True)]
    both = [Sent(*place_of_both, "kcat", wires[0]), Sent(*place_of_both, "java", wires[-1])]
    classes = expected_classes()
    expected = {sent.camera: classes[sent.picture] for sent in frames + both}
    of_kcat = [sent.camera for sent in frames + both if sent.client == "kcat"]
    with running(broker.bootstrap_servers, tmp_path, prefix, WATCHING, model=MODEL, variables=variables) as it:
        codec = codec_for(it.settings)
        clients = Clients(it, codec, tmp_path, java_classes)
        clients.publish(frames + both)
        clients.label(frames[0].camera, "truck", wires[-1])
        it.wait_for("ingest", "frame_duplicate", 1)
        it.wait_for("ingest", "frame_accepted", len(expected))
        predictions, outcomes = (full_name(name, prefix) for name in ("predictions", "outcomes"))
        values = clients.kcat.read(predictions, len(expected))
        by_java = clients.java.read(predictions, ROOT / "schemas" / "prediction.avsc", len(expected))
        (outcome,) = [codec.decode(value, Outcome) for value in clients.kcat.read(outcomes, 1)]
        assert len(it.records("predictions")) == len(expected)
        assert it.records("dead-letters") == []
        (repeated,) = it.records("frames.repeated")
        assert (repeated.camera, repeated.repeats) == (both[0].camera, 1)
        rekeyed = [frame.camera for frame in it.records("frames.rekeyed")]
    by_kcat = [codec.decode(value, Prediction) for value in values]
    assert {prediction.camera: prediction.label for prediction in by_kcat} == expected
    assert {prediction["camera"]: prediction["label"] for prediction in by_java} == expected
    assert {value[0] for value in values} == {0 if "confluent" in wires else 0xC3}
    assert (outcome.camera, outcome.label, outcome.predicted) == (frames[0].camera, "truck", expected[frames[0].camera])
    assert sorted(rekeyed) == sorted(of_kcat)
