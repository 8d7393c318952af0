"""A subscriber without a broker: which records it is handed, when they count as taken, and what ends it."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from confluent_kafka import KafkaError, KafkaException

from catseye.client import Subscription, Unreadable
from catseye.client.aio_group import Membership
from catseye.client.reading import Reading
from catseye.client.subscription import log_unreadable
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.identity import partition_of
from catseye.contract.records import Alert, Frame, Place


class Arrival:
    """A confluent_kafka.Message: a record, or an event of the client."""

    def __init__(self, partition: int, offset: int, value: bytes | None = None, fault: Any = None) -> None:
        self._partition, self._offset, self._value, self._fault = partition, offset, value, fault

    def error(self) -> Any:
        return self._fault

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value


class Fault:
    """A confluent_kafka.KafkaError, as the client makes them."""

    def __init__(self, code: int, *, fatal: bool = False, retriable: bool = False) -> None:
        self._code, self._fatal, self._retriable = code, fatal, retriable

    def code(self) -> int:
        return self._code

    def fatal(self) -> bool:
        return self._fatal

    def retriable(self) -> bool:
        return self._retriable


class Inbox:
    """A consumer with these arrivals; None is a poll in which nothing came."""

    def __init__(self, arrivals: list[Arrival | None], stored_fault: KafkaException | None = None) -> None:
        self._arrivals = iter(arrivals)
        self._stored_fault = stored_fault
        self.stored: list[tuple[int, int]] = []
        self.closed = False

    def poll(self, timeout: float) -> Arrival | None:
        return next(self._arrivals, None)

    def store_offsets(self, *, message: Arrival) -> None:
        if self._stored_fault is not None:
            raise self._stored_fault
        self.stored.append((message.partition(), message.offset()))

    def close(self) -> None:
        self.closed = True


def frame(camera: str, sequence: int) -> bytes:
    return Codec().encode(Frame(camera=camera, boot="b", sequence=sequence, captured_at_ms=0, jpeg=b""))


def subscription(
    inbox: Inbox,
    *,
    camera: str | None = None,
    commits: bool = False,
    unreadable: list[Unreadable] | None = None,
    ends: frozenset[int] = frozenset(),
) -> Subscription:
    reading = Reading("frames", "t.", camera, log_unreadable if unreadable is None else unreadable.append)
    return Subscription(reading, Codec(), inbox, commits=commits, timeout_s=0.05, ends=ends)


def test_a_subscriber_gets_wanted_records_and_receives_of_unreadable_ones() -> None:
    """Another camera's are left out; rubbish is reported with its place and does not end it; silence does."""
    unreadable: list[Unreadable] = []
    inbox = Inbox(
        [
            Arrival(0, 4, frame("a", 1)),
            Arrival(0, 5, frame("b", 2)),
            None,
            Arrival(1, 6, b"?"),
            Arrival(1, 9, frame("a", 3)),
        ]
    )
    with subscription(inbox, camera="a", unreadable=unreadable) as frames:
        before: Place | None = frames.place
        found: list[tuple[int, Place | None]] = [(each.sequence, frames.place) for each in frames]
    places = [Place(topic="t.frames", partition=partition, offset=offset) for partition, offset in ((0, 4), (1, 9))]
    assert (before, found) == (None, [(1, places[0]), (3, places[1])])
    assert [(each.place, each.reason, each.value) for each in unreadable] == [
        (Place(topic="t.frames", partition=1, offset=6), "unknown_format", b"?")
    ]
    assert inbox.closed
    assert inbox.stored == []


def test_a_groups_record_counts_as_taken_when_the_next_is_asked_for() -> None:
    """What was not wanted counts at once; what the reader failed over does not count."""
    inbox = Inbox([Arrival(0, 0, frame("b", 0)), Arrival(0, 1, frame("a", 1)), Arrival(0, 2, frame("a", 2))])
    with subscription(inbox, camera="a", commits=True) as frames:
        assert next(frames).sequence == 1
        assert inbox.stored == [(0, 0)]
        assert next(frames).sequence == 2
        assert inbox.stored == [(0, 0), (0, 1)]
    assert inbox.stored == [(0, 0), (0, 1), (0, 2)]
    failed_over = Inbox([Arrival(0, 0, frame("a", 0))])

    def fail() -> None:
        with subscription(failed_over, commits=True) as frames:
            next(frames)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert failed_over.stored == []


def test_a_partition_that_moved_away_is_no_fault_and_others_are() -> None:
    """Its next owner gets the record again; anything else is said."""
    moved = Inbox([Arrival(0, 0, frame("a", 0))], KafkaException(KafkaError(KafkaError._STATE)))
    with subscription(moved, commits=True) as frames:
        assert next(frames).sequence == 0
    broken = subscription(
        Inbox([Arrival(0, 0, frame("a", 0))], KafkaException(KafkaError(KafkaError._INVALID_ARG))), commits=True
    )
    next(broken)
    with pytest.raises(Unavailable, match=r"the position in t\.frames was not kept"):
        next(broken)


def test_the_end_is_when_every_partition_has_reported_so() -> None:
    """Positions, not the last record's offset: a topic may end in holes."""
    eof = Fault(KafkaError._PARTITION_EOF)
    inbox = Inbox(
        [
            Arrival(0, 0, frame("a", 0)),
            Arrival(0, 3, fault=eof),
            Arrival(1, 0, frame("a", 1)),
            Arrival(1, 1, fault=eof),
            Arrival(0, 9, frame("a", 2)),
        ]
    )
    assert [each.sequence for each in subscription(inbox, ends=frozenset({0, 1}))] == [0, 1]


def test_faults_of_the_broker_are_sentences() -> None:
    """Passing ones are waited out; a missing topic and fatal ones end the subscription."""
    passing = Arrival(0, 0, fault=Fault(KafkaError.REQUEST_TIMED_OUT, retriable=True))
    assert next(subscription(Inbox([passing, Arrival(0, 0, frame("a", 7))]))).sequence == 7
    for fault in (Fault(KafkaError.TOPIC_AUTHORIZATION_FAILED), Fault(KafkaError._FATAL, fatal=True, retriable=True)):
        with pytest.raises(Unavailable, match=r"t\.frames cannot be read"):
            next(subscription(Inbox([Arrival(0, 0, fault=fault)])))
    with pytest.raises(Misconfigured, match=r"t\.frames does not exist"):
        next(subscription(Inbox([Arrival(0, 0, fault=Fault(KafkaError.UNKNOWN_TOPIC_OR_PART))])))


def test_a_camera_is_searched_for_where_it_lives() -> None:
    """On one partition of ours; on every one of public topics, alerts and dead letters."""
    home = partition_of("gate", 6)
    found = {
        topic: Reading(topic, "t.", "gate", log_unreadable).partitions(6)
        for topic in ("predictions", "outcomes", "statistics", "frames", "alerts", "dead-letters")
    }
    everywhere = list(range(6))
    assert found == {
        "predictions": [home],
        "outcomes": [home],
        "statistics": [home],
        "frames": everywhere,
        "alerts": everywhere,
        "dead-letters": everywhere,
    }
    assert Reading("predictions", "t.", None, log_unreadable).partitions(6) == everywhere


def test_a_camera_is_searched_for_everywhere_where_nobody_knows_where_it_lives() -> None:
    """A topic that was given more partitions than cameras are spread over, or a reader with another setting."""
    reading = Reading("predictions", "t.", "gate", log_unreadable)
    assert reading.partitions(12, 6) == list(range(12))
    assert reading.partitions(6, 6) == [partition_of("gate", 6)]


def test_an_alert_of_a_group_is_wanted_by_each_of_its_cameras() -> None:
    """An alert names one camera or several."""
    texts = dict.fromkeys(
        ("alert_id", "kind", "signal", "phase", "detector", "model", "version", "explanation", "by"), "x"
    )
    numbers = dict.fromkeys(("estimate", "reference", "evidence", "threshold"), 0.0)
    times = dict.fromkeys(("revision", "since_ms", "opened_at_ms", "updated_at_ms"), 0)
    own = {"state": "opened", "severity": "info", "cameras": ["a", "b"]}
    alert = msgspec.convert({**texts, **numbers, **times, **own}, Alert)
    value = Codec().encode(alert)
    seen = [Reading("alerts", "t.", camera, log_unreadable).record(Codec(), 0, 0, value) for camera in ("a", "b", "c")]
    assert seen == [alert, alert, None]


@pytest.mark.parametrize("topic", ["prediction", "ingest.state"])
def test_what_cannot_be_subscribed_to_is_named(topic: str) -> None:
    """A misspelt topic and a service's own; the sentence lists the others."""
    with pytest.raises(Misconfigured, match=f"{topic} is not a topic to subscribe to; these are: frames, labels"):
        Reading(topic, "t.", None, log_unreadable)


def test_unreadable_records_are_logged_unless_reported_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    """A warning of catseye.client with the place and the reason."""
    reading = Reading("frames", "t.", None, log_unreadable)
    with caplog.at_level(logging.WARNING, "catseye.client"):
        assert reading.record(Codec(), 3, 14, b"?") is None
    assert "unreadable record skipped at t.frames-3 offset 14: unknown_format" in caplog.text


class AsyncInbox:
    """A member of a group on aiokafka, with these partitions; committing others is refused as aiokafka refuses it."""

    def __init__(self, *partitions: int) -> None:
        self.mine = {TopicPartition("t", each) for each in partitions}
        self.kept: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return self.mine

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if offsets.keys() - self.mine:
            raise IllegalStateError
        self.kept |= offsets


def test_a_partition_that_moved_away_takes_no_other_position_with_it() -> None:
    """Of two partitions' positions that of the one which is still ours is kept; the other one's is forgotten."""
    here, gone = TopicPartition("t", 0), TopicPartition("t", 1)

    async def check() -> dict[TopicPartition, int]:
        inbox = AsyncInbox(0, 1)
        member = Membership(inbox, {})
        member.take(here, 4)
        member.take(gone, 9)
        inbox.mine = {here}
        await member.keep()
        inbox.mine = {here, gone}
        await member.close()
        return inbox.kept

    assert asyncio.run(check()) == {here: 5}


def test_what_was_taken_is_kept_before_partitions_are_shared_out_anew() -> None:
    """Whoever gets them reads on behind it; the member that had them commits nothing of them later."""
    place = TopicPartition("t", 0)

    async def check() -> list[dict[TopicPartition, int]]:
        inbox = AsyncInbox(0)
        member = Membership(inbox, {})
        member.take(place, 4)
        await member.on_partitions_revoked([place])
        before = dict(inbox.kept)
        inbox.kept = {place: 70}  # by the member that had it meanwhile
        await member.close()
        return [before, inbox.kept]

    assert asyncio.run(check()) == [{place: 5}, {place: 70}]
