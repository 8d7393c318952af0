"""Keeps a broker that was started a moment ago busy for some seconds, on a topic of its own that is deleted again.

A Java machine runs what it has not compiled yet at a tenth of its speed. The first seconds of a road would show that
as latency, though a broker that serves for days has it behind it.
"""

import secrets
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from catseye.kafka.admin import admin
from catseye.kafka.clients import client_config, reader_config
from catseye.settings import Settings

WARM_S = 4.0
PARTITIONS = 6
RECORD = bytes(5_000)  # about a frame


def warm_up(settings: Settings, seconds: float = WARM_S) -> int:
    """Do what workers do: read committed records, write records and offsets in one transaction.

    Returns:
        How many transactions it took.
    """
    name = f"{settings.topic_prefix}warm-up-{secrets.token_hex(4)}"
    kafka = admin(settings)
    for created in kafka.create_topics([NewTopic(name, PARTITIONS, settings.replication_factor)]).values():
        created.result()
    reader = Consumer(reader_config(settings, name))
    reader.assign([TopicPartition(name, partition, 0) for partition in range(PARTITIONS)])
    writer = Producer(client_config(settings) | {"transactional.id": name, "linger.ms": 1, "log_level": 3})
    writer.init_transactions(30)
    until_s, transactions = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        writer.begin_transaction()
        for partition in range(PARTITIONS):
            writer.produce(name, RECORD, partition=partition)
        places = [place for place in reader.position(reader.assignment()) if place.offset >= 0]
        if places:
            writer.send_offsets_to_transaction(places, reader.consumer_group_metadata(), 30)
        writer.commit_transaction(30)
        transactions += 1
        reader.consume(PARTITIONS, 0.02)
    reader.close()
    for deleted in kafka.delete_topics([name]).values():
        deleted.result()
    return transactions
