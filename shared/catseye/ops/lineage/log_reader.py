"""Topics, read by offset: no group and no commits, so that reading the log disturbs no consumer.

Committed records only. The end of a partition is its last stable offset at the moment of asking: what a transaction
holds open above it is not waited for. One consumer and one admin client serve a whole command, since each of them costs
tens of milliseconds to make.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured, Unavailable
from catseye.contract.records import Place, Record
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import client_config, in_words, once_led, reader_config
from catseye.kafka.reading import ENDS_SHOWN, Chunk, Part, read_to
from catseye.settings import Settings

ANSWER_S = 10.0
CHUNK = 5_000
CHUNK_S = 0.02
"""Longest wait for a chunk's first record: a command counts its milliseconds."""

AT_ONCE = {"log_level": 0, "reconnect.backoff.ms": 10}
"""librdkafka puts off its second connection, which is the one that fetches, by half of its pause between two tries."""

R = TypeVar("R", bound=Record)
_SPECS = cast("Any", OffsetSpec)  # absent from the client's own types
_EARLIEST, _LATEST = _SPECS.earliest(), _SPECS.latest()
Bounds = dict[Part, tuple[int, int]]
"""First offset that is kept, and the last stable offset."""


class LogReader:
    """The topics of one fleet.

    Args:
        settings: How to reach the broker.
        codec: Reads records.

    Raises:
        Unavailable: the broker does not answer; any method may raise it too.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._prefix = settings.topic_prefix
        self.codec = codec
        self._admin = AdminClient(client_config(settings) | AT_ONCE)
        config = reader_config(settings, f"{settings.topic_prefix}lineage")
        config |= {**ENDS_SHOWN, "fetch.wait.max.ms": 5, **AT_ONCE}
        self._reader = Consumer(config)
        # For single records: with the usual fetch a megabyte of what follows is sent and unpacked, which takes 0.1 s.
        self._picker = Consumer(config | {"fetch.message.max.bytes": 65_536})
        self.unreadable = 0
        """Records of `records` that could not be read so far; commands report the number."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()
        self._picker.close()

    def identity(self, names: Sequence[str]) -> dict[str, str]:
        """What is new when a topic or the cluster is made anew: ``cluster`` and full names to the ids they have.

        Raises:
            Misconfigured: a topic does not exist.
        """
        topics = [full_name(name, self._prefix) for name in names]
        try:
            described = self._admin.describe_topics(TopicCollection(topics), request_timeout=ANSWER_S)
            ids = {topic: str(future.result().topic_id) for topic, future in described.items()}
            cluster = self._admin.list_topics(topics[0], timeout=ANSWER_S).cluster_id
        except KafkaException as fault:
            raise _reported(fault, ", ".join(topics)) from fault
        return {"cluster": str(cluster), **ids}

    def bounds(self, names: Sequence[str]) -> Bounds:
        """Bounds of every partition of the topics *names*, without their prefix.

        Raises:
            Misconfigured: a topic does not exist.
        """
        topics = {full_name(name, self._prefix) for name in names}
        try:
            # Asked by the reader: a topic whose leader it does not know yet costs it a second at the first fetch.
            there = self._reader.list_topics(timeout=ANSWER_S).topics
            if missing := sorted(topics - there.keys()):
                raise Misconfigured(_no_topic(missing[0]))
            parts = [
                TopicPartition(topic, partition) for topic in sorted(topics) for partition in there[topic].partitions
            ]
            firsts, ends = (self._offsets(parts, spec) for spec in (_EARLIEST, _LATEST))
        except KafkaException as fault:
            raise _reported(fault, ", ".join(sorted(topics))) from fault
        return {part: (first, ends[part]) for part, first in firsts.items()}

    def since(self, bounds: Bounds, at_ms: int) -> dict[Part, int]:
        """The first offset of each partition of *bounds* that was written at *at_ms* or later; its end where none was.

        Args:
            bounds: As `bounds` gives them.
            at_ms: The broker's clock, Unix milliseconds.
        """
        try:
            found = self._offsets([TopicPartition(*part) for part in bounds], _SPECS.for_timestamp(at_ms))
        except KafkaException as fault:
            raise _reported(fault, ", ".join(sorted({topic for topic, _ in bounds}))) from fault
        return {
            part: min(max(found[part], first), end) if found[part] >= 0 else end
            for part, (first, end) in bounds.items()
        }

    def read(self, wanted: Mapping[Part, tuple[int, int]], reader: Consumer | None = None) -> Iterator[Chunk]:
        """Messages from the first offset of each partition to before its second, in chunks.

        Args:
            wanted: Partition to offsets.
            reader: Left out, the one for long reads.

        Yields:
            Messages, in order within a partition, and the offset that each partition mentioned is read up to.
        """
        reader = reader or self._reader
        try:
            for chunk in read_to(reader, wanted, most=CHUNK, poll_s=CHUNK_S):
                if chunk.positions:
                    yield chunk
        finally:
            reader.unassign()  # else it goes on fetching megabytes behind the one record that was wanted

    def records(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """All records of the topics *names*, by partition and offset; unreadable ones are counted.

        Raises:
            Misconfigured: a topic does not exist.
        """
        messages = [message for chunk, _ in self.read(self.bounds(names)) for message in chunk]
        messages.sort(key=lambda message: (message.partition(), message.offset()))
        found: dict[str, list[Any]] = {name: [] for name in names}
        for message in messages:
            name = message.topic().removeprefix(self._prefix)
            kind = BY_NAME[name].record
            if kind is None or message.value() is None:
                continue  # a tombstone of a compacted topic
            try:
                found[name].append(self.codec.decode(message.value(), kind))
            except BadRecord:
                self.unreadable += 1
        return found

    def at(self, places: Iterable[Place]) -> dict[Place, bytes | None]:
        """What lies at each of *places*, of which no two share a partition; None where nothing (any more) lies.

        Raises:
            Misconfigured: a topic does not exist.
        """
        asked = list(places)
        found: dict[Place, bytes | None] = dict.fromkeys(asked)
        bounds = self.bounds([place.topic.removeprefix(self._prefix) for place in asked])
        wanted: dict[Part, tuple[int, int]] = {}
        for place in asked:
            first, end = bounds.get((place.topic, place.partition), (0, 0))
            if first <= place.offset < end:
                wanted[place.topic, place.partition] = (place.offset, place.offset + 1)
        by_part = {(place.topic, place.partition): place for place in asked}
        try:
            self._picker.list_topics(timeout=ANSWER_S)  # as in `bounds`
        except KafkaException as fault:
            raise _reported(fault, ", ".join(sorted({place.topic for place in asked}))) from fault
        for messages, _ in self.read(wanted, self._picker):
            for message in messages:
                found[by_part[message.topic(), message.partition()]] = message.value()
        return found

    def decode(self, value: bytes | None, kind: type[R]) -> R:
        """Raises `BadRecord` as `Codec.decode` does."""
        return self.codec.decode(value, kind)

    def _offsets(self, parts: list[TopicPartition], spec: OffsetSpec) -> dict[Part, int]:
        def ask() -> dict[Part, int]:
            asked = self._admin.list_offsets(
                dict.fromkeys(parts, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_S
            )
            return {(part.topic, part.partition): int(future.result().offset) for part, future in asked.items()}

        return once_led(ask)


def _reported(fault: KafkaException, topics: str) -> Misconfigured | Unavailable:
    if fault.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return Misconfigured(_no_topic(topics))
    return Unavailable(f"{topics} cannot be read: {in_words(fault.args[0])}")


def _no_topic(topics: str) -> str:
    return f"there is no {topics}: `catseye topics create` makes the topics; is CATSEYE_TOPIC_PREFIX right?"
