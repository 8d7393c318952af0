"""Ground truth on a broker: when a label that has no prediction ends."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedLabel
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

PARTITIONS = 2
EARLY_S = 1.0


def accept_label(it: Running, camera: str) -> None:
    """As ingest does."""
    label = AcceptedLabel(
        camera=camera,
        boot="b",
        sequence=0,
        label="car",
        labelled_at_ms=clock.now_ms(),
        source="person",
        propensity=1.0,
        received_at_ms=clock.now_ms(),
    )
    name = full_name("labels.accepted", it.settings.topic_prefix)
    write(it, name, Codec().encode(label), camera.encode(), partition_of(camera, PARTITIONS))


def write(it: Running, name: str, value: bytes, key: bytes, partition: int) -> None:
    producer = Producer(client_config(it.settings))
    producer.produce(name, value, key, partition)
    assert producer.flush(60) == 0


def test_a_label_without_a_frame_ends_and_waits_while_frames_are_on_their_way(
    broker: KafkaCluster, tmp_path: Path, prefix: str
) -> None:
    """No camera lives on the partition and nothing ever comes: the label is unknown within seconds. While a frame lies
    on its topic that ingest has not read, a label waits."""
    variables = {"CATSEYE_PARTITIONS": str(PARTITIONS), "CATSEYE_GROUND_TRUTH_EARLY_S": str(EARLY_S)}
    alone = [service for service in PASSING if service.name == "ground_truth"]
    with running(broker.bootstrap_servers, tmp_path, prefix, alone, variables=variables) as it:
        accept_label(it, "nobody")
        wait_until(lambda: it.counted("ground_truth").get("label_unknown") == 1, "a label of nobody ends")
        (ended,) = it.records("labels.unmatched")
        assert (ended.camera, ended.reason) == ("nobody", "unknown")
        write(it, full_name("frames", prefix), b"a frame, in time", b"late", 1)
        accept_label(it, "late")
        wait_until(lambda: it.counted("ground_truth").get("label_early") == 2, "the second label waits")
        time.sleep(3 * EARLY_S + 2)  # until it would have ended without the frame; nothing tells us so
        assert it.counted("ground_truth")["label_unknown"] == 1
