"""Frames by where they lie, for mail."""

from threading import Lock
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import AcceptedFrame, Place
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, reader_config
from catseye.kafka.reading import message_at
from catseye.settings import Settings
from services.notifier import NAME

_WAIT_S = 3.0


class Pictures:
    """Reads one frame at a time, from any thread.

    Args:
        settings: Where the brokers are.
        codec: Reads records.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._topic = full_name("frames.accepted", settings.topic_prefix)
        self._lock = Lock()
        self._consumer: Any = None

    def jpeg(self, place: Place) -> bytes | None:
        """The picture at a place; None where it is not kept any more, or cannot be had now: a message goes without."""
        if place.topic != self._topic:
            return None
        with self._lock:
            if self._consumer is None:
                config = reader_config(self._settings, f"{self._settings.topic_prefix}{NAME}.pictures") | SILENT
                self._consumer = Consumer(config | {"fetch.wait.max.ms": 20})
            try:
                message = message_at(
                    self._consumer, TopicPartition(place.topic, place.partition, place.offset), _WAIT_S
                )
                return None if message is None else self._codec.decode(message.value(), AcceptedFrame).jpeg
            except (KafkaException, BadRecord):
                return None
