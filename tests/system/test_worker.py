"""The worker's stories, told to a real broker, and those that need two workers or a broker's own rules."""

import gc
import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from catseye.contract.errors import Misconfigured
from catseye.kafka.admin import admin, create_topics
from catseye.kafka.clients import client_config, reader_config
from catseye.kafka.reading import read_to_end
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.stream import KeyedState
from catseye.runtime.worker import Worker
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from tests.simulation.worker_stories import *  # noqa: F403 - the tests themselves
from tests.simulation.worker_stories import PARTITIONS, READ, STATE, WRITTEN, Counting, Recorder, Until, counts

pytestmark = pytest.mark.broker

SESSION_MS = 2_000
ANSWER_S = 60.0  # of a broker beside other work: what takes longer hangs


class Left:
    """A transaction that is open on the broker."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def end(self, fate: str) -> None:
        if fate == "committed":
            self._producer.commit_transaction(ANSWER_S)
        else:
            self._producer.abort_transaction(ANSWER_S)


class OnBroker:
    """A `World` with topics of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._writer = Producer(client_config(settings))

    def publish(self, *keys: bytes, partition: int = 0) -> None:
        for key in keys:
            self._writer.produce(self.full(READ), b"", key, partition)
        assert self._writer.flush(ANSWER_S) == 0

    def publish_in_transaction(self, *keys: bytes) -> None:
        producer = Producer(
            client_config(self.settings) | {"transactional.id": f"{self.settings.topic_prefix}publisher"}
        )
        producer.init_transactions(ANSWER_S)
        producer.begin_transaction()
        for key in keys:
            producer.produce(self.full(READ), b"", key, 0)
        producer.commit_transaction(ANSWER_S)

    def lag(self) -> int:
        reader = Consumer(reader_config(self.settings, f"{self.settings.topic_prefix}ingest"))
        places = [TopicPartition(self.full(READ), partition) for partition in range(PARTITIONS)]
        ends = [reader.get_watermark_offsets(place, timeout=ANSWER_S)[1] for place in places]
        committed = [max(place.offset, 0) for place in reader.committed(places, timeout=ANSWER_S)]
        reader.close()
        return sum(ends) - sum(committed)

    def seen(self) -> list[tuple[int, bytes | None, bytes | None]]:
        found = sorted(read_to_end(self.settings, WRITTEN), key=lambda message: int(message.partition()))
        return [(message.partition(), message.key(), message.value()) for message in found]

    def worker(
        self,
        core: Counting | None = None,
        *,
        delivery: str = "exactly_once",
        state: bool = True,
        instance: str = "0",
    ) -> tuple[Worker[KeyedState], Recorder]:
        probe = Recorder()
        made = Worker(
            "ingest",
            core or Counting(self.full(WRITTEN)),
            [self.full(READ)],
            self.full(STATE) if state else None,
            self.settings.model_copy(update={"delivery": delivery, "instance": instance}),
            clock=lambda: 0,
            probe=probe,
        )
        return made, probe

    def full(self, topic: str) -> str:
        return f"{self.settings.topic_prefix}{topic}"

    def until(self, done: Callable[[], bool]) -> Until:
        return Until(done)

    def leave_open(self, key: bytes, value: bytes) -> Left:
        producer = Producer(client_config(self.settings) | {"transactional.id": f"{self.settings.topic_prefix}other"})
        producer.init_transactions(ANSWER_S)
        producer.begin_transaction()
        producer.produce(self.full(STATE), value, key, 0)
        assert producer.flush(ANSWER_S) == 0
        return Left(producer)

    def move(self, offset: int) -> None:
        group = f"{self.settings.topic_prefix}ingest"
        mover = Consumer(reader_config(self.settings, group))
        mover.commit(offsets=[TopicPartition(self.full(READ), 0, offset)], asynchronous=False)
        mover.close()


@pytest.fixture
def world(broker: KafkaCluster, prefix: str) -> Iterator[OnBroker]:
    """Topics of this test's own, gone after it."""
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=prefix,
        partitions=PARTITIONS,
        session_timeout_ms=SESSION_MS,
    )
    names = create_topics(settings)
    before = gc.get_threshold()
    yield OnBroker(settings)
    gc.unfreeze()
    gc.set_threshold(*before)
    client = admin(settings)
    for gone in client.delete_topics(names).values():
        gone.result(ANSWER_S)


class Beside(threading.Thread):
    """A worker that runs beside the test.

    Attributes:
        fault: What it ended with.
    """

    def __init__(self, worker: Worker[KeyedState], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._worker = worker
        self._stop_it = stop
        self.fault: Exception | None = None

    def run(self) -> None:
        try:
            self._worker.run(self._stop_it)
        except (Misconfigured, WorkerFailed, KafkaException) as fault:
            self.fault = fault


def test_partitions_move_and_nothing_is_lost_or_done_twice(world: OnBroker) -> None:
    """A second worker comes, takes a partition with its state, and goes; records come in all the while."""
    expected: list[tuple[int, bytes | None, bytes | None]] = []

    def more() -> int:
        for partition in range(PARTITIONS):
            world.publish(b"a", b"a", partition=partition)
        return 2 * PARTITIONS

    first, seen_by_first = world.worker(instance="first")
    second, seen_by_second = world.worker(instance="second")
    published, stop = more(), threading.Event()
    beside = Beside(first, stop)
    beside.start()

    def shared() -> bool:
        nonlocal published
        if seen_by_second.ready and len(seen_by_second.assignments) < 50 and published < 40:
            published += more()
        return seen_by_second.records > 0 and seen_by_first.records + seen_by_second.records >= published

    second.run(world.until(shared))
    published += more()
    alone = world.until(lambda: seen_by_first.records + seen_by_second.records >= published)
    while not alone.is_set():
        beside.join(0.05)
    stop.set()
    beside.join(ANSWER_S)
    each = published // PARTITIONS
    for partition in range(PARTITIONS):
        expected += [(partition, key, count) for _, key, count in counts(*[b"a"] * each)]
    assert beside.fault is None
    assert world.seen() == expected


def test_a_worker_whose_place_another_took_fails(world: OnBroker) -> None:
    """Same service, same instance: the older one is fenced and says so, whether or not it has work."""
    older, seen_by_older = world.worker()
    beside = Beside(older, threading.Event())
    beside.start()
    ready = world.until(lambda: seen_by_older.ready)
    while not ready.is_set():
        beside.join(0.05)
    newer, seen_by_newer = world.worker()
    world.publish(b"a")  # the older one may still do it, or try to
    newer.run(world.until(lambda: seen_by_older.records + seen_by_newer.records >= 1 and not beside.is_alive()))
    assert isinstance(beside.fault, WorkerFailed)
    assert world.seen() == counts(b"a")


def test_a_worker_whose_transactions_another_took_fails(world: OnBroker) -> None:
    """Its next transaction is refused (KIP-98), by type."""
    worker, probe = world.worker()
    world.publish(b"a")
    usurped: list[Producer] = []

    def usurp() -> bool:
        if probe.records >= 1 and not usurped:
            usurped.append(
                Producer(client_config(world.settings) | {"transactional.id": f"{world.settings.topic_prefix}ingest.0"})
            )
            usurped[0].init_transactions(ANSWER_S)
            world.publish(b"b")
        return False

    with pytest.raises(WorkerFailed, match=r"cannot go on after|cannot write"):
        worker.run(world.until(usurp))
    assert world.seen() == counts(b"a")


def test_topics_that_do_not_fit_together_stop_the_start(world: OnBroker) -> None:
    """Another number of partitions, or no such topic."""
    world.settings = world.settings.model_copy(update={"partitions": PARTITIONS + 1})
    with pytest.raises(Misconfigured, match="has 2 partitions, CATSEYE_PARTITIONS asks for 3"):
        world.worker()[0].run(world.until(lambda: False))
    world.settings = world.settings.model_copy(update={"topic_prefix": "nothing-here."})
    with pytest.raises(Misconfigured, match="does not exist"):
        world.worker()[0].run(world.until(lambda: False))
