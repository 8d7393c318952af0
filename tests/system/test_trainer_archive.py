"""The trainer's archive against a broker: what lies far apart on its partitions is found, and nothing else is taken."""

from collections.abc import Iterator

import pytest

from catseye.contract.codec import Codec
from catseye.contract.records import AcceptedFrame
from catseye.kafka.admin import admin, create_topics
from catseye.kafka.producing import produce
from catseye.kafka.reading import read_to_end
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from services.trainer.archive import SEEK_GAP, Archive
from services.trainer.dataset import Labelled

pytestmark = pytest.mark.broker

CAMERAS = 8
EACH = 5 * SEEK_GAP


@pytest.fixture
def settings(broker: KafkaCluster, prefix: str) -> Iterator[Settings]:
    """Topics of this test's own, gone after it."""
    own = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, replication_factor=1, partitions=3
    )
    names = create_topics(own)
    yield own
    client = admin(own)
    for gone in client.delete_topics(names).values():
        gone.result(30)


def frame(camera: str, sequence: int) -> AcceptedFrame:
    """One whose picture says which it is."""
    return AcceptedFrame(
        camera=camera,
        boot="b",
        sequence=sequence,
        captured_at_ms=sequence,
        received_at_ms=sequence,
        jpeg=f"{camera}/{sequence}".encode() * 100,
        width=1,
        height=1,
        brightness=0.5,
        contrast=0.1,
        sharpness=1.0,
        dark_share=0.0,
        bright_share=0.0,
        perceptual_hash=sequence,
    )


def test_frames_far_apart_are_found(settings: Settings) -> None:
    """Stretches of each partition, one after another, by time."""
    names = [f"cam-{number}" for number in range(CAMERAS)]
    produce(
        settings,
        Codec(),
        "frames.accepted",
        *(frame(camera, sequence) for sequence in range(EACH) for camera in names),
    )
    lie = {
        (record.camera, record.sequence): (message.partition(), message.offset())
        for message in read_to_end(settings, "frames.accepted")
        if (record := Codec().decode(message.value(), AcceptedFrame))
    }
    wanted = [
        Labelled(
            camera=camera,
            name=f"{camera}/b/{sequence}",
            received_at_ms=sequence,
            partition=lie[camera, sequence][0],
            offset=lie[camera, sequence][1],
            label="car",
            correct=True,
            source="person",
            propensity=1.0,
        )
        for camera in names[:5]
        for sequence in (0, 1, SEEK_GAP, EACH // 2, EACH - 1)
    ]
    taken = Archive(settings, Codec()).frames(wanted)
    assert [each.frame for each in taken] == sorted(wanted, key=lambda one: (one.received_at_ms, one.name))
    assert all(each.jpeg == f"{each.frame.camera}/{each.perceptual_hash}".encode() * 100 for each in taken)
