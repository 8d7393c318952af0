"""Frames by where they lie, for mail."""

from threading import Lock
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import AcceptedFrame, Place
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, partition_bounds, reader_config
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
                return self._read(TopicPartition(place.topic, place.partition, place.offset))
            except (KafkaException, BadRecord):
                return None

    def _read(self, place: TopicPartition) -> bytes | None:
        first, end = partition_bounds(self._consumer, place)
        if not first <= place.offset < end:
            return None
        self._consumer.assign([place])
        message = self._consumer.poll(_WAIT_S)
        self._consumer.unassign()
        if message is None or message.error() or message.offset() != place.offset:
            return None
        frame: AcceptedFrame = self._codec.decode(message.value(), AcceptedFrame)
        return frame.jpeg
