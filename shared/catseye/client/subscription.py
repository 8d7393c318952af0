"""Subscribe to what Catseye says, from plain Python."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from catseye.client.config import LONGEST_MS, kafka_logger, settings_or_environment
from catseye.client.process import OwnProcess
from catseye.client.reading import From, Reading, Unreadable
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import Place
from catseye.kafka.clients import in_words, partition_bounds, reader_config
from catseye.kafka.registry import codec_for

if TYPE_CHECKING:
    from catseye.settings import Settings

_POLL_S = 0.2  # a signal is seen at least this often
_ANSWER_S = 10.0
_MOVED_ON = frozenset(
    {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID}
)  # the group is being shared out anew


class Inbox(Protocol):
    """What is needed of a confluent_kafka.Consumer that was told what to read."""

    def poll(self, timeout: float) -> Any: ...
    def store_offsets(self, *, message: Any) -> None: ...
    def close(self) -> None: ...


def log_unreadable(unreadable: Unreadable) -> None:
    """Report through the standard library's logging, as a warning of ``catseye.client``."""
    place = unreadable.place
    logging.getLogger("catseye.client").warning(
        "unreadable record skipped at %s-%d offset %d: %s: %s",
        place.topic,
        place.partition,
        place.offset,
        unreadable.reason,
        unreadable.detail,
    )


def log_fallen_off(topic: str, partition: int, offset: int, earliest: int) -> None:
    """Report likewise that what a reader wanted next is not on the log, and where it goes on."""
    missing = f"{earliest - offset} records were deleted unread" if offset < earliest else "the topic was made anew"
    logging.getLogger("catseye.client").warning(
        "%s-%d: the reader was at offset %d, which is not on the log: %s; it goes on with the earliest, offset %d",
        topic,
        partition,
        offset,
        missing,
        earliest,
    )


class Subscription:
    """Records of a topic as they come; made by `subscribe`.

    Args:
        reading: What is wanted.
        codec: Reads records.
        inbox: Gives messages.
        commits: Whether positions are kept for a group: each when the next record is asked for, sent once a second.
        timeout_s: Stop after so long without a wanted record; None waits for ever.
        ends: Partitions whose end stops the subscription, once each has said so; none of them waits for ever.
    """

    def __init__(
        self,
        reading: Reading,
        codec: Codec,
        inbox: Inbox,
        *,
        commits: bool,
        timeout_s: float | None,
        ends: frozenset[int] = frozenset(),
    ) -> None:
        self._reading = reading
        self._codec = codec
        self._inbox = inbox
        self._commits = commits
        self._timeout_s = timeout_s
        self._ends = ends
        self._ended: set[int] = set()
        self._handed_out: Any = None
        self._process = OwnProcess("a subscription")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._process.check()
        self._take(self._handed_out)
        self._handed_out = None
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not self._ends or self._ended < self._ends:
            if deadline is not None and time.monotonic() > deadline:
                raise StopIteration
            message = self._inbox.poll(_POLL_S)
            if message is None or self._is_event(message):
                continue
            record = self._reading.record(self._codec, message.partition(), message.offset(), message.value())
            if record is not None:
                self._handed_out = message
                return record
            self._take(message)
        raise StopIteration

    @property
    def place(self) -> Place | None:
        """Where the record handed out last lies; None before the first one."""
        last = self._handed_out
        return last and Place(topic=self._reading.name, partition=last.partition(), offset=last.offset())

    def close(self) -> None:
        """Leave. The record handed out last counts as taken."""
        self._process.check()
        self._take(self._handed_out)
        self._handed_out = None
        self._inbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if fault is not None:
            self._handed_out = None  # whoever failed over a record gets it again
        self.close()

    def _take(self, message: Any) -> None:
        """A record counts as taken; None is none."""
        if not self._commits or message is None:
            return
        try:
            self._inbox.store_offsets(message=message)
        except KafkaException as fault:
            # The partition has moved to another member, which gets the record again.
            if fault.args[0].code() != KafkaError._STATE:
                raise Unavailable(f"the position in {self._reading.name} was not kept: {fault}") from fault

    def _is_event(self, message: Any) -> bool:
        fault = message.error()
        if fault is None:
            return False
        if fault.code() == KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        elif fault.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Misconfigured(no_topic(self._reading.name))
        elif fault.fatal() or not fault.retriable():
            raise Unavailable(f"{self._reading.name} cannot be read: {fault}")
        return True


def subscribe(
    topic: str,
    *,
    camera: str | None = None,
    group: str | None = None,
    from_: From = "now",
    settings: Settings | None = None,
    timeout_s: float | None = None,
    until_end: bool = False,
    on_unreadable: Callable[[Unreadable], None] = log_unreadable,
) -> Subscription:
    """Read a topic, committed records only.

    ::

        from catseye.client import subscribe

        with subscribe("predictions", camera="gate-7") as predictions:
            for prediction in predictions:
                sure = prediction.probabilities[prediction.label]
                print(prediction.sequence, prediction.label, f"{sure:.0%}")

        for alert in subscribe("alerts", group="my-pager", from_="beginning"):
            print(alert.state, alert.camera, alert.explanation)

    A record that nobody can read is reported to *on_unreadable* and skipped. A reader that was away for longer than
    records are kept goes on with the earliest that is still there; a warning says how many it missed.

    Args:
        topic: predictions, outcomes, statistics, alerts, or another name of the table of topics.
        camera: Only this camera's records.
        group: Members of one group share the records, and the group goes on where it left off: a record counts as
            taken when the next one is asked for, so that after a crash one may come again. It may take a day, as a
            training does. Without a group every subscriber gets all.
        from_: ``now`` or ``beginning``. For a group only where it has no position yet: it has one, on every partition,
            as soon as it has joined. Kafka forgets it when the group had no member for a week
            (``offsets.retention.minutes``).
        settings: Where the brokers are; left out, the environment's.
        timeout_s: Stop after so long without a record; left out, wait for ever.
        until_end: Stop where the topic ended when the reader got there; without a group only.
        on_unreadable: Gets records that cannot be read; left out, they are logged as a warning.

    Raises:
        Misconfigured: no such topic.
        Unavailable: no broker answers.
    """
    settings = settings_or_environment(settings)
    if group is not None and until_end:
        raise Misconfigured("a group shares a topic's partitions, so no member sees its end: leave one of the two out")
    reading = Reading(topic, settings.topic_prefix, camera, on_unreadable)
    inbox = Consumer(
        reader_config(settings, group or f"{settings.topic_prefix}subscriber")
        | {
            "auto.offset.reset": "earliest",  # of what falls off the log while it is read; librdkafka warns of it
            "enable.partition.eof": until_end,
            "fetch.wait.max.ms": 50 if until_end else 500,  # an empty partition says that it ends after so long
            "enable.auto.commit": group is not None,
            "auto.commit.interval.ms": 1_000,
            "enable.auto.offset.store": False,
            "session.timeout.ms": settings.session_timeout_ms,
            "heartbeat.interval.ms": settings.heartbeat_ms,
            "max.poll.interval.ms": LONGEST_MS,
        },
        logger=kafka_logger(),
    )
    try:
        partitions = _take_place(inbox, reading, group=group, from_=from_, spread=settings.partitions)
    except KafkaException as fault:
        inbox.close()
        raise Unavailable(f"{no_broker(settings)} ({in_words(fault.args[0])})") from fault
    except Misconfigured:
        inbox.close()
        raise
    return Subscription(
        reading,
        codec_for(settings),
        inbox,
        commits=group is not None,
        timeout_s=timeout_s,
        ends=frozenset(partitions) if until_end else frozenset(),
    )


def _take_place(inbox: Consumer, reading: Reading, *, group: str | None, from_: From, spread: int) -> list[int]:
    """Say what is read from where. Returns the partitions that can hold what is wanted."""
    there = inbox.list_topics(reading.name, timeout=_ANSWER_S).topics[reading.name]
    if there.error is not None:
        raise Misconfigured(no_topic(reading.name))
    partitions = reading.partitions(len(there.partitions), spread)
    # The end is asked for here: what is written from this moment on is seen, however late the first read is.
    ends = {} if from_ == "beginning" else _ends(inbox, reading.name, partitions)
    if group is not None:
        inbox.subscribe([reading.name], on_assign=partial(_begin, ends))
    else:
        inbox.assign([TopicPartition(reading.name, each, ends.get(each, OFFSET_BEGINNING)) for each in partitions])
    return partitions


def _ends(inbox: Consumer, name: str, partitions: list[int]) -> dict[int, int]:
    return {each: partition_bounds(inbox, TopicPartition(name, each))[1] for each in partitions}


def _begin(ends: Mapping[int, int], inbox: Consumer, assigned: list[TopicPartition]) -> None:
    """Go on where the group left off; where it has no position, at the end or else at the beginning, which is its
    position from now on: what comes while it is away is there when it comes back.
    """
    try:
        places = _left_off(inbox, assigned)
        new = [place for place in places if place.offset < 0]
        for place in places:
            earliest, end = partition_bounds(inbox, place)
            if place in new:
                place.offset = ends.get(place.partition, earliest)
            elif not earliest <= place.offset <= end:
                log_fallen_off(place.topic, place.partition, place.offset, earliest)
                place.offset = earliest
        if new:
            _keep(inbox, new)
        inbox.assign(places)
    except KafkaException as fault:
        raise Unavailable(f"the group's position was not found or not kept: {fault}") from fault


def _left_off(inbox: Consumer, assigned: list[TopicPartition]) -> list[TopicPartition]:
    """Positions of the group, below 0 where it has none."""
    places: list[TopicPartition] = inbox.committed(assigned, timeout=_ANSWER_S)
    for place in places:
        if place.error:
            raise KafkaException(place.error)
    return places


def _keep(inbox: Consumer, places: list[TopicPartition]) -> None:
    try:
        inbox.commit(offsets=places, asynchronous=False)
    except KafkaException as fault:
        if fault.args[0].code() not in _MOVED_ON:  # of those whoever gets the partitions next keeps the position
            raise


def no_topic(name: str) -> str:
    """What a subscriber is told who names a topic that the broker does not have."""
    return f"topic {name} does not exist: `catseye topics create` makes it; is CATSEYE_TOPIC_PREFIX right?"


def no_broker(settings: Settings) -> str:
    """What a subscriber or publisher is told when nobody answers."""
    return (
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: is it up, and is "
        "KAFKA_BOOTSTRAP_SERVERS right?"
    )
