"""Runs services for a test on a broker that is there: topics, folder and settings are the test's own."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catseye.client import subscribe
from catseye.kafka.admin import create_topics
from catseye.kafka.registry import codec_for
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings, load
from infra.local.processes import Process
from infra.local.services import Service
from infra.local.stack import Stack
from infra.local.without_rollout import register_without_rollout

ROOT = Path(__file__).resolve().parents[2]
CROPS = ROOT / "infra" / "example" / "crops"
CHECK_EVERY_S = 0.05
PATIENCE_S = 300.0
HANG_S = 600.0
"""A command that has not ended after so long hangs."""
_EVENTS = "catseye_events_total"
_TOTALS = {"catseye_records_total": "records", "catseye_aborts_total": "aborts"}


def catseye(*argv: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a `catseye` command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "catseye", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
        env=os.environ | dict(environment or {}),
    )
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Running:
    """Services that run.

    Attributes:
        settings: As the services have them.
        stack: Their processes.
    """

    settings: Settings
    stack: Stack

    def process(self, service: str) -> Process:
        """The one process of *service*."""
        (process,) = self.stack.processes(service)
        return process

    def starts(self) -> dict[str, int]:
        """How often each process was started; 1 for one that never fell."""
        return {status["name"]: status["starts"] for status in self.stack.status()["services"]}

    def counted(self, service: str) -> dict[str, int]:
        """Events of *service* by name, the records that it has taken in and committed as `records`, and `aborts`."""
        (port,) = [child.port for child in self.stack.children if child.name == f"{service}-0"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        events = {sample.labels["event"]: int(sample.value) for sample in samples if sample.name == _EVENTS}
        totals = {sample.name: int(sample.value) for sample in samples if sample.name in _TOTALS}
        return events | {short: totals[name] for name, short in _TOTALS.items()}

    def wait_for(self, service: str, event: str, count: int) -> None:
        """Wait until *service* has counted *count* of *event*, and no more than that."""
        wait_until(lambda: self.counted(service).get(event, 0) >= count, f"{service} counts {count} {event}")
        assert self.counted(service)[event] == count

    def records(self, topic: str) -> list[Any]:
        """Everything that is on *topic* now, in order within each partition."""
        return list(subscribe(topic, settings=self.settings, from_="beginning", until_end=True, timeout_s=PATIENCE_S))


def wait_until(done: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until *done*; fails the test when it takes longer than *within_s*."""
    until = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < until, f"{what}: not within {within_s:.0f} s"
        time.sleep(CHECK_EVERY_S)


@contextmanager
def running(
    bootstrap_servers: str,
    folder: Path,
    prefix: str,
    services: Sequence[Service],
    *,
    model: bytes | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Topics and services, gone at the end of the body; the topics stay.

    Args:
        bootstrap_servers: The broker.
        folder: Data and logs.
        prefix: Of topic names.
        services: What to start, one process each.
        model: ONNX file of the champion.
        variables: More settings.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "SCHEMA_REGISTRY_URL"):
            environment.delenv(name, raising=False)
        for name, value in {
            "PYTHONPATH": os.pathsep.join((str(ROOT / "shared"), str(ROOT))),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "CATSEYE_DATA_DIR": str(folder),
            "CATSEYE_TOPIC_PREFIX": prefix,
            **(variables or {}),
        }.items():
            environment.setenv(name, value)
        settings = load(Settings)
        if model is not None:
            create_topics(settings)
            make_keys(key_folder(settings))
            # Nothing runs yet: rollout, where it is one of the services, finds it in the register.
            register_without_rollout(settings, codec_for(settings), model, "champion", by="a test", because="start")
        stack = Stack(settings, services=services)
        try:
            stack.up()
            yield Running(settings, stack)
        finally:
            stack.down()
