"""Records by where they lie: the frames of an alert, of a prediction; the bytes of what was refused."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.records import AcceptedFrame, Record
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, reader_config
from catseye.kafka.reading import ENDS_SHOWN, message_at, read_to
from catseye.settings import Settings
from services.gateway.problem import not_found, unavailable

R = TypeVar("R", bound=Record)
OFFSET_MOST = 2**63 - 1
"""Of Kafka; its client takes no larger number."""
KEPT_BYTES = 32 * 2**20
_WAIT_S = 3.0
_QUIET_S = 10.0


class Pictures:
    """Reads one record at a time, and keeps the frames that were read last.

    Args:
        settings: Where the brokers are.
        codec: Reads records.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._kept: OrderedDict[tuple[int, int], AcceptedFrame] = OrderedDict()
        self._bytes = 0
        self._lock = asyncio.Lock()
        self._consumer: Any = None

    async def frame(self, partition: int, offset: int) -> AcceptedFrame:
        """The frame at a place. Raises `Problem`: there is none, or it is not kept any more."""
        key = partition, offset
        if (kept := self._kept.get(key)) is None:
            kept = await self.record("frames.accepted", AcceptedFrame, partition, offset)
            self._keep(key, kept)
        else:
            self._kept.move_to_end(key)
        return kept

    async def record(self, topic: str, kind: type[R], partition: int, offset: int) -> R:
        """The record at a place. Raises `Problem` likewise."""
        async with self._lock:
            return await asyncio.to_thread(self._read, topic, kind, partition, offset)

    async def records(self, topic: str, kind: type[R], partition: int, offsets: Sequence[int]) -> list[R]:
        """Those at some places of one partition that are still kept, in order. Raises `Problem`: no broker answers."""
        return await asyncio.to_thread(self._read_many, topic, kind, partition, frozenset(offsets))

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _keep(self, key: tuple[int, int], frame: AcceptedFrame) -> None:
        if key not in self._kept:
            self._bytes += len(frame.jpeg)
        self._kept[key] = frame
        while self._bytes > KEPT_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone.jpeg)

    def _read_many(self, topic: str, kind: type[R], partition: int, wanted: frozenset[int]) -> list[R]:
        settings, found = self._settings, list[R]()
        config = reader_config(settings, f"{settings.topic_prefix}gateway.records") | ENDS_SHOWN | SILENT
        # What is kept no more is passed over, not a fault.
        reader = Consumer(config | {"fetch.wait.max.ms": 20, "auto.offset.reset": "earliest"})
        part = full_name(topic, settings.topic_prefix), partition
        try:
            for chunk in read_to(reader, {part: (min(wanted), max(wanted) + 1)}, quiet_s=_QUIET_S):
                for message in chunk.messages:
                    if message.offset() in wanted:
                        found.append(self._codec.decode(message.value(), kind))
        except Unavailable as fault:
            raise unavailable(f"{fault}.") from fault
        finally:
            reader.close()
        return found

    def _read(self, topic: str, kind: type[R], partition: int, offset: int) -> R:
        what = (
            f"record of {topic} at partition {partition}, offset {offset}: it is not kept any more, or never was there"
        )
        if not 0 <= partition < self._settings.partitions or offset > OFFSET_MOST:
            raise not_found(what)
        if self._consumer is None:
            config = reader_config(self._settings, f"{self._settings.topic_prefix}gateway.pictures") | SILENT
            self._consumer = Consumer(config | {"fetch.wait.max.ms": 20})
        place = TopicPartition(full_name(topic, self._settings.topic_prefix), partition, offset)
        try:
            message = message_at(self._consumer, place, _WAIT_S)
        except KafkaException as fault:
            raise unavailable(f"The broker does not answer: {fault.args[0].str()}.") from fault
        if message is None:
            raise not_found(what)
        try:
            return self._codec.decode(message.value(), kind)
        except BadRecord as fault:
            raise not_found(what) from fault
