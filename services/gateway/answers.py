"""Predictions and refusals as they come, for whoever waits for those of one frame.

Law: what came in the last minute is known, also to a gateway that has only just started: a request that is sent again
finds the answer to its first try.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from catseye.client.aio_config import aio_config
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.records import DeadLetter, Place, Prediction
from catseye.contract.topics import full_name
from catseye.settings import Settings

KEPT_S = 60.0
MOST = 100_000
_POLL_MS = 200

Frame = tuple[str, str, int]
_Key = Frame | tuple[str, int, int]
"""Name of a frame, or where a record lies."""


class Answers:
    """Reads `predictions` and `dead-letters` from a minute ago on.

    Args:
        settings: Where the brokers are.
        codec: Reads records.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._predictions = full_name("predictions", settings.topic_prefix)
        self._dead_letters = full_name("dead-letters", settings.topic_prefix)
        self._known: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()
        self._waiting: dict[_Key, list[asyncio.Future[_Key]]] = {}
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect. Raises `Unavailable` where no broker answers."""
        self._consumer = AIOKafkaConsumer(
            **aio_config(self._settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
        )
        try:
            await self._consumer.start()
            parts = [
                TopicPartition(topic, partition)
                for topic in (self._predictions, self._dead_letters)
                for partition in range(self._settings.partitions)
            ]
            self._consumer.assign(parts)
            since_ms = int((time.time() - KEPT_S) * 1_000)
            found = await self._consumer.offsets_for_times(dict.fromkeys(parts, since_ms))
            ends = await self._consumer.end_offsets(parts)
            for part in parts:
                place = found.get(part)
                self._consumer.seek(part, place.offset if place is not None else ends[part])
        except KafkaError as fault:
            await self._consumer.stop()
            raise Unavailable(f"predictions cannot be read: {fault}") from fault

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            while True:
                for messages in (await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=2_000)).values():
                    for message in messages:
                        self._take(message)
                self._forget()
        finally:
            await self._consumer.stop()

    async def of(self, frame: Frame, place: Place | None, within_s: float) -> Prediction | DeadLetter | None:
        """The prediction of *frame*, or the dead letter of the record at *place*; None when neither came in time."""
        keys: list[_Key] = [frame] if place is None else [frame, (place.topic, place.partition, place.offset)]
        found = next((key for key in keys if key in self._known), None)
        if found is None:
            found = await self._first(keys, within_s)
        return None if found is None else self._read(found)

    def known(self, frame: Frame) -> Prediction | DeadLetter | None:
        """The prediction of *frame*, if it came in the last minute."""
        return self._read(frame) if frame in self._known else None

    async def _first(self, keys: list[_Key], within_s: float) -> _Key | None:
        """Which of *keys* comes first; None for none of them in time."""
        future: asyncio.Future[_Key] = asyncio.get_running_loop().create_future()
        for key in keys:
            self._waiting.setdefault(key, []).append(future)
        try:
            return await asyncio.wait_for(future, within_s)
        except TimeoutError:
            return None
        finally:
            for key in keys:
                self._waiting[key].remove(future)
                if not self._waiting[key]:
                    del self._waiting[key]

    def _read(self, key: _Key) -> Prediction | DeadLetter:
        value = self._known[key][1]
        if isinstance(key[1], str):  # a boot is text, a partition is a number
            return self._codec.decode(value, Prediction)
        return self._codec.decode(value, DeadLetter)

    def _take(self, message: Any) -> None:
        try:
            if message.topic == self._predictions:
                head = self._codec.leading_fields(message.value, Prediction, "sequence")
                key: _Key = head["camera"], head["boot"], head["sequence"]
            else:
                head = self._codec.leading_fields(message.value, DeadLetter, "offset")
                key = head["topic"], head["partition"], head["offset"]
        except BadRecord:
            return
        self._known[key] = time.monotonic(), message.value
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(key)

    def _forget(self) -> None:
        until = time.monotonic() - KEPT_S
        while self._known:
            key, (at_s, _) = next(iter(self._known.items()))
            if at_s > until and len(self._known) <= MOST:
                return
            del self._known[key]
