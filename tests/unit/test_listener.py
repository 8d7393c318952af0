"""Heartbeats are read to their end before anything is said of services; who asks once waits for one that is alive."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaError
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import Heartbeat
from catseye.runtime import listener as module
from catseye.runtime.listener import Listener, listen
from catseye.settings import Settings

CODEC = Codec()
START_MS = 1_800_000_000_000
END = KafkaError(KafkaError._PARTITION_EOF)
BEAT = Heartbeat(
    service="ingest",
    instance="0",
    host="here",
    pid=1,
    started_at_ms=START_MS,
    at_ms=START_MS,
    every_ms=100,
    state="ready",
)


class Entry:
    """What a consumer gives; satisfies what is used of a Message."""

    def __init__(self, value: bytes | None, at_s: float = 0, offset: int = 0, fault: KafkaError | None = None) -> None:
        self._value, self._at_ms, self._offset, self._fault = value, START_MS + round(at_s * 1_000), offset, fault

    def error(self) -> KafkaError | None:
        return self._fault

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return (2, self._at_ms)

    def offset(self) -> int:
        return self._offset


def beat(at_s: float, offset: int, **changes: Any) -> Entry:
    """A heartbeat on the topic."""
    return Entry(CODEC.encode(replace(BEAT, **changes)), at_s, offset)


ENDED = Entry(None, fault=END)


class Reader:
    """A consumer that gives what a test put on the topic, then nothing."""

    def __init__(self, *chunks: list[Entry]) -> None:
        self._chunks = list(chunks)
        self.finished = Event()

    def consume(self, most: int, timeout_s: float) -> list[Entry]:
        if self._chunks:
            return self._chunks.pop(0)
        self.finished.set()
        Event().wait(0.01)
        return []


def reads(monkeypatch: pytest.MonkeyPatch, *readers: Reader | Unavailable) -> None:
    """Each is the topic once; the last one for ever."""
    left = list(readers)

    @contextmanager
    def reader(_: Settings) -> Iterator[Reader]:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Unavailable):
            raise now
        yield now

    monkeypatch.setattr(module, "_reader", reader)
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)


def test_nothing_is_said_before_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that was restarted long ago would seem to be down; then what is new is taken once."""
    listener, seen = Listener(Settings(), print), []
    first = Reader([beat(0, 0)], [beat(600, 9, service="drift")])
    reads(monkeypatch, first)
    listener.start()
    assert first.finished.wait(20)
    assert listener.news() is None
    whole = Reader([beat(0, 0)], [beat(600, 9, service="drift")], [ENDED])
    listener = Listener(Settings(), print)
    reads(monkeypatch, whole)
    listener.start()
    assert whole.finished.wait(20)
    seen.append(listener.news())
    assert seen[0] is not None
    assert list(seen[0].by_service) == ["ingest"]


def test_a_topic_that_was_made_anew_or_is_not_there_yet_is_read_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was known before is of the old one; why nothing is read is logged."""
    lines: list[str] = []
    gone = Reader([beat(0, 0), ENDED], [Entry(None, fault=KafkaError(KafkaError._AUTO_OFFSET_RESET))])
    whole = Reader([beat(0, 0, service="drift"), beat(600, 9), ENDED])
    reads(monkeypatch, Unavailable("no such topic"), gone, whole)
    listener = Listener(Settings(), lambda _, what: lines.append(what))
    listener.start()
    assert whole.finished.wait(20)
    faults = listener.news()
    assert faults is not None
    assert list(faults.by_service) == ["drift"]
    assert len(lines) == 2


def test_a_record_of_a_newer_build_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever else cannot be read; a passing error of the client is none of ours."""
    passing = Entry(None, fault=KafkaError(KafkaError._TRANSPORT))
    reads(monkeypatch, Reader([Entry(b"\xc3\x01newer"), passing, beat(0, 1, state="stopped"), ENDED]))
    assert [each.service for each in listen(Settings()).instances()] == ["ingest"]


def test_who_asks_once_waits_for_one_that_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its time the others are judged; while nobody is heard all are gone since the last was."""
    reads(monkeypatch, Reader([beat(0, 0), beat(600, 9, service="drift"), ENDED], [], [beat(601, 10, service="drift")]))
    presence = listen(Settings())
    assert presence.at_ms == START_MS + 601_000
    monkeypatch.setattr(module, "_LIVE_S", 0.05)
    monkeypatch.setattr("catseye.clock.now_ms", lambda: START_MS + 900_000)
    reads(monkeypatch, Reader([beat(0, 0), beat(600, 9, service="drift"), ENDED]))
    faults = listen(Settings()).faults(module.patience_of(Settings()))
    assert sorted(faults.by_service) == ["drift", "ingest"]


def test_a_broker_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command waits for ever."""
    monkeypatch.setattr(module, "_ANSWER_S", 0.05)
    reads(monkeypatch, Reader([beat(0, 0)]))
    with pytest.raises(Unavailable, match="heartbeats were not read"):
        listen(Settings())
