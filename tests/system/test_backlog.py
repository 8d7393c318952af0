"""What waits for a process, told by a real broker: true to the record under transactions, which offsets are not."""

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from catseye import clock
from catseye.contract.records import Backlog
from catseye.contract.topics import full_name
from catseye.kafka.admin import create_topics
from catseye.kafka.clients import client_config, log_bounds, reader_config
from catseye.runtime import backlog
from catseye.runtime.backlog import BacklogWatch, Part, group_places
from catseye.runtime.stream import KeyedState
from catseye.runtime.worker import Worker
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from tests.simulation.worker_stories import Counting
from tests.system.running import wait_until

pytestmark = pytest.mark.broker

TOPIC = "frames.accepted"


class Waiting:
    """A topic with two partitions, who writes to it in transactions, and what waits on it.

    Args:
        settings: With a prefix of this test's own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.full = full_name(TOPIC, settings.topic_prefix)
        self.places: dict[Part, int] = {(self.full, 0): 0, (self.full, 1): 0}
        self.watch = BacklogWatch(settings, lambda: self.places, lambda _: None, clock.now_ms)
        self._writer = Producer(client_config(settings) | {"transactional.id": f"{settings.topic_prefix}writer"})
        self._writer.init_transactions(30)

    def write(self, records: int, *, each: int, partition: int = 0, commit: bool = True) -> None:
        """So many, *each* a transaction."""
        for start in range(0, records, each):
            self._writer.begin_transaction()
            for _ in range(start, min(start + each, records)):
                self._writer.produce(self.full, b"x", b"k", partition)
            assert self._writer.flush(30) == 0
            if commit:
                self._writer.commit_transaction(30)
            else:
                self._writer.abort_transaction(30)

    def by_offsets(self) -> int:
        """What those show who take offsets for records."""
        ends = {part: end for part, (_, end) in log_bounds(self.settings, self.full, [0, 1]).items()}
        return sum(ends[partition] - place for (_, partition), place in self.places.items())

    def records(self) -> int:
        (found,) = self.watch.measure()
        assert found.topic == TOPIC
        return found.records


@pytest.fixture
def waiting(broker: KafkaCluster, prefix: str) -> Iterator[Waiting]:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, partitions=2)
    create_topics(settings)
    made = Waiting(settings)
    yield made
    made.watch.close()


def test_a_backlog_is_counted_to_the_record(waiting: Waiting) -> None:
    """However many markers and aborted records lie between; its age is that of the oldest. Offsets show another one."""
    assert waiting.watch.measure() == [Backlog(topic=TOPIC, records=0, oldest_ms=0)]
    began_ms = clock.now_ms()
    waiting.write(12, each=1)
    waiting.write(30, each=10, partition=1)
    waiting.write(20, each=20, commit=False)
    (found,) = waiting.watch.measure()
    assert found.records == 42
    assert 0 <= found.oldest_ms <= clock.now_ms() - began_ms + 1_000
    assert waiting.by_offsets() == 12 * 2 + 30 + 3 + 20 + 1
    waiting.places[waiting.full, 0] = 2 * 5
    assert waiting.records() == 7 + 30


def test_a_marker_behind_the_last_record_is_no_backlog(waiting: Waiting) -> None:
    """At rest a group stands before it, for which offsets show one a partition."""
    waiting.write(5, each=5)
    waiting.write(3, each=3, partition=1)
    waiting.places |= {(waiting.full, 0): 5, (waiting.full, 1): 3}
    assert waiting.by_offsets() == 2
    assert waiting.watch.measure() == [Backlog(topic=TOPIC, records=0, oldest_ms=0)]


def test_a_long_backlog_is_estimated_by_its_beginning(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is behind the records that are read the same share is markers."""
    monkeypatch.setattr(backlog, "RECORDS_MOST", 20)
    waiting.write(60, each=5)
    assert waiting.records() == pytest.approx(60, abs=3)
    assert waiting.by_offsets() == 72


def test_a_worker_says_what_waits_for_it(waiting: Waiting) -> None:
    """Nothing before it has partitions, and nothing once it has worked off all; the group's own places say the same."""
    settings = waiting.settings
    worker: Worker[KeyedState] = Worker(
        "ingest",
        Counting(full_name("predictions", settings.topic_prefix)),
        [waiting.full],
        None,
        settings,
        clock=clock.now_ms,
    )
    watch = BacklogWatch(settings, worker.places, lambda _: None)
    of_group = BacklogWatch(settings, group_places(settings, f"{settings.topic_prefix}ingest", [TOPIC]), lambda _: None)
    assert watch.measure() == []
    waiting.write(30, each=3)
    assert of_group.measure()[0].records == 30
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        at_rest = [Backlog(topic=TOPIC, records=0, oldest_ms=0)]
        wait_until(lambda: watch.measure() == at_rest, "the worker has worked off all")
        assert of_group.measure() == at_rest
    finally:
        stop.set()
        thread.join()
        watch.close()
        of_group.close()
    reader = Consumer(reader_config(settings, f"{settings.topic_prefix}ingest"))
    assert reader.committed([TopicPartition(waiting.full, 0)], timeout=10)[0].offset > 0
    reader.close()
