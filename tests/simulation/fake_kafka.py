"""A broker in memory with the clients that the worker has: logs, transactions, a group, faults on order.

As far as the worker can see it behaves as the real one; tests/system/test_worker.py tells the same stories
(tests/simulation/worker_stories.py) to a real broker. What it does not have: time, a network, more than one group.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from catseye.contract.message import Headers
from catseye.kafka.topics_now import TopicNow

Place = tuple[str, int]


@dataclass
class Entry:
    """What takes an offset: a record, or the marker that ends a transaction (no record then)."""

    record: tuple[bytes | None, bytes | None] | None
    fate: str = "committed"  # or "open", "aborted"


class Message:
    """A record or an error, as a consumer gives it; satisfies `catseye.runtime.stream.Message`."""

    def __init__(self, place: Place, offset: int, entry: Entry | None = None, fault: KafkaError | None = None) -> None:
        self._place, self._offset, self._entry, self._fault = place, offset, entry, fault

    def error(self) -> KafkaError | None:
        return self._fault

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._entry.record[0] if self._entry and self._entry.record else None

    def value(self) -> bytes | None:
        return self._entry.record[1] if self._entry and self._entry.record else None

    def timestamp(self) -> tuple[int, int]:
        return 2, self._offset

    def headers(self) -> None:
        return None


@dataclass
class Broker:
    """Logs, committed offsets, and the partitions that the one member of the group shall have."""

    logs: dict[Place, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    first: dict[Place, int] = field(default_factory=dict)
    offsets: dict[Place, int] = field(default_factory=dict)
    unknown: Any = None  # a place whose committed offset cannot be said: a TopicPartition with an error
    given: list[Place] | None = None  # what the group says next; [] takes everything away
    counts: dict[str, int] = field(default_factory=dict)  # partitions of topics; of others nobody can say
    ids: dict[str, str] = field(default_factory=dict)  # of topics, where they matter
    metadata: dict[Place, str] = field(default_factory=dict)  # what was committed beside the offsets
    generation: int = 0  # of the group: who has an older one has lost its partitions, told or not
    faults: dict[str, list[Exception | None]] = field(default_factory=lambda: defaultdict(list))
    on_poll: list[Callable[[], None] | None] = field(default_factory=list)  # happens at the start of the next polls
    on_consume: list[Callable[[], None] | None] = field(default_factory=list)

    def append(self, place: Place, key: bytes | None, value: bytes | None, fate: str = "committed") -> Entry:
        """Write one record. Returns its entry, whose fate a transaction decides."""
        entry = Entry((key, value), fate)
        self.logs[place].append(entry)
        return entry

    def end(self, entries: Sequence[tuple[Place, Entry]], fate: str) -> None:
        """End a transaction: its records get their fate, each of its partitions a marker."""
        for _, entry in entries:
            entry.fate = fate
        for place in dict.fromkeys(place for place, _ in entries):
            self.logs[place].append(Entry(None))

    def stable(self, place: Place) -> int:
        """Last stable offset: the first record whose fate is open, or the end."""
        fates = [entry.fate for entry in self.logs[place]]
        return fates.index("open") if "open" in fates else len(fates)

    def committed(self, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
        """Partition, key and value of what a read_committed reader sees of a topic."""
        return [
            (place[1], *entry.record)
            for place, log in sorted(self.logs.items())
            if place[0] == topic
            for entry in log
            if entry.record is not None and entry.fate == "committed"
        ]

    def fail(self, call: str, *faults: Exception | None) -> None:
        """Let the next calls of a client's method fail; None lets one pass."""
        self.faults[call] += faults

    def ask(self, call: str) -> None:
        """Raise what was ordered for *call*."""
        if self.faults[call] and (fault := self.faults[call].pop(0)):
            raise fault

    def serving_versions(self, generation: int) -> None:
        """Refuse offsets of a member that the group goes on without (KIP-447)."""
        if generation != self.generation:
            raise kafka_fault(KafkaError.ILLEGAL_GENERATION, abort=True)


def kafka_fault(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    """What librdkafka raises."""
    return KafkaException(KafkaError(code, "on order", fatal, retriable, abort))


class FakeConsumer:
    """Satisfies what the worker, its restore and `catseye.kafka.log_bounds` use of a Consumer."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker = broker
        self.config = config
        self._positions: dict[Place, int] = {}
        self._consumed: set[Place] = set()
        self._paused: set[Place] = set()
        self._notified_end: dict[Place, int] = {}
        self._callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self._member = False
        self._leaves = False
        self.left = False
        self.generation = -1
        self.closed = False

    def subscribe(self, topics: list[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        self._callbacks = callbacks

    def unsubscribe(self) -> None:
        self._leaves = True

    def memberid(self) -> str:
        return "somebody" if self._member else ""

    def assign(self, places: list[TopicPartition]) -> None:
        self._positions = {(place.topic, place.partition): place.offset for place in places}
        self._consumed, self._paused, self._notified_end = set(), set(), {}

    def unassign(self) -> None:
        self.assign([])

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._positions]

    def pause(self, places: list[TopicPartition]) -> None:
        self._paused |= {(place.topic, place.partition) for place in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self._paused -= {(place.topic, place.partition) for place in places}

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        known = [((place.topic, place.partition) in self._consumed, place) for place in places]
        return [
            TopicPartition(
                place.topic, place.partition, self._positions[place.topic, place.partition] if seen else -1001
            )
            for seen, place in known
        ]

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._broker.ask("committed")
        if self._broker.unknown is not None:
            return [self._broker.unknown]
        return [
            TopicPartition(
                place.topic,
                place.partition,
                self._broker.offsets.get((place.topic, place.partition), -1001),
                self._broker.metadata.get((place.topic, place.partition), ""),
            )
            for place in places
        ]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        self._broker.ask("get_watermark_offsets")
        at = (place.topic, place.partition)
        return self._broker.first.get(at, 0), len(self._broker.logs[at])

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        self._broker.ask("commit")
        self._broker.serving_versions(self.generation)
        self._broker.offsets |= {(place.topic, place.partition): place.offset for place in offsets}
        self._broker.metadata |= {(place.topic, place.partition): place.metadata or "" for place in offsets}

    def consumer_group_metadata(self) -> object:
        return self

    def poll(self, timeout: float) -> Message | None:
        if self._callbacks:
            if self._broker.on_poll and (then := self._broker.on_poll.pop(0)):
                then()
            self._serve_group()
        elif self._broker.faults["restored"]:
            fault: Any = self._broker.faults["restored"].pop(0)
            return Message(next(iter(self._positions)), -1, fault=fault.args[0])
        return next(iter(self._some(1)), None)

    def consume(self, most: int, timeout: float) -> list[Message]:
        if self._callbacks:
            if self._broker.on_consume and (then := self._broker.on_consume.pop(0)):
                then()
            self._serve_group()
        return self._some(most)

    def close(self) -> None:
        if self.closed:
            return  # as the real one
        self.closed = True
        if self._callbacks and self._member:
            self._callbacks["on_revoke"](self, self.assignment())

    def _serve_group(self) -> None:
        if self._leaves:
            if self._member:
                self._member = False
                self._callbacks["on_revoke"](self, self.assignment())
                self.left = True
            return
        given, self._broker.given = self._broker.given, None
        if given is None:
            return
        if self._member:
            self._member = False
            self._callbacks["on_revoke"](self, self.assignment())
        if given:
            self._member = True
            self._broker.generation += 1
            self.generation = self._broker.generation
            self._callbacks["on_assign"](self, [TopicPartition(*place) for place in given])

    def _some(self, most: int) -> list[Message]:
        """The next records of every partition in turn; with ends of partition where they are asked for."""
        faults, found = self._broker.faults["record"], list[Message]()
        while faults and len(found) < most:
            fault = faults.pop(0)
            assert isinstance(fault, KafkaException)
            found.append(Message(next(iter(self._positions), ("", 0)), -1, fault=fault.args[0]))
        for place in self._positions:
            if place in self._paused:
                continue
            start = self._broker.first.get(place, 0)
            if not start <= self._positions[place] <= len(self._broker.logs[place]):
                reset = KafkaError(KafkaError._AUTO_OFFSET_RESET, "fetch failed due to requested offset not available")
                found.append(Message(place, self._positions[place], fault=reset))
                continue
            found += self._of(place, most - len(found))
        return found

    def _of(self, place: Place, most: int) -> list[Message]:
        found, end = list[Message](), self._broker.stable(place)
        while self._positions[place] < end and len(found) < most:
            offset = self._positions[place]
            entry = self._broker.logs[place][offset]
            self._positions[place] = offset + 1
            if entry.record is not None and entry.fate == "committed":
                self._consumed.add(place)
                found.append(Message(place, offset, entry))
        at_end = self._positions[place] >= end and len(found) < most
        if self.config.get("enable.partition.eof") and at_end and self._notified_end.get(place) != end:
            self._notified_end[place] = end
            found.append(Message(place, end, fault=KafkaError(KafkaError._PARTITION_EOF)))
        return found


class FakeTopics:
    """Satisfies what the worker uses of `TopicsNow`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.known: Mapping[str, TopicNow] = {}

    def ask(self) -> Mapping[str, TopicNow]:
        """Topics with as many partitions, and the ids, as a test says."""
        self._broker.ask("describe_topics")
        counts, ids = self._broker.counts, self._broker.ids
        self.known = {name: TopicNow(ids.get(name, ""), counts.get(name, 0)) for name in counts.keys() | ids.keys()}
        return self.known


class FakeProducer:
    """Satisfies what the worker uses of a Producer."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker = broker
        self.config = config
        self._transactional = "transactional.id" in config
        self._open: list[tuple[Place, Entry]] | None = None
        self._offsets: dict[Place, int] = {}
        self._metadata: dict[Place, str] = {}
        self.polled = self.waited = 0  # polls, and those among them that wait for room

    def init_transactions(self, timeout: float) -> None:
        self._broker.ask("init_transactions")

    def begin_transaction(self) -> None:
        self._broker.ask("begin_transaction")
        assert self._open is None, "the transaction before is still open"
        self._open, self._offsets = [], {}

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        headers: Headers | None = None,
    ) -> None:
        self._broker.ask("produce")
        if self._transactional:
            assert self._open is not None, "no transaction is open"
            self._open.append(((topic, partition), self._broker.append((topic, partition), key, value, "open")))
        elif self._broker.faults["delivery"]:
            fault = self._broker.faults["delivery"].pop(0)
            self.config["on_delivery"](fault.args[0] if fault else None, None)
        else:
            self._broker.append((topic, partition), key, value)

    def poll(self, timeout: float) -> int:
        self.polled += 1
        self.waited += timeout > 0
        self._broker.ask("poll")
        return 0

    def flush(self) -> int:
        return 0

    def list_topics(self, topic: str, timeout: float) -> None:
        self._broker.ask("list_topics")

    def lose_connections(self) -> None:
        """No broker answers any more."""
        self.config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))

    def send_offsets_to_transaction(self, places: list[TopicPartition], metadata: FakeConsumer, timeout: float) -> None:
        self._broker.ask("send_offsets_to_transaction")
        assert places, "nothing is sent to the group then, and nothing is checked"
        self._broker.serving_versions(metadata.generation)
        self._offsets = {(place.topic, place.partition): place.offset for place in places}
        self._metadata = {(place.topic, place.partition): place.metadata or "" for place in places}

    def commit_transaction(self, timeout: float) -> None:
        self._broker.ask("commit_transaction")
        self._broker.offsets |= self._offsets
        self._broker.metadata |= self._metadata
        self._done("committed")

    def abort_transaction(self, timeout: float) -> None:
        self._broker.ask("abort_transaction")
        self._done("aborted")

    def _done(self, fate: str) -> None:
        assert self._open is not None, "no transaction is open"
        self._broker.end(self._open, fate)
        self._open = None
