"""Topics that somebody changes while all runs: public ones may have any number of partitions, those of ours are mended
by the command that is named, and nothing is lost, counted twice or left unread."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from catseye import clock
from catseye.client import Publisher
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured
from catseye.contract.identity import partition_of
from catseye.contract.records import Frame
from catseye.contract.topics import full_name
from catseye.kafka.admin import admin, create_topics
from catseye.kafka.producing import produce_rows
from catseye.settings import Settings
from infra.local import jvm
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.system.running import Running, catseye, running, wait_until

pytestmark = pytest.mark.broker

CODEC = Codec()
JPEG = encode(scene(40, 50))
PARTITIONS = 3
RAISED = 2 * PARTITIONS + 1
VARIABLES = {
    "CATSEYE_PARTITIONS": str(PARTITIONS),
    "CATSEYE_HEARTBEAT_EVERY_S": "1",
    "CATSEYE_INCIDENTS_RESOLVE_S": "0",
}
SOON_S = 150.0
"""By themselves clients ask for partitions every 300 s: what is seen before was noticed."""
ANSWER_S = 60.0
"""Of a broker beside other work: what takes longer hangs."""
CAMERAS = [f"cam-{number}" for number in range(12)]


def widen(it: Running, topic: str, count: int) -> None:
    """`kafka-topics --alter --partitions`."""
    name = full_name(topic, it.settings.topic_prefix)
    client = admin(it.settings)  # one that is let go of answers no more
    client.create_partitions([NewPartitions(name, count)])[name].result(ANSWER_S)


def frames(sequences: Sequence[int]) -> list[Frame]:
    """So many of each camera."""
    return [
        Frame(camera=camera, boot="b", sequence=sequence, captured_at_ms=clock.now_ms(), jpeg=JPEG)
        for sequence in sequences
        for camera in CAMERAS
    ]


def publish(it: Running, sent: Sequence[Frame]) -> None:
    """By a client that knows the partitions of now."""
    topic = full_name("frames", it.settings.topic_prefix)
    produce_rows(it.settings, [(topic, frame.camera.encode(), CODEC.encode(frame)) for frame in sent])


def accepted(it: Running, count: int) -> dict[str, list[int]]:
    """Sequence numbers by camera, in the order in which they were accepted, once there are *count*."""
    wait_until(lambda: len(it.records("frames.accepted")) >= count, f"{count} frames are accepted", SOON_S)
    found: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
    for frame in it.records("frames.accepted"):
        found[frame.camera].append(frame.sequence)
    return found


def test_partitions_of_public_topics_are_raised_while_all_runs(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """With two workers: new partitions are read before clients ask for them, a repeat is found though its camera has
    moved, each camera keeps its order, and a start on such topics is as any."""
    services = [Service("ingest", 0)]
    with running(broker.bootstrap_servers, tmp_path, prefix, services, variables=VARIABLES) as it:
        it.stack.up(workers={"ingest": 2})
        publish(it, frames([0]))
        assert accepted(it, 12) == {camera: [0] for camera in CAMERAS}
        widen(it, "frames", RAISED)
        widen(it, "labels", RAISED + 1)
        moved = [camera for camera in CAMERAS if partition_of(camera, RAISED) >= PARTITIONS]
        assert moved
        began_s = time.monotonic()
        publish(it, frames([0, 1, 2]))
        assert accepted(it, 36) == {camera: [0, 1, 2] for camera in CAMERAS}
        took_s = time.monotonic() - began_s
        with Publisher(it.settings) as publisher:
            for camera in CAMERAS:
                publisher.label(camera, "b", 0, "car")
        wait_until(lambda: len(it.records("labels.accepted")) == 12, "all labels are accepted", SOON_S)
        assert sorted(frame.camera for frame in it.records("frames.repeated")) == sorted(CAMERAS)
        assert set(it.starts().values()) == {1}
        it.stack.down()
        it.stack.up()
        publish(it, frames([2, 3]))
        assert accepted(it, 48) == {camera: [0, 1, 2, 3] for camera in CAMERAS}
        assert it.records("dead-letters") == []
        assert set(it.starts().values()) == {1}
    print(f"read {took_s:.1f} s after the partitions were raised")  # noqa: T201 - shown by -s


def test_a_topic_of_ours_that_was_widened_is_told_and_mended_as_is_said(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """Ground truth joins two topics, one of which gets more partitions: a heartbeat, an alert and the commands say so,
    /ready does, and the command that they name mends it, without a restart. So is a public topic that somebody deletes
    and makes again: what lies on the new one has its end, from the first record on."""
    services = [Service(name, 0) for name in ("ingest", "inference", "ground_truth", "incidents")]
    model = tiny_model(("car", "truck"), JPEG)
    with running(broker.bootstrap_servers, tmp_path, prefix, services, model=model, variables=VARIABLES) as it:
        ready = is_ready(it, "ground_truth")
        assert ready()
        widen(it, "labels.accepted", RAISED)
        wait_until(lambda: not ready(), "ground truth is not ready", SOON_S)
        topic = full_name("labels.accepted", prefix)
        wait_until(lambda: topic in problems(it, "ground_truth"), "its heartbeat says why", SOON_S)
        detail = problems(it, "ground_truth")[topic]
        assert f"topic {topic} has {RAISED} partitions" in detail
        assert "`catseye topics create`" in detail
        status, shown, _ = catseye("doctor", "--timeout", "1")
        assert (status, detail in shown) == (1, True)
        wait_until(lambda: detail in alert_of(it, "ground_truth"), "an alert says why", SOON_S)
        assert detail in flat(catseye("alerts", "list")[1])
        assert detail in flat(stack_status())

        assert catseye("topics", "create")[0] == 0
        wait_until(ready, "ground truth is ready again", SOON_S)
        wait_until(lambda: not problems(it, "ground_truth"), "its heartbeat is as before", SOON_S)
        wait_until(lambda: not alert_of(it, "ground_truth"), "the alert is over", SOON_S)
        with Publisher(it.settings) as publisher:
            for camera in CAMERAS:
                publisher.label(*publisher.publish(JPEG, camera=camera), "car")
        wait_until(lambda: len(it.records("outcomes")) == len(CAMERAS), "each label is joined", SOON_S)

        make_again(it, "frames")
        publish(it, frames(range(20)))  # more than before: the places of the old topic are there on the new one
        wanted = {(camera, sequence) for camera in CAMERAS for sequence in range(20)}
        wait_until(lambda: wanted <= predicted(it, "b"), "each frame is predicted", SOON_S)
        topic = full_name("frames", prefix)
        wait_until(lambda: f"topic {topic} was deleted and made again" in alert_of(it, "ingest"), "an alert", SOON_S)
        assert set(it.starts().values()) == {1}
        it.stack.down()
        it.stack.up()


def test_records_that_were_deleted_unread_are_told_and_passed_as_is_said(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """Somebody empties a topic while its reader is down: that does not go on by guess, and the command that it names,
    as Kafka brings it, lets it go on, on the partitions where records are lost and on no other."""
    with running(broker.bootstrap_servers, tmp_path, prefix, [Service("ingest", 0)], variables=VARIABLES) as it:
        publish(it, frames([0]))
        assert accepted(it, 12) == {camera: [0] for camera in CAMERAS}
        it.stack.down()
        publish(it, frames([1]))
        lost = {camera for camera in CAMERAS if partition_of(camera, PARTITIONS) != 1}
        assert 0 < len(lost) < len(CAMERAS)
        empty(it, "frames", [0, 2])
        with suppress(Misconfigured):  # it may be ready for a moment, until the broker answers what it asks for
            it.stack.up()
        wait_until(lambda: "refuses to start: group" in flat(stack_status()), "ingest has ended", SOON_S)
        status = flat(stack_status())
        assert "left off at a place that is no longer on the log" in status
        assert f"--topic {full_name('frames', prefix)}:0,2 " in status
        (told,) = re.findall("`kafka-consumer-groups ([^`]+)`", status)
        tool = [*jvm.command("-Xshare:auto"), "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"]
        jvm.run([*tool, *told.replace("BROKER", broker.bootstrap_servers).split()], [tmp_path])
        it.stack.up()
        publish(it, frames([2]))
        wanted = {camera: [0, 2] if camera in lost else [0, 1, 2] for camera in CAMERAS}
        assert accepted(it, sum(map(len, wanted.values()))) == wanted


def empty(it: Running, topic: str, partitions: Sequence[int]) -> None:
    """`kafka-delete-records`: all that is on these partitions."""
    name = full_name(topic, it.settings.topic_prefix)
    client = admin(it.settings)
    ends = [TopicPartition(name, partition, OFFSET_END) for partition in partitions]
    for deleted in client.delete_records(ends).values():
        deleted.result(ANSWER_S)


def make_again(it: Running, topic: str) -> None:
    """Delete a topic and make it as it was, at once."""
    name = full_name(topic, it.settings.topic_prefix)
    client = admin(it.settings)
    client.delete_topics([name])[name].result(ANSWER_S)
    wait_until(lambda: create_topics(it.settings) == [name], "the topic is made again", ANSWER_S)


def predicted(it: Running, boot: str) -> set[tuple[str, int]]:
    """Camera and sequence number of predictions."""
    return {(each.camera, each.sequence) for each in it.records("predictions") if each.boot == boot}


def alert_of(it: Running, service: str) -> str:
    """What the open alert about topics of *service* says; nothing where there is none."""
    found = [alert for alert in it.records("alerts") if (alert.kind, alert.signal) == ("topics_mismatch", service)]
    return found[-1].explanation if found and found[-1].state != "resolved" else ""


def stack_status() -> str:
    """What `infra/stack status` prints."""
    command = [sys.executable, "-m", "infra.local.launch", "infra.local.stack_commands", "status"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600).stdout


def flat(text: str) -> str:
    """Lines as one."""
    return " ".join(text.split())


def is_ready(it: Running, service: str) -> Callable[[], bool]:
    """Asks /ready, as a stack does."""
    return lambda: next(each["ready"] for each in it.stack.status()["services"] if each["name"] == f"{service}-0")


def problems(it: Running, service: str) -> dict[str, str]:
    """What the last heartbeat of *service* says that it does not do, by what it is about."""
    last = [beat for beat in it.records("heartbeats") if beat.service == service][-1]
    return {problem.subject: problem.detail for problem in last.problems}


def test_another_number_is_refused_until_it_is_what_the_fleet_began_with(broker: KafkaCluster, prefix: str) -> None:
    """More, and fewer once records lie beyond; both ways out that are named end it, and nothing was changed before."""
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, partitions=2, replication_factor=1
    )
    create_topics(settings)
    frames_of_ours = full_name("frames.rekeyed", prefix)
    produce_rows(settings, [(frames_of_ours, each.camera.encode(), CODEC.encode(each)) for each in frames([0])])
    for count, why in ((4, "asks for 4"), (1, "has records on partition 1")):
        with pytest.raises(Misconfigured, match=f"{why}.*to the number that this fleet began with"):
            create_topics(settings.model_copy(update={"partitions": count}))
        create_topics(settings)
        other = settings.model_copy(update={"partitions": count, "topic_prefix": f"{prefix}other-{count}."})
        create_topics(other)
    there = admin(settings).list_topics(timeout=ANSWER_S).topics
    assert len(there[frames_of_ours].partitions) == 2
