"""The one way to read topics to their end.

Law: the end is a position, never the offset of a last record, since markers of transactions leave holes between
offsets; what lies below it in a transaction that is still open is waited for.

What reads on for ever has loops of its own: a worker, the follower of `models`, and a subscription of the SDK, which at
its end asks the partitions themselves, open transactions not included, and may wait for records in a group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from catseye.contract.errors import Unavailable
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import SILENT, in_words, log_bounds, partition_bounds, reader_config

if TYPE_CHECKING:
    from catseye.settings import Settings

CHUNK = 10_000
"""Most records of one chunk."""
POLL_S = 0.05
"""Longest wait for the first record of a chunk, seconds."""
QUIET_S = 30.0
"""Nothing for so long, and the end not reached: the topic cannot be read."""
ENDS_SHOWN = {"enable.partition.eof": True}
"""Setting of a consumer that `read_to` can read with: an end of a partition is an event with the position there."""
FATAL_CODES = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._FATAL,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""Errors of a read that no further try mends. Of one that comes as a record, `fatal()` is never true."""

Part = tuple[str, int]
"""Full name of a topic, and partition."""


class Chunk(NamedTuple):
    """What one call of the client brought; often nothing.

    Attributes:
        messages: Below the ends, in order within a partition.
        positions: The offset up to which each partition that something came of is read now.
    """

    messages: list[Any]
    positions: dict[Part, int]


def message_at(consumer: Any, place: TopicPartition, wait_s: float) -> Any:
    """The one record at a place, for whoever needs it by itself; None where none is kept there, or none came in time.

    Args:
        consumer: Has nothing assigned; has nothing again afterwards.
        place: Where it lies.
        wait_s: Longest wait for it, seconds.

    Raises:
        KafkaException: no broker answers.
    """
    first, end = partition_bounds(consumer, place)
    if not first <= place.offset < end:
        return None
    consumer.assign([place])
    message = consumer.poll(wait_s)
    consumer.unassign()
    return None if message is None or message.error() or message.offset() != place.offset else message


def partitions_of(settings: Settings, name: str) -> list[int]:
    """Partitions of the topic *name* of the table, which has no prefix."""
    return list(range(settings.partitions if BY_NAME[name].by_camera else 1))


def read_to_end(settings: Settings, name: str, *, quiet_s: float = QUIET_S) -> Iterator[Any]:
    """Every committed record of a topic, from its first to its high watermark at the first call.

    Args:
        settings: Where the brokers are.
        name: Of the table of topics, without prefix.
        quiet_s: As in `read_to`.

    Yields:
        Messages, in order within a partition.

    Raises:
        Unavailable: the broker does not answer, or the end was not reached.
    """
    topic = full_name(name, settings.topic_prefix)
    bounds = log_bounds(settings, topic, partitions_of(settings, name))
    reader = Consumer(reader_config(settings, f"{topic}.read-to-end") | ENDS_SHOWN | SILENT | {"fetch.wait.max.ms": 50})
    try:
        for chunk in read_to(reader, {(topic, partition): own for partition, own in bounds.items()}, quiet_s=quiet_s):
            yield from chunk.messages
    finally:
        reader.close()


def read_to(
    reader: Consumer,
    wanted: Mapping[Part, tuple[int, int]],
    *,
    most: int = CHUNK,
    poll_s: float = POLL_S,
    quiet_s: float = QUIET_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Chunk]:
    """Read each partition from its first offset to before its second.

    The reader is assigned what is wanted, and stays so; whoever reads on with it assigns anew.

    Args:
        reader: A consumer with `ENDS_SHOWN`.
        wanted: Partition to offsets.
        most: Records of a chunk.
        poll_s: Longest wait for the first record of a chunk, seconds.
        quiet_s: How long nothing may come, seconds; infinite waits for transactions that are open for as long as they
            are.
        monotonic: Seconds that only grow.

    Yields:
        A chunk after each call of the client, also when nothing came: whoever must do something meanwhile can.

    Raises:
        Unavailable: a partition cannot be read, or nothing came for *quiet_s* seconds.
    """
    left = {part: end for part, (first, end) in wanted.items() if end > first}
    if not left:
        return
    reader.assign([TopicPartition(*part, wanted[part][0]) for part in left])
    most = min(most, sum(end - wanted[part][0] for part, end in left.items()))
    last_s, trouble = monotonic(), ""
    while left:
        messages: list[Any] = []
        positions: dict[Part, int] = {}
        for message in _next(reader, most, poll_s, sorted(left)[0][0]):
            error, part = message.error(), (message.topic(), message.partition())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                trouble = _passing(error, part[0])
            elif (end := left.get(part)) is not None:
                offset = message.offset()
                if error is None and offset < end:
                    messages.append(message)
                # Where a partition ends, the offset is a position: below *end*, a transaction is open there.
                positions[part] = min(offset + (error is None), end)
        for part, position in positions.items():
            if position >= left[part]:
                del left[part]
        if positions:
            last_s, trouble = monotonic(), ""
        elif monotonic() - last_s > quiet_s:
            raise Unavailable(
                f"{sorted(left)[0][0]} cannot be read to its end: nothing came for {quiet_s:.0f} s, and partitions "
                f"{sorted({partition for _, partition in left})} are not there yet{trouble}"
            )
        yield Chunk(messages, positions)


def _next(reader: Consumer, most: int, poll_s: float, topic: str) -> list[Any]:
    """What the client has, at most *most* records; a chunk that will not be full is not waited for."""
    try:
        first = reader.poll(poll_s)
        return [] if first is None else [first, *(reader.consume(most - 1, 0) if most > 1 else [])]
    except KafkaException as fault:
        raise Unavailable(f"{topic} cannot be read: {in_words(fault.args[0])}") from fault


def _passing(error: KafkaError, topic: str | None) -> str:
    """What to add to a sentence about an error that may pass. Raises `Unavailable` for one that will not."""
    if error.fatal() or error.code() in FATAL_CODES:
        raise Unavailable(f"{topic or 'a topic'} cannot be read: {in_words(error)}")
    return f" ({in_words(error)})"
