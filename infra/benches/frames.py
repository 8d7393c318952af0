"""Frames by number, a fleet to send them through, and what is wrong with what comes back.

Frame n shows crop n of the example, counted round, and is, of 64 cameras, frame n // 64 of camera n % 64.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedFrame, Frame, Record
from catseye.contract.topics import TOPICS, full_name
from catseye.kafka.admin import create_topics
from catseye.kafka.clients import client_config
from catseye.models import signing
from catseye.models.signing import key_folder
from catseye.settings import Settings
from infra.benches import load
from infra.benches.harness import ROOT, BenchError
from infra.benches.load import LoadRecord
from infra.local.warm_up import warm_up
from infra.local.without_rollout import register_without_rollout

CROPS = ROOT / "infra" / "example" / "crops"
CAMERAS = 64
PARTITIONS = 4
BOOT = "boot-1"
SESSION_TIMEOUT_MS = 45_000
"""What is measured stands still while its load is laid out, and must not be taken for dead."""


def crops() -> list[bytes]:
    """The JPEGs of the example, class by class."""
    return [path.read_bytes() for path in sorted(CROPS.glob("*/*.jpg"))]


class Frames:
    """Makes records of frames by number.

    Args:
        jpegs: What cameras show.
        now_ms: The clocks in them.
        cameras: How many there are.
    """

    def __init__(self, jpegs: Sequence[bytes], now_ms: int, cameras: int = CAMERAS) -> None:
        self._jpegs = jpegs
        self._now_ms = now_ms
        self._cameras = [*_places(cameras)]
        self._codec = Codec()

    def published(self, number: int) -> LoadRecord:
        """Frame *number* as a publisher writes it, where Java's client and ours would put it."""
        sequence, c = divmod(number, len(self._cameras))
        jpeg = self._jpegs[number % len(self._jpegs)]
        frame = Frame(camera=self._cameras[c], boot=BOOT, sequence=sequence, captured_at_ms=self._now_ms, jpeg=jpeg)
        return self._record(frame.camera, frame)

    def accepted(self, number: int) -> LoadRecord:
        """Frame *number* as ingest writes it; its quality is made up."""
        sequence, c = divmod(number, len(self._cameras))
        frame = AcceptedFrame(
            camera=self._cameras[c], boot=BOOT, sequence=sequence,
            captured_at_ms=self._now_ms, received_at_ms=self._now_ms, jpeg=self._jpegs[number % len(self._jpegs)],
            width=100, height=100, brightness=0.5, contrast=0.2, sharpness=100.0, dark_share=0.01, bright_share=0.01,
            perceptual_hash=1,
        )  # fmt: skip
        return self._record(frame.camera, frame)

    def _record(self, camera: str, frame: Record) -> LoadRecord:
        place = partition_of(camera, PARTITIONS)
        return LoadRecord(camera.encode(), self._codec.encode(frame), place)


def number_of(camera: str, sequence: int, cameras: int = CAMERAS) -> int:
    """Number of a frame of one of so many *cameras*; -1 for a camera that is none of ours."""
    place = _places(cameras).get(camera)
    return -1 if place is None else sequence * cameras + place


def numbers(values: Iterable[bytes], kind: type[Record], cameras: int = CAMERAS) -> NDArray[np.int64]:
    """Numbers of the frames that records are about: every record of a frame starts with camera, boot and sequence.

    Args:
        values: Records, which may be cut off after these fields.
        kind: What they are.
        cameras: How many there are.
    """
    codec = Codec()
    heads = (codec.leading_fields(value, kind, "sequence") for value in values)
    return np.array([number_of(head["camera"], head["sequence"], cameras) for head in heads], np.int64)


@cache
def _places(cameras: int) -> dict[str, int]:
    """Their names, in order."""
    return {f"camera-{place:04d}": place for place in range(cameras)}


def faults(seen: NDArray[np.int64], sent: int) -> list[str]:
    """Say what is wrong with what came back; nothing means: every frame once.

    Args:
        seen: Numbers of the frames that came back, in any order.
        sent: Frames 0 to *sent* - 1 were sent.
    """
    known = seen[(seen >= 0) & (seen < sent)]
    times = np.bincount(known, minlength=sent)
    counted = [
        (len(seen) - len(known), "frames that nobody sent"),
        (int(np.count_nonzero(times == 0)), "frames lost"),
        (int(np.count_nonzero(times > 1)), "frames repeated"),
    ]
    return [f"{n:,} {what}" for n, what in counted if n]


class Fleet:
    """Topics, a signing key and settings of one block, under a prefix of its own.

    Args:
        bootstrap: Broker address.
        work: Folder in which its own is made.
        name: Of the block.
    """

    def __init__(self, bootstrap: str, work: Path, name: str) -> None:
        prefix = f"{name}-{time.time_ns()}."
        self.directory = work / prefix.rstrip(".")
        self.directory.mkdir(parents=True)
        self.settings = Settings(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=prefix,
            partitions=PARTITIONS,
            data_dir=self.directory,
            session_timeout_ms=SESSION_TIMEOUT_MS,
        )
        create_topics(self.settings)
        self._wait_for_leaders()

    @property
    def environment(self) -> dict[str, str]:
        """What a service must find in its environment to be part of it."""
        return {
            "PYTHONPATH": f"{ROOT}/shared:{ROOT}",
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "CATSEYE_TOPIC_PREFIX": self.settings.topic_prefix,
            "CATSEYE_PARTITIONS": str(PARTITIONS),
            "CATSEYE_DATA_DIR": str(self.directory),
            "CATSEYE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
        }

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return full_name(name, self.settings.topic_prefix)

    def make_champion(self, onnx_file: bytes) -> None:
        """Make a model the champion."""
        signing.make_keys(key_folder(self.settings))
        register_without_rollout(
            self.settings, Codec(), onnx_file, "champion", by="bench", because="it is to be measured"
        )

    def lay_out(self, name: str, first: int, last: int, make: Callable[[int], LoadRecord]) -> None:
        """Write records *first* to *last* - 1 to topic *name*."""
        loader = load.producer(self.settings.kafka_bootstrap_servers)
        for at in range(first, last, 1_000):
            load.send(loader, self.topic(name), [make(number) for number in range(at, min(at + 1_000, last))])
        load.finish(loader)

    def _wait_for_leaders(self) -> None:
        """A topic that was made a moment ago may have none, and a worker that starts then ends at once."""
        asking = Consumer(client_config(self.settings) | {"group.id": f"{self.settings.topic_prefix}leaders"})
        for topic in TOPICS:
            for partition in range(PARTITIONS if topic.by_camera else 1):
                load.end_of(asking, TopicPartition(self.topic(topic.name), partition))
        asking.close()

    def clear(self) -> None:
        """Delete its topics and its folder."""
        topics = load.Topics(self.settings.kafka_bootstrap_servers)
        topics.delete(topics.named(self.settings.topic_prefix))
        shutil.rmtree(self.directory)


def warm_broker(bootstrap: str, seconds: float) -> None:
    """Keep a broker that was started a moment ago busy for some seconds with transactions that nobody counts."""
    warm_up(Settings(kafka_bootstrap_servers=bootstrap, topic_prefix="bench."), seconds)


def require_none(side: str, found: Sequence[str]) -> None:
    """Raises `BenchError` where something is wrong with what *side* gave back."""
    if found:
        raise BenchError(f"{side} gives wrong results: {'; '.join(found)}")
