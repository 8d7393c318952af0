"""What librdkafka has to say comes out as lines of the service's own log: all of it, and on the worker's thread."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.message import Message
from catseye.kafka.admin import admin, wait_for_broker
from catseye.runtime import log
from catseye.runtime import worker as worker_module
from catseye.runtime.health import Health
from catseye.runtime.metrics import Metrics
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.stream import NoState, Row, Tally
from catseye.runtime.worker import Worker
from catseye.settings import Settings
from services.trainer.serve import Trainer
from services.trainer.settings import TrainerSettings
from tests.simulation.fake_kafka import kafka_fault
from tests.simulation.worker_in_memory import InMemory, world
from tests.simulation.worker_stories import Recorder, Until

__all__ = ["world"]


class Idle(Tally):
    """A core that nothing comes to."""

    new_state = NoState

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        return []

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        return []


class Lines:
    """Keeps what a client says, and on which thread."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.reported: list[str] = []

    def log(self, level: int, form: str, *parts: object) -> None:
        self.threads.add(threading.get_ident())
        self.reported.append(form % parts)

    def of(self, client: str) -> list[str]:
        """What one kind of client said."""
        return [line for line in self.reported if f"#{client}-" in line]


@pytest.fixture
def nobody() -> str:
    """An address that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
def default_log() -> Iterator[None]:
    """Puts structlog back as it was."""
    yield
    structlog.reset_defaults()


def test_lines_of_both_clients_come_out_while_the_worker_runs(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says that nobody answers. No other thread calls, so nothing waits for anything."""
    monkeypatch.setattr(worker_module, "check_partitions", lambda settings, names: None)
    lines = Lines()
    settings = Settings(kafka_bootstrap_servers=nobody, delivery="at_least_once")
    worker = Worker("ingest", Idle(), ["frames"], None, settings, clock=lambda: 0, probe=Recorder(), client_log=lines)
    worker.run(Until(lambda: bool(lines.of("producer") and lines.of("consumer"))))
    refused = [line for line in lines.reported if line.startswith("FAIL ") and "refused" in line]
    assert {"#producer-" in line for line in refused} == {True, False}
    assert lines.threads == {threading.get_ident()}


def test_what_a_client_says_of_its_end_is_not_lost(world: InMemory) -> None:
    """It is asked before the worker falls, also where it never came to its loop; the error itself comes out first."""
    worker, _ = world.worker()
    fenced = kafka_fault(KafkaError._FENCED, fatal=True)
    world.broker.fail("init_transactions", fenced)
    world.broker.fail("poll", fenced)
    with pytest.raises(WorkerFailed, match="cannot go on after init_transactions"):
        worker.run(world.until(lambda: False))
    assert vars(worker)["_outbox"].producer.polled == 2


def test_a_line_is_an_object_of_json(capsys: pytest.CaptureFixture[str], default_log: None) -> None:
    """With the service and the level, and none below the level that is set; signs of the form within it stay."""
    lines = log.client_lines(log.set_up("ingest", "0", "warning"))
    for level in (10, 20, 30, 40, 50):
        lines.log(level, "%s [%s] %s", "FAIL", "blue.ingest.0#producer-1", f'100 % of "{level}"')
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["service"], line["event"], line["level"], line["what"]) for line in written] == [
        ("ingest", "librdkafka", name, f'FAIL [blue.ingest.0#producer-1] 100 % of "{level}"')
        for name, level in (("warning", 30), ("error", 40), ("critical", 50))
    ]


def test_a_line_that_repeats_is_written_once_a_minute(capsys: pytest.CaptureFixture[str], default_log: None) -> None:
    """Of each client and cause, also where only numbers differ; the next one counts those between."""
    now_s = 0.0
    lines = log.client_lines(log.set_up("ingest", "0", "info"), lambda: now_s)
    for second in range(130):
        now_s = float(second)
        for client in ("blue.ingest.0#producer-1", "blue.ingest.0#consumer-2"):
            more = f", {second} identical error(s) suppressed" if second else ""
            refused = (
                f"Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after {second}ms in state CONNECT{more})"
            )
            lines.log(40, "%s [%s] %s", "FAIL", client, refused)
            if second == 30:
                lines.log(40, "%s [%s] %s", "ERROR", client, "1/1 brokers are down")
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("held_back") for line in written if "FAIL" in line["what"]] == [None, None, 59, 59, 59, 59]
    assert [line["what"] for line in written if "ERROR" in line["what"]] == [
        f"ERROR [blue.ingest.0#{client}] 1/1 brokers are down" for client in ("producer-1", "consumer-2")
    ]


def test_lines_of_the_trainers_clients_are_json(nobody: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody answers: both say so in the service's own log, none of it on standard error."""
    settings = TrainerSettings(kafka_bootstrap_servers=nobody, data_dir=tmp_path)
    logger = log.set_up("trainer", "0", "info")
    trainer = Trainer(settings, Codec(), Health(Metrics(CollectorRegistry()), logger.info), logger)
    clients = [vars(trainer)["_consumer"], vars(trainer)["_producer"]]
    written = ""
    while not ("#consumer-" in written and "#producer-" in written):
        for client in clients:
            client.poll(0.05)
        output, errors = capfd.readouterr()
        assert errors == ""
        written += output
    assert {json.loads(line)["event"] for line in written.splitlines()} == {"librdkafka"}


@pytest.mark.slow
def test_clients_whose_caller_reports_print_nothing(nobody: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody answers: each raises, and standard error, which is no line of JSON, stays empty."""
    settings = Settings(kafka_bootstrap_servers=nobody)
    with pytest.raises(Unavailable):
        wait_for_broker(settings, timeout_s=-1)
    with pytest.raises(KafkaException):
        admin(settings).list_topics(timeout=0.5)
    assert capfd.readouterr() == ("", "")
