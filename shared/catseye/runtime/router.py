"""Between the worker and a core: bytes come in as records and records go out as bytes, once for all services.

Law: a record that cannot be read or is refused goes to the dead letters with its bytes and the place where it was
published, and the stream goes on. A core writes to no topic that its service does not declare.

A core has, for each topic that its service reads, a method `on_RECORD` that is named after the topic's record
(``on_accepted_frame`` for `AcceptedFrame`). It gets the record, the message that carried it, the state of the message's
partition and our clock, and returns what is to be written; it may raise `BadRecord`. A public topic may have partitions
that no state belongs to: the state is None then. What else a core may have:

- ``begin(batch, states, now_ms)``: called before a batch; returns the messages that it takes, in the order wanted.
- ``end(states, now_ms)``: called after a batch; returns what is to be written.
- ``on_time(states, now_ms)``: time went by; returns what is to be written.
- ``roads``: hops of which it is to know how far they have worked, and ``on_progress(*roads)``: gets the `Progress` of
  each before a batch or `on_time`, whenever there is a new one.
- ``listens``: whether it is to know what is wrong with services, by their heartbeats, and ``on_faults(faults)``: gets
  the `Faults` before a batch or `on_time`, whenever they are looked at.
- ``in_parts``: topics of whose records the core reads a part, or more or less as it finds; `on_RECORD` gets an
  `Unread`.
- ``max_bytes``: topic to the longest value that is decoded.
- ``on_records(batch, topics, states, now_ms)``: instead of all that comes before, for a core that reads and writes a
  whole batch in one pass. It gets the messages with the names of their topics, decodes them itself, refuses with
  `Refusal`, and may return an `Output` that it encoded.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple

from catseye.contract.codec import Codec
from catseye.contract.dead_letters import dead_letter, source_of
from catseye.contract.errors import BadRecord
from catseye.contract.identity import partition_of
from catseye.contract.message import Message
from catseye.contract.names import camera_of
from catseye.contract.origin import as_published, origin_of
from catseye.contract.records import Record
from catseye.contract.topics import BY_NAME, Topic, full_name
from catseye.runtime.presence import Faults
from catseye.runtime.progress import Progress
from catseye.runtime.stream import Output, S

DEAD_LETTERS = "dead-letters"


class Forward(NamedTuple):
    """A record that goes round through another topic that its service reads: its value byte for byte, where it lay in a
    header.

    Attributes:
        topic: Name without the prefix.
        camera: Whose record it is.
        message: As it came.
    """

    topic: str
    camera: str
    message: Message


class Unread(NamedTuple):
    """A record of which as much is read as is asked for; both ways of reading raise `BadRecord`.

    Attributes:
        codec: Reads it.
        kind: Its record.
        value: As it came.
    """

    codec: Codec
    kind: type[Record]
    value: bytes | None

    def leading(self, last: str) -> dict[str, Any]:
        """Its fields up to *last*."""
        return self.codec.leading_fields(self.value, self.kind, last)

    def whole(self) -> Any:
        """All of it."""
        return self.codec.decode(self.value, self.kind)


class Refusal(NamedTuple):
    """A message that a core refuses after it took it."""

    message: Message
    fault: BadRecord


Written = Record | Output | Forward | Refusal
"""What a core returns. The topic of an `Output` has no prefix."""


class _Read(NamedTuple):
    """How the records of one topic come in."""

    decode: Callable[[bytes | None], Any]
    handle: Callable[[Any, Message, Any, int], Iterable[Written]]
    kind: type[Record]


class Router(Generic[S]):
    """Runs a core that knows records as a `catseye.runtime.stream.Core` that knows bytes.

    Args:
        core: Decides. Has `new_state`, `counted` and `events` of `Tally`, and the methods named above.
        service: Name of the service; stands in its dead letters.
        reads: Topics that it reads, without prefix.
        writes: Topics that it may write. Without ``dead-letters`` what is refused is counted and dropped.
        codec: Reads and writes records.
        prefix: Of topic names.
        partitions: Partitions of every topic that a camera is the key of.

    Raises:
        TypeError: the core has no method for a topic, or two topics that it writes carry the same record.
    """

    def __init__(
        self,
        core: Any,
        service: str,
        reads: Sequence[str],
        writes: Sequence[str],
        codec: Codec,
        prefix: str,
        partitions: int,
    ) -> None:
        self._core = core
        self._service = service
        self._codec = codec
        self._partitions = partitions
        self._reads = {full_name(name, prefix): self._read(BY_NAME[name]) for name in reads}
        self._names = {name: full_name(name, prefix) for name in writes}
        self._writes: dict[type[Record], Topic] = {}
        for topic in (BY_NAME[name] for name in writes):
            if topic.record is not None and self._writes.setdefault(topic.record, topic) is not topic:
                raise TypeError(f"{service} writes {topic.record.__name__} to more than one topic")
        self._refuses = DEAD_LETTERS in writes
        self._rounds = self._reads.keys() & self._names.values()
        self._bare = {full_name(name, prefix): name for name in reads}
        self._on_records = getattr(core, "on_records", None)
        self._begin = getattr(core, "begin", None)
        self._end = getattr(core, "end", None)

    def new_state(self) -> S:
        state: S = self._core.new_state()
        return state

    def counted(self) -> Counter[str]:
        counts: Counter[str] = self._core.counted()
        return counts

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, S], now_ms: int) -> list[Output]:
        if self._on_records:
            topics = [self._bare[message.topic()] for message in batch]
            return list(self._rows(self._on_records(batch, topics, states, now_ms), now_ms))
        if self._begin:
            batch = self._begin(batch, states, now_ms)
        rows: list[Output] = []
        for message in batch:
            read = self._reads[message.topic()]
            try:
                state = states.get(message.partition())  # of a topic that anybody writes, there may be none
                written = read.handle(read.decode(message.value()), message, state, now_ms)
            except BadRecord as fault:
                rows += self._refused(message, fault, now_ms)
            else:
                if written:  # of most records of a service that takes batches together nothing comes at once
                    rows += self._rows(written, now_ms)
        if self._end:
            rows += self._rows(self._end(states, now_ms), now_ms)
        return rows

    def on_time(self, states: Mapping[int, S], now_ms: int) -> list[Output]:
        return list(self._rows(self._core.on_time(states, now_ms), now_ms))

    def on_partitions(self, counts: Mapping[str, int]) -> None:
        self._core.on_partitions({bare: counts[full] for full, bare in self._bare.items() if full in counts})

    def on_progress(self, *roads: Progress) -> None:
        self._core.on_progress(*roads)

    def on_faults(self, faults: Faults) -> None:
        self._core.on_faults(faults)

    def _read(self, topic: Topic) -> _Read:
        assert topic.record is not None, "a state topic is restored, not read"
        kind, codec = topic.record, self._codec
        longest = getattr(self._core, "max_bytes", {}).get(topic.name, 2**31)

        def whole(value: bytes | None) -> Record:
            return codec.decode(value, kind, max_bytes=longest)

        def unread(value: bytes | None) -> Unread:
            return Unread(codec, kind, value)

        name = "on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        handle: Any = getattr(self._core, name, None)
        if handle is None and not hasattr(self._core, "on_records"):
            raise TypeError(f"{self._service} reads {topic.name} and {type(self._core).__name__} has no {name}")
        in_parts = topic.name in getattr(self._core, "in_parts", ())
        return _Read(unread if in_parts else whole, handle, kind)

    def _rows(self, written: Iterable[Written], now_ms: int) -> Iterator[Output]:
        for each in written:
            if isinstance(each, Record):
                yield self._row(each)
            elif isinstance(each, Output):
                yield Output(self._names[each.topic], *each[1:])
            elif isinstance(each, Forward):
                home = partition_of(each.camera, self._partitions)
                key, value = each.camera.encode(), each.message.value()
                yield Output(self._names[each.topic], home, key, value, origin_of(each.message))
            else:
                yield from self._refused(each.message, each.fault, now_ms)

    def _row(self, record: Record) -> Output:
        try:
            topic = self._writes[type(record)]
        except KeyError:
            raise TypeError(
                f"{self._service} does not declare a topic that it writes {type(record).__name__} to"
            ) from None
        partition = partition_of(record.camera, self._partitions) if topic.by_camera else 0  # type: ignore[attr-defined]
        return Output(self._names[topic.name], partition, topic.key_of(record), self._codec.encode(record))

    def _refused(self, message: Message, fault: BadRecord, now_ms: int) -> list[Output]:
        """The dead letter of a message: with its camera, where that can be read, and then at its home."""
        self._core.events[f"dead_{fault.reason}"] += 1
        if not self._refuses:
            return []
        kind = self._reads[message.topic()].kind
        if message.topic() in self._rounds:
            message = as_published(message)
        return [
            Output(
                self._names[DEAD_LETTERS],
                *refused(self._service, self._codec, kind, message, fault, now_ms, self._partitions),
            )
        ]


def refused(
    service: str,
    codec: Codec,
    kind: type[Record],
    message: Message,
    fault: BadRecord,
    now_ms: int,
    partitions: int,
) -> tuple[int, bytes, bytes]:
    """Partition, key and value of the dead letter of a *message* that should have been a *kind*.

    It has the camera where that can be read, and lies where that camera's records do.
    """
    camera = _camera(codec, kind, message)
    # A public topic may have more partitions than the dead letters have.
    home = message.partition() % partitions if camera is None else partition_of(camera, partitions)
    letter = dead_letter(service, message, fault, now_ms, camera=camera)
    return home, source_of(message), codec.encode(letter)


def _camera(codec: Codec, kind: type[Record], message: Message) -> str | None:
    """Camera of a record that is refused; None where it has none, or none that is a name."""
    if kind.__struct_fields__[0] != "camera":
        return None
    try:
        return camera_of(str(codec.leading_fields(message.value(), kind, "camera")["camera"]))
    except BadRecord:
        return None
