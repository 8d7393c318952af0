"""What every peer is fed, what reads its output, and what calls it wrong.

A record is 300 bytes: 8 of id, 8 of count (0 on the way in), 284 that never change. Ids run 0, 1, 2, … over one
topic, so a missing and a repeated record both show, and the count that belongs to an id is known beforehand.

Loading and reading are one process's work (the harness's, on the broker's core): whoever reads the last record can
look at the measured process's clock at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

RECORD_BYTES = 300
HEAD_BYTES = 16
PAYLOAD = bytes(i % 251 for i in range(RECORD_BYTES - HEAD_BYTES))
HEAD = np.dtype([("id", ">i8"), ("count", ">i8")])
COPIED = 1
"""What a stateless peer writes into the count of every record: the small transform."""

Ints = npt.NDArray[np.int64]


NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
}
"""What a broker says of a topic that was made a moment ago."""
_NO_COORDINATOR_YET = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


_STANDS_STILL_S = 1.0


class LoadRecord(NamedTuple):
    """One record of a load.

    Attributes:
        key: Of the record.
        value: Of the record.
        partition: Where it belongs.
    """

    key: bytes
    value: bytes
    partition: int


class TimedOutError(RuntimeError):
    """A peer did not bring the records in time; the message says how far it came."""


class Topics:
    """Create and delete the topics of one measurement.

    Args:
        bootstrap: Broker address.
    """

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

    def create(self, name: str, *, partitions: int, compacted: bool = False) -> str:
        """Create one topic and return its name."""
        config = {"cleanup.policy": "compact" if compacted else "delete"}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
        for created in self._admin.create_topics([topic]).values():
            created.result(30)
        return name

    def named(self, part: str) -> list[str]:
        """Return the topics whose name contains *part*, peers' own changelogs included."""
        return sorted(name for name in self._admin.list_topics(timeout=30).topics if part in name)

    def delete(self, names: Sequence[str]) -> None:
        """Delete topics so that a long run does not fill the disk."""
        if names:
            for deleted in self._admin.delete_topics(list(names)).values():
                deleted.result(30)


@dataclass(frozen=True)
class Deck:
    """The records of one measurement, as numbers: who has which key, and which count it must come back with.

    Attributes:
        key: Key number of each id, in the order in which they are sent.
        expected: Count that a correct peer writes for each id.
        keys: How many keys there are.
    """

    key: Ints
    expected: Ints
    keys: int

    @classmethod
    def deal(cls, records: int, *, keys: int, counted: bool, seed: int) -> Deck:
        """Draw *records* keys out of *keys*, each equally likely.

        Args:
            records: How many ids.
            keys: How many keys.
            counted: True where the peer must number the records of each key 1, 2, 3, …
            seed: Of the draw.
        """
        key = np.random.default_rng(seed).integers(0, keys, records)
        return cls(key, occurrences(key) if counted else np.full(records, COPIED, np.int64), keys)

    def totals(self) -> list[int]:
        """Return how often each key that occurs at all occurs, sorted: what the durable state must end as."""
        return sorted(int(n) for n in np.bincount(self.key, minlength=self.keys) if n)


def occurrences(key: Ints) -> Ints:
    """Return for each element the how-manieth of its value it is, from 1, in order of appearance."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(key) else np.array([], np.int64)
    within = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    counted = np.empty(len(key), np.int64)
    counted[order] = within + 1
    return counted


def producer(bootstrap: str) -> Producer:
    """Return a producer that fills topics fast."""
    return Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.num.messages": 10_000, "acks": "all", "log_level": 2}
    )


def load(bootstrap: str, topic: str, deck: Deck, *, start: int, stop: int, partitions: int) -> None:
    """Write records *start* to *stop* of *deck* to *topic*; a key stays on one partition."""
    loader = producer(bootstrap)
    names = [b"key-%06d" % k for k in range(deck.keys)]
    for at in range(start, stop, 10_000):
        end = min(at + 10_000, stop)
        batch = [
            LoadRecord(names[k], i.to_bytes(8, "big") + bytes(8) + PAYLOAD, int(k) % partitions)
            for i, k in enumerate(deck.key[at:end].tolist(), at)
        ]
        send(loader, topic, batch)
    finish(loader)


class Loader(Protocol):
    """What is needed of a confluent_kafka.Producer."""

    def produce(self, topic: str, value: bytes, key: bytes, partition: int) -> None: ...
    def poll(self, timeout: float) -> int: ...


def send(loader: Loader, topic: str, batch: Sequence[LoadRecord]) -> None:
    """Hand records to the producer, each for its partition; one that finds the queue full is tried again.

    One at a time: `produce_batch` accepts a partition and ignores it (findings/produce-batch-ignores-partition.sh).
    """
    for record in batch:
        while True:
            try:
                loader.produce(topic, record.value, record.key, record.partition)
            except BufferError:
                loader.poll(0.05)
            else:
                break
    loader.poll(0)


def finish(loader: Producer) -> None:
    """Wait until the broker has everything."""
    if left := loader.flush(60):
        raise TimedOutError(f"the broker did not take the last {left:,} records of the load in 60 s")


@dataclass
class Read:
    """What a read_committed reader has seen.

    Attributes:
        heads: First 16 bytes of every value, one `bytes` a batch.
        seen: How many records.
        value_bytes: Sum of the values' lengths.
    """

    heads: list[bytes] = field(default_factory=list)
    seen: int = 0
    value_bytes: int = 0

    def add(self, values: Sequence[bytes]) -> None:
        """Take one batch of values."""
        self.heads.append(b"".join([value[:HEAD_BYTES] for value in values]))
        self.seen += len(values)
        self.value_bytes += sum(map(len, values))


def end_of(reader: Consumer, tp: TopicPartition, *, timeout_s: float = 30) -> int:
    """Return the high watermark of a partition; a topic that was just made may need a moment to have a leader."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            return int(reader.get_watermark_offsets(tp, timeout=timeout_s)[1])
        except KafkaException as failed:
            if failed.args[0].code() not in NOT_YET or time.monotonic() > until:
                raise


class Sink:
    """A read_committed reader of one topic, all partitions, from the start.

    Args:
        bootstrap: Broker address.
        topic: To read.
        partitions: Of the topic.
        take: Called with the values of every batch.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, take: Callable[[Sequence[bytes]], None]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"sink-{topic}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": 2,
                "queued.min.messages": 200_000,
            }
        )
        self._partitions = [TopicPartition(topic, p, 0) for p in range(partitions)]
        self._consumer.assign(self._partitions)
        self._take = take
        self._seen = 0

    def read_until(self, records: int, *, alive: Callable[[], bool], timeout_s: float = 300) -> int:
        """Read until *records* in all were seen.

        Args:
            records: Counted from the first call.
            alive: Whether the peer still runs; a dead one is not waited for.
            timeout_s: Longest wait.

        Returns:
            Wall clock of the last batch, in ns (`time.perf_counter_ns`).
        """
        until = time.monotonic() + timeout_s
        while self._seen < records:
            self._poll(0.05)
            if time.monotonic() > until or not alive():
                raise TimedOutError(f"saw {self._seen:,} of {records:,} records")
        return time.perf_counter_ns()

    def read_rest(self, *, timeout_s: float = 60) -> None:
        """Read to the end of the log as it stands now, so that a repeat after the last record is seen too."""
        ends = {tp.partition: end_of(self._consumer, tp) for tp in self._partitions}
        until = time.monotonic() + timeout_s
        while any(position < ends[p] for p, position in self._positions().items()):
            self._poll(0.05)
            if time.monotonic() > until:
                raise TimedOutError(f"the end of the output was not reached after {self._seen:,} records")

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _positions(self) -> dict[int, int]:
        return {tp.partition: max(tp.offset, 0) for tp in self._consumer.position(self._partitions)}

    def _poll(self, timeout_s: float) -> None:
        batch: list[Message] = self._consumer.consume(10_000, timeout_s)
        for message in batch:
            if message.error():
                raise KafkaException(message.error())
        if batch:
            self._take([message.value() or b"" for message in batch])
            self._seen += len(batch)


def faults(read: Read, deck: Deck) -> list[str]:
    """Say what is wrong with what was read; nothing means: every record once, each with its count.

    Args:
        read: Of the peer's output.
        deck: Of its input.
    """
    head = np.frombuffer(b"".join(read.heads), HEAD)
    ids, counts = head["id"].astype(np.int64), head["count"].astype(np.int64)
    known = (ids >= 0) & (ids < len(deck.key))
    times = np.bincount(ids[known], minlength=len(deck.key))
    wrong = int(np.count_nonzero(counts[known] != deck.expected[ids[known]]))
    found = [
        (int(np.count_nonzero(~known)), "records that nobody sent"),
        (int(np.count_nonzero(times == 0)), "records lost"),
        (int(np.count_nonzero(times > 1)), "records repeated"),
        (wrong, "records with a wrong count"),
        (abs(read.value_bytes - read.seen * RECORD_BYTES), "bytes too many or too few"),
    ]
    return [f"{n:,} {what}" for n, what in found if n]


def latest(bootstrap: str, topics: Sequence[str]) -> dict[bytes, bytes]:
    """Return the last committed value of each key in compacted *topics*: durable state, as a restart would find it."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "state", "isolation.level": "read_committed"}
        | {"enable.auto.commit": False, "enable.partition.eof": False}
    )
    found: dict[bytes, bytes] = {}
    for topic in topics:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        for tp in (TopicPartition(topic, p, 0) for p in partitions):
            _read_into(found, consumer, tp)
    consumer.close()
    return found


def _read_into(found: dict[bytes, bytes], consumer: Consumer, tp: TopicPartition) -> None:
    end = end_of(consumer, tp)
    consumer.assign([tp])
    until = time.monotonic() + 30
    while max(consumer.position([tp])[0].offset, 0) < end:
        for message in consumer.consume(10_000, 0.05):
            key, value = message.key() or b"", message.value()
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        if time.monotonic() > until:
            raise TimedOutError(f"the state topic {tp.topic} could not be read to its end in 30 s")


def state_faults(state: dict[bytes, bytes], deck: Deck) -> list[str]:
    """Say whether durable counts differ from the true ones; a count is 8 bytes big-endian or decimal digits."""
    counts = sorted(int.from_bytes(raw, "big") if raw[:1] == b"\0" else int(raw) for raw in state.values())
    totals = deck.totals()
    if counts == totals:
        return []
    return [
        f"durable state has {len(counts):,} keys that add up to {sum(counts):,}, not {len(totals):,} to {sum(totals):,}"
    ]


class Lag:
    """How far a group is behind, seen from outside.

    Args:
        bootstrap: Broker address.
        group: Whose committed offsets are read.
        places: Topics and how many partitions they have.
    """

    def __init__(self, bootstrap: str, group: str, places: Mapping[str, int]) -> None:
        self._settings = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False}
        self._reader = Consumer(self._settings)
        self._places = [TopicPartition(topic, p) for topic, partitions in places.items() for p in range(partitions)]

    def left(self) -> int:
        """Return how many records the committed offsets leave unread; 0 after a clean stop."""
        committed = self._committed()
        ends = [end_of(self._reader, tp) for tp in committed]
        return sum(end - max(tp.offset, 0) for tp, end in zip(committed, ends, strict=True))

    def _committed(self) -> list[TopicPartition]:
        """Positions of the group; on a broker that has just started its coordinator is found after a moment."""
        until = time.monotonic() + 30
        while True:
            try:
                return list(self._reader.committed(self._places, timeout=30))
            except KafkaException as fault:
                if fault.args[0].code() not in _NO_COORDINATOR_YET or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def wait(self, *, alive: Callable[[], bool], timeout_s: float = 900) -> int:
        """Return when nothing is left, with the wall clock of that moment in ns."""
        until = time.monotonic() + timeout_s
        before, since = 0, time.monotonic()
        while left := self.left():
            if time.monotonic() > until or not alive():
                raise TimedOutError(f"{left:,} records are still unread")
            if left != before:
                before, since = left, time.monotonic()
            elif left <= len(self._places) and time.monotonic() - since > _STANDS_STILL_S and self._only_markers():
                break
            time.sleep(0.02)
        return time.perf_counter_ns()

    def _only_markers(self) -> bool:
        """Whether behind the positions of the group there is nothing but the ends of transactions: a worker passes one
        only with the next record."""
        reader = Consumer(self._settings | {"enable.partition.eof": True, "auto.offset.reset": "earliest"})
        try:
            reader.assign(self._committed())
            ends = 0
            while ends < len(self._places):
                message = reader.poll(30)
                fault = None if message is None else message.error()
                if fault is None:
                    return False
                ends += fault.code() == KafkaError._PARTITION_EOF
            return True
        finally:
            reader.close()

    def close(self) -> None:
        """Leave."""
        self._reader.close()
