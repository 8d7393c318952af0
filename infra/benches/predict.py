"""`POST /v1/predict` against a bare Kafka client that does the same, and what faults do to it.

Both sides publish one frame at a time and wait for its prediction, turn by turn in one run on one stack. Then many
requests at once while inference is killed twice: each must end by its deadline with an answer. Then requests that are
each sent three times with one key, the gateway killed between: as many frames are accepted as there are keys.
"""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer, local

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from catseye.client.config import publisher_config
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import AcceptedFrame, Frame, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.clients import reader_config
from catseye.kafka.reading import partitions_of, read_to_end
from catseye.settings import Settings, load
from infra.benches import harness
from infra.benches.harness import BenchError, Figure, Options, Report, Row
from infra.local import processes
from infra.local.services import PASSING_SHOWN, is_ready
from infra.local.stack import Stack
from infra.local.stack_commands import first_model

OVER_MS = 15.0
_SERVICES = ("ingest", "inference", "rollout", "view", "gateway")
_PATIENCE_S = 60.0
_LATE_S = 1.0
"""What a deadline may be missed by: the answer is on its way."""
CARS = harness.ROOT / "infra" / "example" / "crops" / "car"


class Bare:
    """A Kafka client without the gateway.

    Args:
        settings: Of the stack.
        jpeg: Picture of each frame.
    """

    def __init__(self, settings: Settings, jpeg: bytes) -> None:
        self._jpeg, self._codec, self._sequence = jpeg, Codec(), 0
        self._topic = full_name("frames", settings.topic_prefix)
        self._producer = Producer(publisher_config(settings) | {"linger.ms": 0})
        self._reader = Consumer(reader_config(settings, "bench.bare") | {"fetch.wait.max.ms": 20})
        predictions = full_name("predictions", settings.topic_prefix)
        parts = partitions_of(settings, "predictions")
        self._reader.assign([TopicPartition(predictions, part, OFFSET_END) for part in parts])
        self._reader.poll(1.0)

    def __call__(self) -> float:
        """One frame to its prediction, milliseconds."""
        self._sequence += 1
        began_s = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        frame = Frame(camera="bare", boot="b", sequence=self._sequence, captured_at_ms=now_ms, jpeg=self._jpeg)
        self._producer.produce(self._topic, self._codec.encode(frame), b"bare")
        self._producer.poll(0)
        until_s = began_s + _PATIENCE_S
        while time.perf_counter() < until_s:
            message = self._reader.poll(0.1)
            self._producer.poll(0)
            if message is None or message.error():
                continue
            try:
                found = self._codec.decode(message.value(), Prediction)
            except BadRecord:
                continue
            if (found.camera, found.sequence) == ("bare", self._sequence):
                return (time.perf_counter() - began_s) * 1e3
        raise BenchError("no prediction came to the bare client")

    def close(self) -> None:
        self._reader.close()


class Http:
    """Asks the gateway; a connection for each thread.

    Args:
        address: ``HOST:PORT``.
        jpeg: Picture of each frame.
    """

    def __init__(self, address: str, jpeg: bytes) -> None:
        self._address, self._jpeg, self._own = address, jpeg, local()

    def __call__(self, camera: str = "http", key: str | None = None) -> tuple[int, float]:
        """Status, 0 where the gateway was not there, and milliseconds."""
        began_s = time.perf_counter()
        headers = {"Content-Type": "image/jpeg"} | ({"Idempotency-Key": key} if key else {})
        try:
            connection = self._own.__dict__.setdefault(
                "connection", http.client.HTTPConnection(self._address, timeout=_PATIENCE_S)
            )
            connection.request("POST", f"/v1/predict?camera={camera}", self._jpeg, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            self._own.__dict__.pop("connection").close()
            status = 0
        return status, (time.perf_counter() - began_s) * 1e3


def run(options: Options) -> Report:
    """Measure on a fresh stack."""
    pairs, requests, keys = (20, 60, 10) if options.short else (1_000, 10_000, 300)
    report = Report("predict", machine=harness.machine(("aiokafka", "confluent-kafka", "starlette", "uvicorn")))
    jpeg = next(iter(sorted(CARS.glob("*.jpg")))).read_bytes()
    with stack_with_gateway() as stack:
        assert stack.plan is not None
        settings = load(Settings).model_copy(update={"kafka_bootstrap_servers": stack.plan.bootstrap_servers})
        assert stack.plan.pages is not None
        http_side = Http(stack.plan.pages.rstrip("/").rpartition("/")[2], jpeg)
        _until(lambda: http_side()[0] == 200, "the first prediction by HTTP")
        report.rows.append(_beside(Bare(settings, jpeg), http_side, pairs))
        over_ms = float(report.rows[0]["http_p99_ms"]) - float(report.rows[0]["bare_p99_ms"])
        report.figures.append(Figure("p99 over the bare client / 15 ms", harness.ratio([over_ms], [OVER_MS]), 1.0))
        ended = _killed(stack, http_side, requests)
        report.figures.append(
            Figure("requests that ended by their deadline", harness.ratio([ended], [requests]), 1.0, False)
        )
        accepted = _again(stack, settings, http_side, keys)
        report.figures.append(Figure("frames accepted / keys", harness.ratio([accepted], [keys]), 1.0))
        report.notes += [
            f"{requests:,} requests, 32 at once, inference killed twice: {ended:,} ended by their deadline",
            f"{keys} keys, each sent three times with the gateway killed between: {accepted} frames accepted",
        ]
    return report


def _beside(bare: Bare, http_side: Http, pairs: int) -> Row:
    """Both, turn by turn, in ABBA order."""
    took: dict[str, list[float]] = {"bare": [], "http": []}
    sides: dict[str, Callable[[], float]] = {"bare": bare, "http": lambda: http_side()[1]}
    for number in range(pairs + 10):
        for name in ("bare", "http") if number % 2 else ("http", "bare"):
            one = sides[name]()
            if number >= 10:  # the first ones find what was idle
                took[name].append(one)
    bare.close()
    return {
        "pairs": pairs,
        **{
            f"{name}_p{share}_ms": float(np.percentile(values, share))
            for name, values in took.items()
            for share in (50, 99)
        },
    }


def _killed(stack: Stack, http_side: Http, requests: int) -> int:
    """How many of many requests ended by their deadline, with inference killed twice meanwhile."""
    deadline_ms = (5.0 + _LATE_S) * 1e3
    with ThreadPoolExecutor(32) as pool:
        sent = [pool.submit(http_side, f"cam-{number % 50}") for number in range(requests)]
        for share in (0.3, 0.6):
            _until(lambda: sum(each.done() for each in sent) >= share * requests, "some are done", 600)  # noqa: B023
            _kill(stack, "inference")
        answers = [each.result() for each in sent]
    counts = Counter(status for status, _ in answers)
    late = sum(took > deadline_ms for _, took in answers)
    print(f"statuses {dict(counts)}, {late} late")
    return sum(status in (200, 202, 422, 429, 503) and took <= deadline_ms for status, took in answers)


def _again(stack: Stack, settings: Settings, http_side: Http, keys: int) -> int:
    """Frames accepted of requests that were each sent three times with one key."""
    for attempt in range(3):
        if attempt:
            timer = Timer(0.5, _kill, (stack, "gateway"))
            timer.start()
        with ThreadPoolExecutor(8) as pool:
            for number in range(keys):
                pool.submit(_send_until_answered, http_side, "again", f"pass-1:{number}")
        if attempt:
            timer.join()
            _until(lambda: _is_up(stack, "gateway"), "the gateway is there again")
    codec = Codec()
    found = [codec.decode(message.value(), AcceptedFrame) for message in read_to_end(settings, "frames.accepted")]
    return len([frame for frame in found if (frame.camera, frame.boot) == ("again", "pass-1")])


def _send_until_answered(http_side: Http, camera: str, key: str) -> None:
    """Sent until somebody answers."""
    _until(lambda: http_side(camera, key)[0] in (200, 202), f"an answer to {key}")


def _kill(stack: Stack, service: str) -> None:
    found = processes.find(Path(stack.data_dir) / "run", f"{service}-0")
    if found is None:
        raise BenchError(f"{service} does not run")
    os.kill(found.pid, signal.SIGKILL)


def _is_up(stack: Stack, service: str) -> bool:
    (child,) = [each for each in stack.children if each.name == f"{service}-0"]
    found = processes.find(Path(stack.data_dir) / "run", child.name)
    return found is not None and is_ready(child.port, found.pid)


def _until(done: Callable[[], bool], what: str, within_s: float = _PATIENCE_S) -> None:
    until_s = time.monotonic() + within_s
    while not done():
        if time.monotonic() > until_s:
            raise BenchError(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.02)


@contextmanager
def stack_with_gateway() -> Iterator[Stack]:
    """Services from a frame to its prediction, with the gateway, on a broker of their own."""
    services = [service for service in PASSING_SHOWN if service.name in _SERVICES]
    with TemporaryDirectory() as folder:
        more = {"CATSEYE_DATA_DIR": folder, "CATSEYE_GATEWAY_REQUESTS_PER_S": "100000"}
        before = {name: os.environ.get(name) for name in more}
        os.environ.update(more)
        stack = Stack(Settings(data_dir=Path(folder)), services=services)
        try:
            first_model(stack.up())
            yield stack
        finally:
            stack.down()
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
