"""A process writes that it is there, what it does and what it refuses, and how it ended."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import Backlog, Heartbeat
from catseye.runtime import heartbeats as module
from catseye.runtime.heartbeats import Heartbeats, Problems, report_refused_settings
from catseye.settings import Settings

CODEC = Codec()
PATIENCE_S = 300.0


class Log:
    """A topic in memory, with the producer that writes to it; satisfies what is used of a Producer."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, Heartbeat]] = []
        self.fault: KafkaError | None = None
        self.config: dict[str, Any] = {}

    def __call__(self, config: dict[str, Any]) -> "Log":
        self.config = config
        return self

    def produce(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        assert partition == 0
        self.records.append((topic, key, CODEC.decode(value, Heartbeat)))

    def poll(self, timeout_s: float) -> None:
        self.config["on_delivery"](self.fault, None)

    def flush(self, timeout_s: float) -> None:
        pass

    @property
    def states(self) -> list[str]:
        return [beat.state for _, _, beat in self.records]


class Works:
    """A worker that is ready when a test says so."""

    ready = False

    def __init__(self) -> None:
        self.backlogs: list[Backlog] = []


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(module, "Producer", made)
    monkeypatch.setattr(module, "CHANGE_S", 0.01)
    return made


def until(holds: Callable[[], bool]) -> None:
    """Wait for the thread under test."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def beats(problems: Problems | None = None, health: Works | None = None, **settings: Any) -> Heartbeats:
    given = Settings(instance="1", **settings)
    return Heartbeats("ingest", given, health or Works(), problems or Problems(), lambda *_, **__: None)


def test_a_process_writes_what_it_does_from_its_start_to_its_end(log: Log) -> None:
    """At once when that changes; the key is its service and instance; the last one says that it was asked to end."""
    health = Works()
    with beats(health=health):
        assert log.states == ["starting"]
        health.ready = True
        until(lambda: log.states[-1] == "ready")
        health.ready = False
        until(lambda: log.states[-1] == "not_ready")
    assert log.states == ["starting", "ready", "not_ready", "stopped"]
    assert {(topic, key) for topic, key, _ in log.records} == {("catseye.heartbeats", b"ingest/1")}
    first = log.records[0][2]
    assert (first.service, first.instance, first.every_ms) == ("ingest", "1", 3_000)
    assert {beat.started_at_ms for _, _, beat in log.records} == {first.started_at_ms}


def test_it_goes_on_while_nothing_changes(log: Log) -> None:
    """Silence is what tells that a process is gone."""
    with beats(heartbeat_every_s=0.02):
        until(lambda: len(log.records) > 5)
    assert set(log.states[:-1]) == {"starting"}


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (Misconfigured("CATSEYE_X is not a setting"), "CATSEYE_X is not a setting"),
        (Unavailable("no broker"), "no broker"),
        (SystemExit(3), "it ended with exit status 3"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
        (Unavailable("http://me:secret@host/ does not answer"), "http://***@host/ does not answer"),
    ],
)
def test_a_process_that_cannot_go_on_says_why(log: Log, fault: BaseException, detail: str) -> None:
    """The exception goes on; no password of an address in it gets out."""
    with pytest.raises(type(fault)), beats():
        raise fault
    assert (log.states[-1], log.records[-1][2].detail) == ("failed", detail)


def test_an_exit_with_status_0_is_a_wanted_one(log: Log) -> None:
    """Faust ends so."""
    with pytest.raises(SystemExit), beats():
        raise SystemExit(0)
    assert log.states[-1] == "stopped"


def test_the_last_heartbeat_is_the_last(log: Log) -> None:
    """A second end, of a watchdog for one, does not take the first back, and the thread writes no more."""
    with beats(heartbeat_every_s=0.001) as written:
        written.end("failed", "stuck")
    count = len(log.records)
    threading.Event().wait(0.05)
    assert (len(log.records), log.states[-1], log.states.count("stopped")) == (count, "failed", 0)


def test_problems_are_shown_until_they_are_withdrawn(log: Log) -> None:
    """Each with its kind, subject, reason and since when; reported again with another reason it is the same one."""
    now_ms = [5]
    problems = Problems(lambda: now_ms[0])
    with beats(problems):
        problems.report("model_refused", "road 2", "bad signature", model="road", version="2")
        now_ms[0] = 7
        problems.report("model_refused", "road 2", "no such file")
        problems.report("topics_mismatch", "frames.accepted", "8 partitions")
        until(lambda: len(log.records[-1][2].problems) == 2)
        first, second = log.records[-1][2].problems
        assert (first.subject, first.detail, first.since_ms, second.kind) == (
            "road 2",
            "no such file",
            5,
            "topics_mismatch",
        )
        problems.withdraw("model_refused", "road 2")
        problems.withdraw("model_refused", "road 2")
        until(lambda: [each.kind for each in log.records[-1][2].problems] == ["topics_mismatch"])


def test_a_cause_why_none_is_written_is_logged_once(log: Log) -> None:
    """Until they are again: the topic may not be there, or not be ours to write."""
    lines: list[str] = []
    log.fault = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    written = Heartbeats("ingest", Settings(), Works(), Problems(), lambda _, what: lines.append(what))
    for _ in range(3):
        log.poll(0)
    assert len(lines) == 1
    log.fault = None
    log.poll(0)
    log.fault = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    log.poll(0)
    assert len(lines) == 2
    written.end("stopped")


@pytest.mark.usefixtures("bare_environment")
def test_settings_that_are_refused_are_reported_where_the_common_ones_say_where_to(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where they do not, there is nobody to report to."""
    monkeypatch.setenv("CATSEYE_INGEST_FRAME_MAX_BYTES", "many")
    report_refused_settings("ingest", Misconfigured("CATSEYE_INGEST_FRAME_MAX_BYTES: no number"))
    assert log.states == ["failed"]
    assert log.records[0][2].detail == "CATSEYE_INGEST_FRAME_MAX_BYTES: no number"
    monkeypatch.setenv("CATSEYE_PARTITIONS", "many")
    report_refused_settings("ingest", Misconfigured("CATSEYE_PARTITIONS: no number"))
    assert log.states == ["failed"]
