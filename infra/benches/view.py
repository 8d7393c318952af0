"""The read model of 500 cameras: its memory in Redis, and view's CPU a record.

Each camera has what one may have: 30 signals, 8 classes, 4 readings, the largest thumbnail, a week of plots by quarters
of an hour and four hours by the minute. A string in Redis is as long as its last slot, so that one record in the last
slot of each chunk costs the memory of all slots.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
from msgspec.structs import replace
from redis import Redis

from catseye.contract.codec import Codec
from catseye.contract.records import AcceptedFrame, DriftStatistic, Prediction, Record
from catseye.contract.topics import BY_NAME
from catseye.view.keys import Keys
from catseye.view.plots import MINUTES, QUARTERS
from catseye.view.store import Store
from infra.benches.harness import BenchError, Figure, Options, Report, Row, machine, ratio
from infra.local.redis import RedisServer
from services.view.core import ViewCore
from services.view.queue import Queue

CAMERAS: Final = 500
SIGNALS: Final = 30
CLASSES: Final = 8
READINGS: Final = 4
CAMERA_BYTES: Final = 200 * 1_024
FLEET_BYTES: Final = 128 * 2**20
_BATCH: Final = 5_000


class Lying:
    """A record as it lies on a topic; satisfies what view asks of a message."""

    def __init__(self, value: bytes, key: bytes) -> None:
        self._value, self._key = value, key

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes:
        return self._key

    def offset(self) -> int:
        return 0

    def partition(self) -> int:
        return 0


def run(options: Options) -> Report:
    """Fill a read model, and look what it costs."""
    cameras = 10 if options.short else CAMERAS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        rows.append(_filled(server.url, cameras))
    row = rows[0]
    return Report(
        name="view",
        figures=[
            Figure("memory a camera / 200 KB", ratio([float(row["camera_bytes"])], [CAMERA_BYTES]), 1.0),
            Figure(f"memory of {cameras} cameras / 128 MB", ratio([float(row["bytes"])], [FLEET_BYTES]), 1.0),
        ],
        rows=rows,
        notes=[
            f"each camera: {SIGNALS} signals, {CLASSES} classes, {READINGS} readings, a picture, plots of a week; "
            "CPU is view's own, without reading from Kafka, of records as they lie on the topics"
        ],
        machine=machine(("redis", "hiredis")),
    )


def _filled(url: str, cameras: int) -> Row:
    redis: Any = Redis.from_url(url)
    empty = redis.info("memory")["used_memory"]
    keys, codec = Keys("bench."), Codec()
    store, core = Store(url, keys), ViewCore(keys, codec, Queue(keys, {}, 1_000))
    store.open()
    cpu_ns = records = place = 0
    for batch in _batches(_records(cameras), codec):
        began_ns = time.process_time_ns()
        writes, _ = core.on_batch(batch)
        count = sum(map(len, batch.values()))
        if not store.write({("predictions", 0): (place or None, place + count)}, writes.commands(), None):
            raise BenchError("the read model took no batch")
        writes.written()
        cpu_ns += time.process_time_ns() - began_ns
        records, place = records + count, place + count
    store.close()  # with the buffer of its connection
    used = redis.info("memory")["used_memory"] - empty
    keys_kept = redis.dbsize()
    redis.close()
    return {
        "cameras": cameras,
        "records": records,
        "bytes": used,
        "camera_bytes": used / cameras,
        "keys": keys_kept,
        "cpu_us": cpu_ns / records / 1e3,
    }


def _batches(records: Iterator[tuple[str, Record]], codec: Codec) -> Iterator[dict[str, list[Any]]]:
    batch: defaultdict[str, list[Any]] = defaultdict(list)
    count = 0
    for topic, record in records:
        batch[topic].append(Lying(codec.encode(record), BY_NAME[topic].key_of(record)))
        count += 1
        if count == _BATCH:
            yield batch
            batch, count = defaultdict(list), 0
    if count:
        yield batch


def _times(now_ms: int) -> Sequence[int]:
    """A time in the last slot of each chunk that is kept."""
    times: list[int] = []
    for resolution in (QUARTERS, MINUTES):
        chunks = resolution.chunks(now_ms - resolution.keep_ms, now_ms)
        times += [(chunk + 1) * resolution.chunk_ms - 1 for chunk in chunks]
    return sorted(times)


def _records(cameras: int) -> Iterator[tuple[str, Record]]:
    now_ms = time.time_ns() // 1_000_000
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    jpeg = simplejpeg.encode_jpeg(noise, quality=8)
    classes = [f"class_{number}" for number in range(CLASSES)]
    for number in range(cameras):
        camera = f"road-{number:04}/north-bound"
        named: dict[str, Any] = {
            "camera": camera,
            "boot": "b",
            "sequence": 1,
            "captured_at_ms": now_ms,
            "received_at_ms": now_ms,
        }
        seen: dict[str, Any] = {
            "brightness": 0.5,
            "contrast": 0.2,
            "sharpness": 9.0,
            "dark_share": 0.0,
            "bright_share": 0.0,
        }
        model: dict[str, Any] = {"model": "roads", "version": "2026-11-30"}
        yield (
            "frames.accepted",
            AcceptedFrame(**named, **seen, jpeg=jpeg, width=320, height=240, perceptual_hash=1),
        )
        prediction = Prediction(
            **named,
            **seen,
            **model,
            predicted_at_ms=now_ms,
            prediction_id="0" * 32,
            role="champion",
            frame_partition=0,
            frame_offset=number,
            label=classes[0],
            probabilities=dict.fromkeys(classes, 1 / CLASSES),
            perceptual_hash=1,
            model_sha256="0" * 64,
            embedding=[],
            telemetry={f"reading_{reading}": 1.5 for reading in range(READINGS)},
        )
        statistic = DriftStatistic(
            **model,
            camera=camera,
            signal="loss",
            phase="day",
            detector="e-SR",
            at_ms=now_ms,
            count=1_000,
            estimate=0.25,
            reference=0.5,
            reference_name="1/day/1000",
            evidence=1e3,
            threshold=1e6,
            learning_left=0,
            low=0.2,
            high=0.3,
        )
        for at_ms in _times(now_ms):
            for label in classes:
                yield "predictions", replace(prediction, label=label, received_at_ms=at_ms, predicted_at_ms=at_ms + 40)
            for signal in _signals():
                yield "statistics", replace(statistic, signal=signal, at_ms=at_ms)


def _signals() -> list[str]:
    return [
        "loss",
        *(f"telemetry.reading_{number}" for number in range(READINGS)),
        *(f"embedding.{number}" for number in range(SIGNALS - READINGS - 1)),
    ]
