"""What the gateway writes: frames, labels, commands; each waits for the broker's acknowledgement."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from catseye.client.aio_config import aio_publisher_config
from catseye.client.config import limits_of
from catseye.client.drafts import Drafts
from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import Place, Record
from catseye.contract.topics import BY_NAME, full_name
from catseye.settings import Settings

ANSWER_S = 10.0


class Outbox:
    """One producer.

    Args:
        settings: Where the brokers are.
        codec: Writes records.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self.codec = codec
        """Reads and writes records."""
        self._producer: Any = None
        self.limits = limits_of(settings)
        """What ingest accepts."""
        self.drafts = Drafts(f"http-{secrets.token_hex(6)}", limits=self.limits)
        """Numbers the frames of requests that bring no number of their own."""

    async def start(self) -> None:
        """Connect. Raises `Unavailable` where no broker answers."""
        self._producer = AIOKafkaProducer(**aio_publisher_config(self._settings))
        try:
            await self._producer.start()
        except KafkaConnectionError as fault:
            await self._producer.stop()
            raise Unavailable(f"no broker answers: {fault}") from fault

    async def stop(self) -> None:
        """Send what is under way, and leave."""
        await self._producer.stop()

    async def send(self, topic: str, record: Record) -> Place:
        """Write one record. Raises `Unavailable` when the broker did not acknowledge it; it may have it."""
        full = full_name(topic, self._settings.topic_prefix)
        return await self.send_bytes(full, BY_NAME[topic].key_of(record), self.codec.encode(record))

    async def send_bytes(
        self, full: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Place:
        """Write bytes to the topic of that full name. Raises `Unavailable` likewise."""
        try:
            sending = self._producer.send_and_wait(full, value, key, headers=list(headers))
            found = await asyncio.wait_for(sending, ANSWER_S)
        except (KafkaError, TimeoutError) as fault:
            raise Unavailable(f"the broker did not acknowledge it: {fault or type(fault).__name__}") from fault
        return Place(topic=found.topic, partition=found.partition, offset=found.offset)
