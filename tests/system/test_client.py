"""The SDK and the simulator against a real broker: what is published is read back, once, by plain and async readers."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from catseye.client import FrameId, Publisher, Undelivered, Unreadable, aio, subscribe
from catseye.client.config import publisher_config
from catseye.client.reading import From
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.identity import partition_of
from catseye.contract.limits import LABELLED_MIN_MS
from catseye.contract.records import Frame
from catseye.kafka.admin import admin, create_topics
from catseye.kafka.clients import reader_config
from catseye.kafka.reading import read_to_end
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
SOURCES = os.pathsep.join([str(ROOT / "shared"), str(ROOT)])
CROPS = ROOT / "infra" / "example" / "crops"
CAR = next((CROPS / "car").glob("*.jpg")).read_bytes()
CAMERAS = [f"cam-{number}" for number in range(20)]
LONG_S = 300.0  # no test waits so long unless it fails
QUIET_S = 3.0  # for readers that get nothing


@pytest.fixture(scope="module")
def settings(broker: KafkaCluster) -> Iterator[Settings]:
    """Topics of this module's own, gone after it."""
    own = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"client-{uuid4().hex[:8]}.",
        replication_factor=1,
    )
    names = create_topics(own)
    yield own
    delete(own, names)


def delete(settings: Settings, topics: list[str]) -> None:
    """Leave the broker as it was."""
    client = admin(settings)
    for gone in client.delete_topics(topics).values():
        gone.result(30)


def everything(settings: Settings, topic: str) -> list[Any]:
    """All records of a topic."""
    return list(subscribe(topic, settings=settings, from_="beginning", until_end=True, timeout_s=LONG_S))


def names(records: list[Any]) -> list[FrameId]:
    """Frames that records are about."""
    return [FrameId(record.camera, record.boot, record.sequence) for record in records]


def places(settings: Settings, topic: str, boot: str) -> dict[str, int]:
    """Partition of each camera's frame of a boot."""
    read = [(Codec().decode(each.value(), Frame), each.partition()) for each in read_to_end(settings, topic)]
    return {frame.camera: partition for frame, partition in read if frame.boot == boot}


def test_plain_frames_come_back_plain_and_async(settings: Settings) -> None:
    """Subscribed before, both kinds of reader see each frame once, in the order of its camera."""

    async def read_async(wanted: int) -> list[Any]:
        async with aio.subscribe("frames", settings=settings, from_="beginning", timeout_s=LONG_S) as frames:
            return [await anext(frames) for _ in range(wanted)]

    acknowledged: list[FrameId] = []
    with (
        subscribe("frames", settings=settings, timeout_s=LONG_S) as frames,
        Publisher(settings, boot="plain") as publisher,
    ):
        published = [
            publisher.publish(CAR, camera=camera, telemetry={"voltage": 12.5}, on_acknowledged=acknowledged.append)
            for _ in range(5)
            for camera in CAMERAS
        ]
        publisher.flush()
        seen = [next(frames) for _ in published]
    assert set(published) == set(names(seen)) == set(acknowledged)
    assert len(published) == len(seen) == len(acknowledged)
    for camera in CAMERAS:
        assert [frame.sequence for frame in seen if frame.camera == camera] == [0, 1, 2, 3, 4]
    assert {frame.telemetry["voltage"] for frame in seen} == {12.5}
    assert {frame.jpeg for frame in seen} == {CAR}
    seen_async = asyncio.run(read_async(len(published)))
    assert sorted(names(seen_async)) == sorted(published)


def test_async_frames_and_labels_come_back(settings: Settings) -> None:
    """Awaited is acknowledged; a label says the frame's name; None withdraws."""

    async def publish() -> list[FrameId]:
        async with aio.Publisher(settings, camera="gate", boot="async") as publisher:
            frames = await asyncio.gather(*(publisher.publish(CAR) for _ in range(50)))
            await publisher.label(*frames[0], "car", labelled_at_ms=LABELLED_MIN_MS + 7, source="audit", propensity=0.5)
            await publisher.label(*frames[0], None, labelled_at_ms=LABELLED_MIN_MS + 8)
            return frames

    frames = asyncio.run(publish())
    assert frames == [FrameId("gate", "async", sequence) for sequence in range(50)]
    back = [frame for frame in everything(settings, "frames") if frame.boot == "async"]
    assert names(back) == frames
    labels = [label for label in everything(settings, "labels") if label.boot == "async"]
    assert [(label.label, label.labelled_at_ms, label.source, label.propensity) for label in labels] == [
        ("car", LABELLED_MIN_MS + 7, "audit", 0.5),
        (None, LABELLED_MIN_MS + 8, "person", 1.0),
    ]


def test_both_clients_put_a_camera_where_ingest_does(settings: Settings) -> None:
    """librdkafka's murmur2 partitioner and aiokafka's own agree with ours, so that no frame needs another round."""

    async def publish() -> None:
        async with aio.Publisher(settings, boot="placed-async") as publisher:
            await asyncio.gather(*(publisher.publish(CAR, camera=camera) for camera in CAMERAS))

    asyncio.run(publish())
    with Publisher(settings, boot="placed-plain") as publisher:
        for camera in CAMERAS:
            publisher.publish(CAR, camera=camera)
    home = {camera: partition_of(camera, settings.partitions) for camera in CAMERAS}
    assert home == places(settings, "frames", "placed-async") == places(settings, "frames", "placed-plain")


def test_what_nobody_can_read_is_reported_and_skipped(settings: Settings) -> None:
    """The subscriber is told where it lies and why, and gets what comes after it."""
    producer = Producer(publisher_config(settings))
    producer.produce(f"{settings.topic_prefix}outcomes", b"rubbish", b"cam-1")
    assert producer.flush(LONG_S) == 0
    unreadable: list[Unreadable] = []
    with subscribe(
        "outcomes", settings=settings, from_="beginning", until_end=True, on_unreadable=unreadable.append
    ) as outcomes:
        assert list(outcomes) == []
    assert [(each.reason, each.value, each.place.offset) for each in unreadable] == [("unknown_format", b"rubbish", 0)]

    async def read_async() -> list[Unreadable]:
        found: list[Unreadable] = []
        async with aio.subscribe(
            "outcomes", settings=settings, from_="beginning", timeout_s=QUIET_S, on_unreadable=found.append
        ) as outcomes:
            assert [outcome async for outcome in outcomes] == []
        return found

    assert asyncio.run(read_async()) == unreadable


def test_a_group_goes_on_where_it_left_off(settings: Settings) -> None:
    """Records that were taken do not come again; the one that the reader failed over does."""
    with Publisher(settings, camera="only", boot="grouped") as publisher:
        for _ in range(6):
            publisher.label(*publisher.publish(CAR), "car")

    def read(count: int) -> list[int]:
        with subscribe(
            "labels", camera="only", group="g", settings=settings, from_="beginning", timeout_s=LONG_S
        ) as it:
            return [next(it).sequence for _ in range(count)]

    assert read(2) == [0, 1]

    def fail_over_the_second() -> None:
        with subscribe("labels", camera="only", group="g", settings=settings, timeout_s=LONG_S) as labels:
            assert [next(labels).sequence, next(labels).sequence] == [2, 3]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_over_the_second()
    assert read(1) == [3]

    async def read_async(count: int) -> list[int]:
        async with aio.subscribe(
            "labels", camera="only", group="g", settings=settings, from_="beginning", timeout_s=LONG_S
        ) as labels:
            return [(await anext(labels)).sequence for _ in range(count)]

    assert asyncio.run(read_async(1)) == [4]
    assert read(1) == [5]


KINDS = pytest.mark.parametrize("kind", ["plain", "async"])


def taken(settings: Settings, kind: str, group: str, count: int, from_: From = "now", wait_s: float = LONG_S) -> Any:
    """Sequences of at most *count* labels that the group takes, until nothing comes for *wait_s* seconds."""

    async def take_async() -> list[int]:
        async with aio.subscribe("labels", group=group, settings=settings, from_=from_, timeout_s=wait_s) as labels:
            found: list[int] = []
            while len(found) < count and (label := await anext(labels, None)) is not None:
                found.append(label.sequence)
            return found

    if kind == "async":
        return asyncio.run(take_async())
    with subscribe("labels", group=group, settings=settings, from_=from_, timeout_s=wait_s) as labels:
        return [label.sequence for label in islice(labels, count)]


def idle(settings: Settings, kind: str, group: str) -> dict[int, int]:
    """Be in a group that is handed nothing until it has joined; returns where it goes on."""
    until_s = time.monotonic() + LONG_S
    while True:
        assert taken(settings, kind, group, 1, wait_s=QUIET_S) == []
        kept = positions(settings, "labels", group)
        if min(kept.values()) >= 0:
            return kept
        assert time.monotonic() < until_s, "a member that joined has no position"


def label(settings: Settings, boot: str, *sequences: int) -> None:
    """Label frames of the camera `only`, all on one partition."""
    with Publisher(settings) as publisher:
        for sequence in sequences:
            publisher.label("only", boot, sequence, "car")


def positions(settings: Settings, topic: str, group: str) -> dict[int, int]:
    """Where a group goes on, by partition; below 0 where it has no position."""
    name = f"{settings.topic_prefix}{topic}"
    reader = Consumer(reader_config(settings, group))
    places = [TopicPartition(name, partition) for partition in range(settings.partitions)]
    kept = {place.partition: place.offset for place in reader.committed(places, timeout=LONG_S)}
    reader.close()
    return kept


@KINDS
def test_a_group_that_was_handed_nothing_goes_on_where_it_began(settings: Settings, kind: str) -> None:
    """What comes while it is away is there when it comes back; its place is kept from the first moment on."""
    group = f"idle-{kind}"
    label(settings, "before", 0)
    idle(settings, kind, group)
    label(settings, "while-away", 7)
    assert taken(settings, kind, group, 1) == [7]


@KINDS
def test_a_group_misses_nothing_from_the_moment_on_it_subscribed(settings: Settings, kind: str) -> None:
    """Also what comes before it has joined."""

    async def check_() -> int:
        async with aio.subscribe("labels", group="at-once-async", settings=settings, timeout_s=LONG_S) as labels:
            await asyncio.to_thread(label, settings, "at-once", 3)
            found: int = (await anext(labels)).sequence
            return found

    if kind == "async":
        assert asyncio.run(check_()) == 3
        return
    with subscribe("labels", group="at-once", settings=settings, timeout_s=LONG_S) as labels:
        label(settings, "at-once", 3)
        assert next(labels).sequence == 3


@KINDS
def test_a_group_that_was_away_too_long_is_reported_and_goes_on_with_what_is_left(
    settings: Settings, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the end: what is still kept is read, and a warning says how many were deleted unread."""
    group, name = f"away-{kind}", f"{settings.topic_prefix}labels"
    home = partition_of("only", settings.partitions)
    idle(settings, kind, group)
    label(settings, "away", 0, 1, 2, 3, 4, 5)
    assert taken(settings, kind, group, 2) == [0, 1]
    left_off = positions(settings, "labels", group)[home]
    earliest = left_off + 2
    client = admin(settings)
    for deleted in client.delete_records([TopicPartition(name, home, earliest)]).values():
        deleted.result(LONG_S)
    with caplog.at_level(logging.WARNING, "catseye.client"):
        assert taken(settings, kind, group, 2) == [4, 5]
    assert positions(settings, "labels", group)[home] == earliest + 2
    assert f"{name}-{home}: the reader was at offset {left_off}" in caplog.text
    assert f"2 records were deleted unread; it goes on with the earliest, offset {earliest}" in caplog.text


@KINDS
def test_a_record_that_was_taken_is_kept_although_none_follows(settings: Settings, kind: str) -> None:
    """By itself, without the next one and without a clean end."""
    group, home = f"silence-{kind}", partition_of("only", settings.partitions)
    began = idle(settings, kind, group)[home]
    label(settings, "silence", 0)
    until_s = time.monotonic() + LONG_S

    async def check_() -> int:
        async with aio.subscribe("labels", group=group, settings=settings) as labels:
            await anext(labels)
            waiting = asyncio.create_task(anext(labels))
            kept = began
            while kept == began and time.monotonic() < until_s:
                await asyncio.sleep(0.2)
                kept = (await asyncio.to_thread(positions, settings, "labels", group))[home]
            waiting.cancel()
            return kept

    if kind == "async":
        assert asyncio.run(check_()) == began + 1
        return
    with subscribe("labels", group=group, settings=settings, timeout_s=0.5) as labels:
        while next(labels, None) is None:
            assert time.monotonic() < until_s
        kept = began
        while kept == began and time.monotonic() < until_s:
            assert next(labels, None) is None
            kept = positions(settings, "labels", group)[home]
        assert kept == began + 1


def test_now_is_when_it_was_subscribed(settings: Settings) -> None:
    """What was written before is not seen; what is written after is, although nothing was read before it."""
    boot = "before"
    with Publisher(settings, camera="now", boot=boot) as publisher:
        publisher.publish(CAR)
        publisher.flush()
        with subscribe("frames", camera="now", settings=settings, timeout_s=LONG_S) as frames:
            after = publisher.publish(CAR)
            publisher.flush()
            assert names([next(frames)]) == [after]

    async def check_() -> list[FrameId]:
        async with (
            aio.subscribe("frames", camera="now", settings=settings, timeout_s=LONG_S) as frames,
            aio.Publisher(settings, camera="now", boot="later") as publisher,
        ):
            await publisher.publish(CAR)
            return names([await anext(frames)])

    assert asyncio.run(check_()) == [FrameId("now", "later", 0)]


def test_an_absent_broker_and_an_absent_topic_are_named(
    settings: Settings, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence each, plain and async."""
    monkeypatch.setattr("catseye.client.subscription._ANSWER_S", 1.0)

    async def check_(own: Settings, topic: str) -> None:
        async with aio.subscribe(topic, settings=own):
            pass

    absent = Settings(kafka_bootstrap_servers=f"127.0.0.1:{closed_port}")
    other = settings.model_copy(update={"topic_prefix": "nobody-made-these."})
    with pytest.raises(Unavailable, match="no Kafka broker answers"):
        subscribe("alerts", settings=absent)
    with pytest.raises(Unavailable, match="no Kafka broker answers"):
        asyncio.run(check_(absent, "alerts"))
    with pytest.raises(Unavailable, match="no Kafka broker answers"):
        asyncio.run(aio.Publisher(absent).start())
    monkeypatch.undo()  # a broker that is there may take its time
    for topic in ("alerts", "predictions"):
        with pytest.raises(Misconfigured, match="does not exist"):
            subscribe(topic, settings=other)
        with pytest.raises(Misconfigured, match="does not exist"):
            asyncio.run(check_(other, topic))


def test_what_the_broker_refuses_is_raised(settings: Settings) -> None:
    """A topic that is not there: the plain publisher raises at the next call, the async one at once."""
    other = settings.model_copy(update={"topic_prefix": "nobody-made-these."})
    impatient = Producer(publisher_config(other) | {"message.timeout.ms": 1_000})
    publisher = Publisher(other, camera="cam-1", outbox=impatient)
    frame = publisher.publish(CAR)
    with pytest.raises(Undelivered) as caught:
        publisher.flush(LONG_S)
    assert caught.value.frames == [frame]
    publisher.flush(LONG_S)  # said once


@pytest.fixture(scope="module")
def closed_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_ledger_is_what_stands_on_the_topics(broker: KafkaCluster, tmp_path: Path) -> None:
    """Every line of the simulator's ledger is on its topic, as often as the ledger says, and nothing else is."""
    own = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"sim-{uuid4().hex[:8]}.", replication_factor=1
    )
    topics = create_topics(own)
    ledger = tmp_path / "ledger.jsonl"
    options = "--cameras 5 --fps 200 --count 3000 --seed 3 --tiny --label-delay 1 --wrong-share 0.1 --repeat-share 0.1"
    shares = "--copy-share 0.05 --corrupt-share 0.05"
    argv = [sys.executable, "-m", "services.simulator", *options.split(), *shares.split(), "--ledger", str(ledger)]
    env = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CATSEYE_TOPIC_PREFIX": own.topic_prefix,
        "PYTHONPATH": SOURCES,
    }
    subprocess.run(argv, env=env, cwd=tmp_path, check=True, timeout=600, capture_output=True)
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    end = lines.pop()
    frames = [line for line in lines if line["kind"] == "frame"]
    labels = [line for line in lines if line["kind"] == "label"]
    assert (end["kind"], end["frames_acked"], end["labels_acked"]) == ("end", len(frames), len(labels))
    assert len([line for line in frames if not line["copy"]]) == 3_000

    stood = everything(own, "frames")
    taken = {(line["camera"], line["sequence"]): line["intended_at_ms"] for line in frames if not line["copy"]}
    assert taken == {(frame.camera, frame.sequence): frame.captured_at_ms for frame in stood}
    assert Counter((line["camera"], line["sequence"]) for line in frames) == Counter(
        (frame.camera, frame.sequence) for frame in stood
    )
    assert {end["boot"]} == {frame.boot for frame in stood}
    reported = Counter((line["camera"], line["sequence"], line["label"], line["labelled_at_ms"]) for line in labels)
    assert reported == Counter(
        (label.camera, label.sequence, label.label, label.labelled_at_ms) for label in everything(own, "labels")
    )
    delete(own, topics)
