"""A whole fleet under test: its own cluster, some workers a service, a tiny model, a publisher, a reader that reads
all the while, and the outside checker."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from confluent_kafka import Consumer, TopicPartition

from catseye.contract.topics import full_name
from catseye.kafka.clients import reader_config
from catseye.kafka.reading import read_to_end
from catseye.kafka.registry import codec_for
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings, load
from infra.local.checker import Report, check
from infra.local.demo import Ledgers
from infra.local.demo_figures import Scoreboard
from infra.local.evidence import Ledger, Log
from infra.local.log_reader import read_log
from infra.local.services import PASSING_WATCHING, Service
from infra.local.stack import Stack
from infra.local.watch import Sighting, Watch
from infra.local.without_rollout import register_without_rollout
from tests.chaos.tiny_model import tiny_model

ROOT = Path(__file__).resolve().parents[2]
CROPS = ROOT / "infra" / "example" / "crops"
WATCHED = ("predictions", "outcomes", "labels.unmatched", "dead-letters")
WATCHERS = ("drift", "incidents", "rollout")
"""Faults of theirs are in tests/system/; here they read along."""
CHECK_EVERY_S = 0.2
SESSION_TIMEOUT_MS = 3_000
# Longer than a broker takes to start. One that finds a transaction past its time while it starts writes "aborted" into
# its own log and no marker into the partitions: readers at read_committed then stand before it for ever (Kafka 4.3.1;
# seen with 5 s and a broker that took 12 s). A worker that starts again ends its own transaction at once.
TRANSACTION_TIMEOUT_MS = 60_000


class Fleet:
    """Starts everything in a folder and stops it in the end.

    Args:
        folder: Data, logs and the ledger.
        environment: Sets variables for this test.
        workers: Processes of each service but the watchers.
        services: What to start.
        variables: More settings.
    """

    def __init__(
        self,
        folder: Path,
        environment: pytest.MonkeyPatch,
        *,
        workers: int,
        services: Sequence[Service] = PASSING_WATCHING,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        for name, value in {
            "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}",
            "CATSEYE_DATA_DIR": str(folder),
            "CATSEYE_TOPIC_PREFIX": "chaos.",
            "CATSEYE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "CATSEYE_TRANSACTION_TIMEOUT_MS": str(TRANSACTION_TIMEOUT_MS),
            **(variables or {}),
        }.items():
            environment.setenv(name, value)
        self._workers = {service.name: 1 if service.name in WATCHERS else workers for service in services}
        self._services = services
        self._folder = folder
        self._ledger_file = folder / "ledger.jsonl"
        self._ledgers = Ledgers(self._ledger_file)
        self._publisher: subprocess.Popen[bytes] | None = None
        self.stack = Stack(load(Settings), services=services)
        self.settings = load(Settings)
        self.board = Scoreboard()
        self.names: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        try:
            plan = Stack(load(Settings), services=()).up()
            self.settings = load(Settings).model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
            make_keys(key_folder(self.settings))
            classes = tuple(sorted(path.name for path in CROPS.iterdir() if path.is_dir()))
            crop = next((CROPS / classes[0]).glob("*.jpg")).read_bytes()
            codec = codec_for(self.settings)
            # Nothing runs yet: rollout, where it is one of the services, finds it in the register.
            register_without_rollout(
                self.settings, codec, tiny_model(classes, crop), "champion", by="a test", because="start"
            )
            self.stack.up(workers=self._workers)
            self._watch = Watch(self._env, self._folder / "logs" / "watch.log", WATCHED)
        except BaseException:
            self.stack.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._publisher and self._publisher.poll() is None:
            self._publisher.kill()
            self._publisher.wait()
        self._watch.stop()
        for service in self._workers:
            for process in self.stack.processes(service):
                process.resume()
        self.stack.down()

    def publish(self, *options: str) -> None:
        """Start a publisher: options of the simulator."""
        with (self._folder / "logs" / "simulator.log").open("ab") as log:
            self._publisher = subprocess.Popen(
                [sys.executable, "-m", "services.simulator", *options, "--ledger", str(self._ledger_file)],
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop_publishing(self) -> None:
        """Let the publisher end as Ctrl-C does."""
        assert self._publisher is not None
        self._publisher.send_signal(signal.SIGINT)

    @property
    def is_publishing(self) -> bool:
        return self._publisher is not None and self._publisher.poll() is None

    def check_(self) -> None:
        """Take in what the ledger and the reader have to say."""
        self.board.on_ledger(self._ledgers.entries())
        sightings = self._watch.sightings()
        self.board.on_sightings(sightings)
        self.names.update(_name(seen) for seen in sightings if seen.name)

    def check_until(self, done: Callable[[], bool], within_s: float, what: str) -> None:
        """Look until *done*; fails the test when it takes longer than *within_s*."""
        until_s = time.monotonic() + within_s
        while True:
            self.check_()
            if done():
                return
            assert time.monotonic() < until_s, f"{what}: not within {within_s:.0f} s; logs are in {self._folder}/logs"
            time.sleep(CHECK_EVERY_S)

    def drain(self, patience_s: float) -> None:
        """Wait until the publisher has ended and all that it published has its end, or nothing more comes for so
        long; what is missing then is for the checker to say."""
        left, until_s = -1, time.monotonic() + patience_s
        while time.monotonic() < until_s:
            self.check_()
            now_left = len(self.board.frames_open) + max(0, self.board.labels_open)
            if not self.is_publishing and not now_left:
                return
            if self.is_publishing or now_left != left:
                left, until_s = now_left, time.monotonic() + patience_s
            time.sleep(CHECK_EVERY_S)

    def wait_until_read(self, service: str, topic: str, within_s: float) -> None:
        """Wait until *service* has committed all that lies on *topic* now."""
        ends: dict[int, int] = {}
        for message in read_to_end(self.settings, topic):
            ends[message.partition()] = message.offset() + 1
        name = full_name(topic, self.settings.topic_prefix)
        consumer = Consumer(reader_config(self.settings, f"{self.settings.topic_prefix}{service}"))

        def is_read() -> bool:
            places = consumer.committed([TopicPartition(name, partition) for partition in ends], timeout=10)
            return all(place.offset >= ends[place.partition] for place in places)

        try:
            self.check_until(is_read, within_s, f"{service} has read {topic}")
        finally:
            consumer.close()

    def verdict(self) -> tuple[Ledger, Log, Report]:
        """Read everything back and check it; what the reader saw is compared with what is there in the end."""
        ledger, log = Ledger.read(self._ledger_file), read_log(self.settings)
        report = check(ledger, log)
        there = {("predictions", prediction.prediction_id) for prediction in log.predictions}
        there |= {("dead-letters", letter.dead_letter_id) for letter in log.dead}
        there |= {
            ("outcomes", f"{outcome.prediction_id}/{outcome.label[1]}/{outcome.label[2]}") for outcome in log.outcomes
        }
        self.check_until(lambda: len(self.names) >= len(there), 30, "the reader that reads all the while is behind")
        report.repeat("I2", "seen twice by the reader that read all the while", _again(self.names))
        report.find("I3", "seen by the reader and taken back", self.names.keys() - there)
        return ledger, log, report

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers}


def _name(seen: Sighting) -> tuple[str, str]:
    return seen.topic, seen.name


def _again(names: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    return [name for name, times in names.items() for _ in range(times - 1)]


def is_due(monotonic_s: float) -> bool:
    return time.monotonic() >= monotonic_s
