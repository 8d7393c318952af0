"""The one way to write a few records and wait for their acknowledgement.

A worker writes in transactions and a publisher goes on meanwhile; this is for commands and tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, Producer

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.limits import RECORD_MAX_BYTES
from catseye.contract.records import Record
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import IDEMPOTENT, SILENT, client_config, in_words

if TYPE_CHECKING:
    from catseye.settings import Settings

ANSWER_S = 30.0
"""Longest wait for the broker's acknowledgement, seconds."""
Row = tuple[str, bytes | None, bytes | None]
"""A record as it stands on a topic: full topic name, key and value."""


def produce(settings: Settings, codec: Codec, name: str, *records: Record) -> None:
    """Write *records* to a topic and return when the broker has them all.

    Args:
        settings: Where the brokers are.
        codec: Encodes them.
        name: Of the table of topics, without prefix; the table defines the keys.

    Raises:
        KeyError: no such topic.
        ValueError: the topic carries something else.
        Unavailable: the broker did not take one within `ANSWER_S`; it may have taken others.
    """
    topic = BY_NAME[name]
    for record in records:
        if type(record) is not topic.record:
            raise ValueError(f"{name} carries no {type(record).__name__}")
    full = full_name(name, settings.topic_prefix)
    produce_rows(settings, [(full, topic.key_of(record), codec.encode(record)) for record in records])


def produce_rows(settings: Settings, rows: Iterable[Row], timeout_s: float = ANSWER_S) -> None:
    """Write *rows*, each where its key puts it, and return when the broker has them all.

    Raises:
        Unavailable: the broker did not take one within *timeout_s* seconds; it may have taken others.
    """
    producer = Producer(
        client_config(settings)
        | IDEMPOTENT
        | {
            "partitioner": "murmur2_random",
            "message.max.bytes": RECORD_MAX_BYTES,
            "message.timeout.ms": int(timeout_s * 1_000),
        }
        | SILENT
    )
    faults: list[str] = []

    def on_delivery(fault: KafkaError | None, _: object) -> None:
        if fault is not None:
            faults.append(in_words(fault))

    count, topics = 0, set[str]()
    for topic, key, value in rows:
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=on_delivery)
            except BufferError:
                producer.poll(0.05)
            else:
                break
        producer.poll(0)
        count += 1
        topics.add(topic)
    # A little longer than the records may take: the client then reports each itself.
    if left := producer.flush(timeout_s + 5) + len(faults):
        raise Unavailable(
            f"the broker did not take {left} of {count} records for {' and '.join(sorted(topics))}: "
            f"{faults[0] if faults else 'no answer'}"
        )
