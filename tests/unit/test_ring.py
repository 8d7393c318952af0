"""The ring on disk: what the broker did not acknowledge outlives the process, in order, bounded, and counted."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from catseye.cli.roadside_outlet import ring_file
from catseye.client import Publisher, Undelivered
from catseye.client.ring import IN_FLIGHT, DiskRing
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured, Unavailable
from catseye.contract.records import Frame
from catseye.settings import Settings
from services.ingest.window import BOOTS, WIDTH, CameraWindow, Verdict

SETTINGS = Settings(kafka_bootstrap_servers="nowhere:1", topic_prefix="t.", schema_registry_url="")
MIB = 2**20
HUGE = b"huge"  # what a client refuses by itself
JPEG = (Path(__file__).parents[2] / "infra" / "example" / "crops" / "car" / "car541.jpg").read_bytes()


class Broker:
    """Keeps what it gets; acknowledges it when it is told to.

    Args:
        fails: Fault of records with these values.
    """

    def __init__(self, fails: dict[bytes, KafkaError] | None = None) -> None:
        self.taken: list[bytes] = []
        self.away = False
        self.fails = fails or {}
        self._waiting: list[tuple[bytes, Callable[[Any, Any], None]]] = []

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        assert (topic, key) in {("t.frames", b"gate"), ("t", b"k")}
        if value == HUGE:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.taken.append(value)
        self._waiting.append((value, on_delivery))

    def poll(self, timeout: float) -> int:
        if self.away:
            return 0
        waiting, self._waiting = self._waiting, []
        for value, on_delivery in waiting:
            on_delivery(self.fails.get(value), None)
        return len(waiting)

    def flush(self, timeout: float) -> int:
        raise AssertionError("a ring flushes by polling")

    @property
    def under_way(self) -> int:
        """Records that it did not acknowledge."""
        return len(self._waiting)


@contextmanager
def opened(file: Path, broker: Broker, max_bytes: int = 16 * MIB) -> Iterator[DiskRing]:
    """A ring without its thread: it moves when it is polled. Closed as a process ends that is killed."""
    ring = DiskRing(file, SETTINGS, max_bytes=max_bytes, outbox=broker)
    yield ring
    ring._store.close()


def put(ring: DiskRing, *values: bytes, what: str = "vehicle") -> None:
    """A bundle."""
    with ring.together(what):
        for value in values:
            ring.produce("t", value, b"k", on_delivery=lambda fault, _: None)


def test_what_a_killed_process_left_goes_first_as_it_was(tmp_path: Path) -> None:
    """In its order, and once more only what was not acknowledged."""
    file, before, after = tmp_path / "rings" / "a.sqlite", Broker(), Broker()
    with opened(file, before) as ring:
        put(ring, b"1", b"2")
        ring.poll(0)
        before.away = True
        put(ring, b"3", b"4")
        put(ring, b"5")
        ring.poll(0)
        assert (before.taken, ring.waiting) == ([b"1", b"2", b"3", b"4", b"5"], 3)
    with opened(file, after) as ring:
        assert ring.waiting == 3
        put(ring, b"6")
        assert after.taken == [b"3", b"4", b"5"], "one of another run waits for those"
        assert ring.flush(5) == 0
        assert (after.taken, ring.waiting, ring.dropped) == ([b"3", b"4", b"5", b"6"], 0, {})
    with opened(file, Broker()) as ring:
        assert ring.waiting == 0


def test_the_oldest_that_are_not_under_way_are_dropped_whole_and_counted(tmp_path: Path) -> None:
    """On disk it stays within its bound; what is under way arrives; the counts outlive the process."""
    broker, file = Broker(), tmp_path / "a.sqlite"
    broker.away = True
    with opened(file, broker, MIB) as ring:
        for number in range(100):
            put(ring, *[bytes([number, part]) + bytes(9_000) for part in range(3)])
        put(ring, bytes([100, 0]) + bytes(9_000), what="view")
        under_way = [value[0] for value in broker.taken]
        assert under_way == sorted(under_way)
        assert file.stat().st_size <= MIB + 64 * 1024
        dropped = ring.dropped["vehicle"]
        assert 50 < dropped < 100
    broker = Broker()
    with opened(file, broker, MIB) as ring:
        assert ring.dropped == {"vehicle": dropped}
        assert ring.flush(5) == 0
        arrived = [value[0] for value in broker.taken]
        assert len(set(arrived)) == 101 - dropped
        assert all(arrived.count(number) == (1 if number == 100 else 3) for number in set(arrived)), "whole ones"
        assert set(under_way) <= set(arrived)
        put(ring, bytes([7]) * 2 * MIB)
        assert (ring.dropped, ring.waiting) == ({"vehicle": dropped + 1}, 0), "larger than all of it"


def test_ingest_can_tell_every_repeat(tmp_path: Path) -> None:
    """Killed again and again after the broker took what it then cannot report: each frame counts once, none is too old.

    Negative control: frames of more boots than ingest remembers, sent at once, would count twice.
    """
    file, window, counted = tmp_path / "a.sqlite", CameraWindow(), 0
    published, log = 0, list[bytes]()
    for _ in range(BOOTS + 4):
        broker = Broker()
        broker.away = True
        with opened(file, broker, 64 * MIB) as ring:
            publisher = Publisher(SETTINGS, camera="gate", outbox=ring)
            for _ in range(10):
                publisher.publish(JPEG)
                published += 1
        log += broker.taken
        assert broker.under_way <= IN_FLIGHT < WIDTH
    with opened(file, last := Broker(), 64 * MIB) as ring:
        assert ring.flush(5) == 0
    codec, verdicts = Codec(), list[Verdict]()
    for value in log + last.taken:
        frame = codec.decode(value, Frame)
        verdicts.append(window.take(frame.boot, frame.sequence, 1))
    counted = verdicts.count(Verdict.NEW)
    assert (counted, verdicts.count(Verdict.TOO_OLD)) == (published, 0)
    assert window.duplicates == (BOOTS + 4) * 10, "those of the first run were under way each time"
    control = CameraWindow()
    boots = [f"b{number}" for number in range(BOOTS + 1)] * 2
    assert [control.take(boot, 0, 1) for boot in boots].count(Verdict.NEW) > BOOTS + 1


def test_no_more_are_under_way_than_ingest_remembers(tmp_path: Path) -> None:
    """A backlog of thousands goes out as it is acknowledged."""
    broker = Broker()
    broker.away = True
    with opened(tmp_path / "a.sqlite", broker) as ring:
        for number in range(3 * IN_FLIGHT):
            put(ring, b"%d" % number)
        assert broker.under_way == IN_FLIGHT
        broker.away = False
        assert ring.flush(5) == 0
        assert broker.taken == [b"%d" % number for number in range(3 * IN_FLIGHT)]


def test_what_no_broker_takes_is_counted_and_what_this_one_refuses_stays(tmp_path: Path) -> None:
    """Or it would end each start; who published it hears of it."""
    fails = {
        b"large": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE),
        b"mine": KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED),
    }
    heard: list[str] = []
    with opened(tmp_path / "a.sqlite", Broker(fails)) as ring:
        for value in (b"large", HUGE, b"good", b"mine"):
            ring.produce("t", value, b"k", on_delivery=lambda fault, _: heard.append(fault and fault.name()))
        with pytest.raises(Unavailable, match="does not take what lies in the ring"):
            ring.flush(5)
        assert heard == ["MSG_SIZE_TOO_LARGE", "MSG_SIZE_TOO_LARGE", None, "TOPIC_AUTHORIZATION_FAILED"]
        assert (ring.waiting, ring.dropped) == (1, {"refused": 2})
        with pytest.raises(Unavailable):
            put(ring, b"next")
    with opened(tmp_path / "a.sqlite", broker := Broker()) as ring:
        ring.flush(5)
        assert (broker.taken, ring.waiting) == ([b"mine"], 0)


def test_a_publisher_that_is_refused_says_so(tmp_path: Path) -> None:
    """As without a ring; and a bundle that fails half-way is not kept."""
    broker = Broker()
    with opened(tmp_path / "a.sqlite", broker) as ring:
        publisher = Publisher(SETTINGS, camera="gate", outbox=ring)
        broker.away = True
        name = publisher.publish(JPEG)
        broker.away = False
        broker.fails[broker.taken[0]] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        ring.poll(0)
        with pytest.raises(Undelivered) as refused:
            publisher.publish(JPEG)
        assert refused.value.frames == [name]
    with opened(tmp_path / "b.sqlite", broker := Broker()) as ring:
        publisher = Publisher(SETTINGS, camera="gate", outbox=ring)

        def half() -> None:
            with ring.together("vehicle"):
                publisher.publish(JPEG)
                publisher.publish(b"no picture")

        with pytest.raises(BadRecord):
            half()
        put(ring)
        assert (broker.taken, ring.waiting) == ([], 0)


def test_its_thread_hands_on_while_nobody_publishes(tmp_path: Path) -> None:
    """A camera may be silent when the broker comes back."""
    broker = Broker()
    with DiskRing(tmp_path / "a.sqlite", SETTINGS, outbox=broker) as ring:
        broker.away = True
        for number in range(IN_FLIGHT + 10):
            put(ring, b"%d" % number)
        broker.away = False
        while ring.waiting:
            time.sleep(0.01)  # the limit of the test's time is its end
    assert len(broker.taken) == IN_FLIGHT + 10


def test_a_file_that_is_no_ring_or_in_use_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it; what cannot be written any more, too."""
    file = tmp_path / "a.sqlite"
    file.write_bytes(b"no ring at all" * 1_000)
    with pytest.raises(Misconfigured, match=r"is no ring that can be read .*move it away"):
        DiskRing(file, SETTINGS, outbox=Broker())
    file.rename(tmp_path / "away")
    monkeypatch.setattr("catseye.client.ring_store._LOCKED_S", 0.01)
    with opened(file, Broker()) as ring:
        with pytest.raises(Misconfigured, match="is in use: there is one process to a ring"):
            DiskRing(file, SETTINGS, outbox=Broker())
        ring._store._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(Unavailable, match="cannot be written: database or disk is full"):
            put(ring, bytes(20_000))
    with pytest.raises(Misconfigured, match="cannot be made"):
        DiskRing(file / "b.sqlite", SETTINGS, outbox=Broker())
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(Misconfigured, match="newer Catseye"):
        DiskRing(file, SETTINGS, outbox=Broker())


def test_each_camera_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Whatever stands in its name, and however long it is."""
    cameras = ["gate 7", "gate/7", "../gate-7", "gate-7", "ü" * 200, "ü" * 199, "a" * 200]
    files = {ring_file(tmp_path, camera) for camera in cameras}
    assert len(files) == len(cameras)
    assert {file.parent for file in files} == {tmp_path}
    assert max(len(file.name) for file in files) < 100
