"""Publish, label and subscribe from asyncio; the same names as in `catseye.client`, on aiokafka."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from catseye import clock
from catseye.client.aio_config import aio_config, aio_publisher_config
from catseye.client.aio_group import Membership
from catseye.client.config import LONGEST_MS, limits_of, settings_or_environment
from catseye.client.drafts import Drafts, FrameId, Sighting, label_of
from catseye.client.given import Readings, Time
from catseye.client.process import OwnProcess
from catseye.client.publisher import Undelivered
from catseye.client.reading import From, Reading, Unreadable
from catseye.client.subscription import log_fallen_off, log_unreadable, no_broker, no_topic
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import FrameKind, Place, Record
from catseye.contract.topics import full_name
from catseye.kafka.registry import codec_for

if TYPE_CHECKING:
    from catseye.client.given import Picture
    from catseye.settings import Settings

__all__ = ["Publisher", "Subscription", "subscribe"]

_LOOK_UP_MS = 1_000  # while nothing comes, a fault of the group's is seen at least this often


class Publisher:
    """Sends frames and labels.

    ::

        import asyncio
        from catseye.client.aio import Publisher

        async def main(pictures: list[bytes]) -> None:
            async with Publisher(camera="gate-7") as publisher:
                frames = await asyncio.gather(*map(publisher.publish, pictures))
                await publisher.label(*frames[-1], "car")

        asyncio.run(main([open("gate.jpg", "rb").read()]))

    To wait for `publish` or `label` is to wait for the broker's acknowledgement; what it does not acknowledge raises
    `Undelivered` there. Several under way at once go out together.

    Args:
        settings: Where the brokers are; left out, the environment's.
        camera: Camera of frames that name none.
        boot: Name of this run of the counters; left out, a random one. Whoever gives it must be sure that no frame of
            that name was sent before, since ingest would take the new one for a repeat.
        outbox: Where records go; left out, the broker.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        camera: str | None = None,
        boot: str | None = None,
        outbox: Any = None,
    ) -> None:
        self._settings = settings_or_environment(settings)
        self._drafts = Drafts(boot if boot is not None else secrets.token_hex(6), camera, limits_of(self._settings))
        self._frames = full_name("frames", self._settings.topic_prefix)
        self._labels = full_name("labels", self._settings.topic_prefix)
        self._outbox: Any = outbox
        self._process = OwnProcess("a Publisher")
        self._codec: Codec | None = None

    @property
    def boot(self) -> str:
        """Name of this run of the counters."""
        return self._drafts.boot

    async def start(self) -> None:
        """Connect. Raises `Unavailable` when no broker answers."""
        self._codec = await asyncio.to_thread(codec_for, self._settings)
        if self._outbox is None:
            self._outbox = AIOKafkaProducer(**aio_publisher_config(self._settings))
        try:
            await self._outbox.start()
        except KafkaConnectionError as fault:
            await self._outbox.stop()
            raise Unavailable(no_broker(self._settings)) from fault

    async def publish(
        self,
        jpeg: Picture,
        *,
        camera: str | None = None,
        captured_at_ms: Time | None = None,
        telemetry: Readings | None = None,
        explain: bool = False,
        kind: FrameKind = "object",
        sighting: Sighting | None = None,
    ) -> FrameId:
        """Send one frame and wait until the broker has it; arguments as in `catseye.client`.

        Returns:
            The frame's name, under which its prediction comes and its label is sent.

        Raises:
            BadRecord, TypeError: as in `catseye.client`.
            Undelivered: the broker did not acknowledge it.
        """
        frame = self._drafts.frame(
            jpeg,
            captured_at_ms,
            now_ms=clock.now_ms(),
            camera=camera,
            telemetry=telemetry,
            explain=explain,
            kind=kind,
            sighting=sighting,
        )
        name = FrameId(frame.camera, frame.boot, frame.sequence)
        await self._send(self._frames, name, frame)
        return name

    async def label(
        self,
        camera: str,
        boot: str,
        sequence: int,
        label: str | None,
        *,
        labelled_at_ms: Time | None = None,
        source: str = "person",
        propensity: SupportsFloat = 1.0,
    ) -> None:
        """Say what a frame showed and wait until the broker has it; arguments as in `catseye.client`.

        Raises:
            BadRecord, TypeError: as in `catseye.client`.
            Undelivered: the broker did not acknowledge it.
        """
        record = label_of(
            FrameId(camera, boot, sequence),
            label,
            labelled_at_ms,
            now_ms=clock.now_ms(),
            source=source,
            propensity=propensity,
        )
        await self._send(self._labels, FrameId(record.camera, record.boot, record.sequence), record)

    async def flush(self) -> None:
        """Return when nothing is under way any more; whoever waits for a lost frame gets the error there."""
        await self._outbox.flush()

    async def close(self) -> None:
        """Flush and disconnect. Raises `Forked` where another process made this publisher."""
        self._process.check()
        await self._outbox.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, topic: str, name: FrameId, record: Record) -> None:
        self._process.check()
        if self._codec is None:
            raise Misconfigured("the publisher was not started: `async with Publisher(…)` or `await publisher.start()`")
        try:
            await self._outbox.send_and_wait(topic, self._codec.encode(record), name.camera.encode())
        except KafkaError as fault:
            raise Undelivered([name], str(fault) or type(fault).__name__) from fault


class Subscription:
    """Records of a topic as they come; made by `subscribe`."""

    def __init__(
        self,
        reading: Reading,
        settings: Settings,
        *,
        group: str | None,
        from_: From,
        timeout_s: float | None,
        inbox: Any = None,
    ) -> None:
        self._reading = reading
        self._settings = settings
        self._group_id = group
        self._from = from_
        self._timeout_s = timeout_s
        self._inbox: Any = inbox
        self._process = OwnProcess("a subscription")
        self._codec: Codec | None = None
        self._group: Membership | None = None
        self._handed_out: Any = None

    async def start(self) -> None:
        """Connect and fix where reading starts.

        Raises:
            Misconfigured: no such topic.
            Unavailable: no broker answers.
        """
        codec = await asyncio.to_thread(codec_for, self._settings)
        if self._inbox is None:
            self._inbox = AIOKafkaConsumer(
                **aio_config(self._settings),
                group_id=self._group_id,
                enable_auto_commit=False,
                session_timeout_ms=self._settings.session_timeout_ms,
                heartbeat_interval_ms=self._settings.heartbeat_ms,
                max_poll_interval_ms=LONGEST_MS,
                isolation_level="read_committed",
                auto_offset_reset="none",
            )
        try:
            number = await self._partitions()
            await self._inbox.start()
            await self._take_place(number)
            self._codec = codec
        except KafkaConnectionError as fault:
            raise Unavailable(no_broker(self._settings)) from fault
        finally:
            if self._codec is None:
                await self._inbox.stop()

    @property
    def place(self) -> Place | None:
        """Where the record handed out last lies; None before the first one."""
        last = self._handed_out
        return last and Place(topic=self._reading.name, partition=last.partition, offset=last.offset)

    async def close(self) -> None:
        """Leave. The record handed out last counts as taken.

        Raises:
            Forked: another process made this subscription.
        """
        self._process.check()
        self._take(self._handed_out)
        try:
            if self._group is not None:
                await self._group.close()
        except KafkaError as fault:
            raise self._not_kept(fault) from fault
        finally:
            await self._inbox.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if fault is not None:
            self._handed_out = None  # whoever failed over a record gets it again
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self._process.check()
        if self._codec is None:
            await self.start()
        self._take(self._handed_out)
        self._handed_out = None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._wanted()
        except TimeoutError as fault:
            raise StopAsyncIteration from fault

    async def _wanted(self) -> Any:
        assert self._codec is not None
        while True:
            message = await self._arrived()
            if message is None:
                continue
            record = self._reading.record(self._codec, message.partition, message.offset, message.value)
            if record is not None:
                self._handed_out = message
                return record
            self._take(message)

    async def _arrived(self) -> Any:
        """The next message, or None when there was none for a while or the reader had to be set elsewhere."""
        if self._group is not None and self._group.fault is not None:
            raise self._not_kept(self._group.fault) from self._group.fault
        try:
            arrived = await self._inbox.getmany(timeout_ms=_LOOK_UP_MS, max_records=1)
        except NoOffsetForPartitionError:
            assert self._group is not None
            await self._group.placed.wait()  # aiokafka asked for the position before it was there
        except OffsetOutOfRangeError as fault:
            await self._go_on_with_earliest(fault.args[0])
        else:
            return next((message for messages in arrived.values() for message in messages), None)

    async def _go_on_with_earliest(self, fallen_off: dict[TopicPartition, int]) -> None:
        try:
            earliest = await self._inbox.beginning_offsets(list(fallen_off))
            for place, offset in fallen_off.items():
                self._inbox.seek(place, earliest[place])
                log_fallen_off(place.topic, place.partition, offset, earliest[place])
        except IllegalStateError:
            return  # it has moved to another member, which finds out itself
        except KafkaError as fault:
            raise Unavailable(f"{self._reading.name} cannot be read: {fault}") from fault

    async def _partitions(self) -> int:
        """How many partitions the topic has."""
        admin = AIOKafkaAdminClient(**aio_config(self._settings))
        try:
            await admin.start()
            (topic,) = await admin.describe_topics([self._reading.name])
        finally:
            await admin.close()
        if not topic["partitions"]:
            raise Misconfigured(no_topic(self._reading.name))
        return len(topic["partitions"])

    async def _take_place(self, number: int) -> None:
        name = self._reading.name
        places = [
            TopicPartition(name, partition) for partition in self._reading.partitions(number, self._settings.partitions)
        ]
        # Asked for here: what is written from this moment on is seen, however late the first read is.
        ends = {} if self._from == "beginning" else await self._inbox.end_offsets(places)
        if self._group_id is not None:
            self._group = Membership(self._inbox, ends)
            self._inbox.subscribe([name], listener=self._group)
            return
        self._inbox.assign(places)
        if self._from == "beginning":
            await self._inbox.seek_to_beginning(*places)
        for place, end in ends.items():
            self._inbox.seek(place, end)

    def _take(self, message: Any) -> None:
        """A record counts as taken; None is none."""
        if self._group is not None and message is not None:
            self._group.take(TopicPartition(message.topic, message.partition), message.offset)

    def _not_kept(self, fault: KafkaError) -> Unavailable:
        return Unavailable(f"the position in {self._reading.name} was not kept: {fault}")


def subscribe(
    topic: str,
    *,
    camera: str | None = None,
    group: str | None = None,
    from_: From = "now",
    settings: Settings | None = None,
    timeout_s: float | None = None,
    on_unreadable: Callable[[Unreadable], None] = log_unreadable,
) -> Subscription:
    """Read a topic, committed records only; arguments as in `catseye.client`.

    ::

        import asyncio
        from catseye.client.aio import subscribe

        async def main() -> None:
            async with subscribe("predictions", camera="gate-7") as predictions:
                async for prediction in predictions:
                    print(prediction.sequence, prediction.label)

        asyncio.run(main())

    Without ``async with`` it connects when the first record is asked for, and *now* is then.

    Raises:
        Misconfigured: no such topic.
    """
    settings = settings_or_environment(settings)
    reading = Reading(topic, settings.topic_prefix, camera, on_unreadable)
    return Subscription(reading, settings, group=group, from_=from_, timeout_s=timeout_s)
