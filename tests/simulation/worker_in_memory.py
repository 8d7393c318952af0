"""The worker on a broker in memory: the world of tests/simulation/worker_stories.py that needs no Kafka."""

import gc
from collections.abc import Callable, Iterator

import pytest

from catseye.kafka import clients
from catseye.runtime import outbox, restore, worker
from catseye.runtime.stream import KeyedState
from catseye.runtime.worker import Worker
from catseye.settings import Settings
from tests.simulation.fake_kafka import Broker, Entry, FakeConsumer, FakeProducer, FakeTopics, Place
from tests.simulation.worker_stories import PARTITIONS, READ, STATE, WRITTEN, Counting, Recorder, Until

PREFIX = "test."
TURNS = 2_000


class Left:
    """A transaction that is open on the broker in memory."""

    def __init__(self, broker: Broker, entries: list[tuple[Place, Entry]]) -> None:
        self._broker = broker
        self._entries = entries

    def end(self, fate: str) -> None:
        self._broker.end(self._entries, fate)


class InMemory:
    """A `World` without a broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.topics = FakeTopics(broker)

    def publish(self, *keys: bytes, partition: int = 0) -> None:
        for key in keys:
            self.broker.append((PREFIX + READ, partition), key, b"")

    def publish_in_transaction(self, *keys: bytes) -> None:
        place = (PREFIX + READ, 0)
        self.broker.end([(place, self.broker.append(place, key, b"", "open")) for key in keys], "committed")

    def lag(self) -> int:
        places = [(PREFIX + READ, partition) for partition in range(PARTITIONS)]
        return sum(len(self.broker.logs[place]) - self.broker.offsets.get(place, 0) for place in places)

    def seen(self) -> list[tuple[int, bytes | None, bytes | None]]:
        return self.broker.committed(PREFIX + WRITTEN)

    def worker(
        self,
        core: Counting | None = None,
        *,
        delivery: str = "exactly_once",
        state: bool = True,
        interval_ms: float = 0,
        made_anew: Callable[[str], None] = lambda topic: None,
    ) -> tuple[Worker[KeyedState], Recorder]:
        probe = Recorder()
        settings = Settings(
            topic_prefix=PREFIX,
            partitions=PARTITIONS,
            delivery=delivery,  # type: ignore[arg-type]
            transaction_interval_ms=interval_ms,
        )
        self.broker.given = [(PREFIX + READ, partition) for partition in range(PARTITIONS)]
        made = Worker(
            "ingest",
            core or Counting(PREFIX + WRITTEN),
            [PREFIX + READ],
            PREFIX + STATE if state else None,
            settings,
            clock=lambda: 0,
            probe=probe,
            made_anew=made_anew,
        )
        return made, probe

    def full(self, topic: str) -> str:
        return PREFIX + topic

    def until(self, done: Callable[[], bool]) -> Until:
        return Until(done, TURNS)

    def leave_open(self, key: bytes, value: bytes) -> Left:
        place = (PREFIX + STATE, 0)
        return Left(self.broker, [(place, self.broker.append(place, key, value, "open"))])

    def move(self, offset: int) -> None:
        self.broker.offsets[PREFIX + READ, 0] = offset


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemory]:
    """The clients of the modules that make some are those of one broker in memory; time goes by quickly."""
    broker = Broker()
    world = InMemory(broker)
    for module in (worker, restore, clients):
        monkeypatch.setattr(module, "Consumer", lambda config: FakeConsumer(broker, config))
    monkeypatch.setattr(outbox, "Producer", lambda config: FakeProducer(broker, config))
    monkeypatch.setattr(worker, "TopicsNow", lambda settings, names: world.topics)
    monkeypatch.setattr(worker, "check_partitions", lambda settings, names: None)
    monkeypatch.setattr(worker, "TICK_S", 0.0)
    before = gc.get_threshold()
    yield world
    gc.unfreeze()
    gc.set_threshold(*before)
