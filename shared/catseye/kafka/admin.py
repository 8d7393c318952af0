"""Topics on the broker: made, checked and described; and a broker that is waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.limits import PUBLIC_MAX_BYTES, RECORD_MAX_BYTES
from catseye.contract.topics import TOPICS, Kept, Topic, full_name
from catseye.kafka.clients import SILENT, client_config

if TYPE_CHECKING:
    from catseye.settings import Settings


def admin(settings: Settings) -> AdminClient:
    """A client that logs nothing: librdkafka writes a line for each attempt where its caller has one sentence."""
    return AdminClient(client_config(settings) | SILENT)


def wait_for_broker(settings: Settings, timeout_s: float = 30) -> None:
    """Return when the cluster answers. Raises `Unavailable` after *timeout_s* seconds."""
    client, deadline = admin(settings), time.monotonic() + timeout_s
    while True:
        try:
            client.list_topics(timeout=2)
        except KafkaException as fault:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: is it up, and is "
                    "KAFKA_BOOTSTRAP_SERVERS right? `infra/stack up` starts one"
                ) from fault
        else:
            return


def create_topics(settings: Settings) -> list[str]:
    """Create the topics of the table that are missing.

    Returns:
        Full names of those that were created.

    Raises:
        Misconfigured: a topic of the table exists with another number of partitions.
        Unavailable: the broker did not make a topic.
    """
    client = admin(settings)
    there = client.list_topics(timeout=10).topics
    wanted = {full_name(topic.name, settings.topic_prefix): topic for topic in TOPICS}
    for name, topic in wanted.items():
        if name in there and len(there[name].partitions) != _partitions(topic, settings):
            raise Misconfigured(
                f"topic {name} has {len(there[name].partitions)} partitions, CATSEYE_PARTITIONS asks for "
                f"{_partitions(topic, settings)}: topics of one fleet have the same number, so set CATSEYE_PARTITIONS "
                "to what is there or use another CATSEYE_TOPIC_PREFIX"
            )
    missing = [
        NewTopic(
            name,
            num_partitions=_partitions(topic, settings),
            replication_factor=settings.replication_factor,
            config=topic_config(topic, settings),
        )
        for name, topic in wanted.items()
        if name not in there
    ]
    made: list[str] = []
    for name, created in (client.create_topics(missing) if missing else {}).items():
        try:
            created.result()
        except KafkaException as fault:
            # Somebody else made it at the same time, or the broker's list is a moment behind.
            if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unavailable(f"the broker did not make topic {name}: {fault.args[0].str()}") from fault
        else:
            made.append(name)
    return made


def topic_config(topic: Topic, settings: Settings) -> dict[str, str]:
    """Broker settings of one topic: the broker's clock on every record, and how long it is kept."""
    longest = PUBLIC_MAX_BYTES if topic.public else RECORD_MAX_BYTES
    config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(longest)}
    if topic.kept is Kept.COMPACTED:
        return config | {"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.2"}
    if topic.kept is Kept.HORIZON:
        hours = settings.label_horizon_h + settings.archive_margin_h
        return config | {"retention.ms": str(int(hours * 3_600_000))}
    return config | {"retention.ms": "-1" if topic.kept is Kept.FOR_EVER else str(topic.kept.value * 3_600_000)}


CREATED_S = 10.0
"""A topic that has just been created may be unknown to a broker for so long."""


def check_partitions(settings: Settings, names: tuple[str, ...]) -> None:
    """Refuse to start on topics that do not exist or that cannot be assigned together.

    Raises:
        Misconfigured: a topic is missing, or its number of partitions is not `CATSEYE_PARTITIONS`.
    """
    asked, deadline = admin(settings), time.monotonic() + CREATED_S
    while set(names) - (there := asked.list_topics(timeout=10).topics).keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    for name in names:
        if name not in there:
            raise Misconfigured(f"topic {name} does not exist: `catseye topics create` makes it")
        if len(there[name].partitions) != settings.partitions:
            raise Misconfigured(
                f"topic {name} has {len(there[name].partitions)} partitions and CATSEYE_PARTITIONS is "
                f"{settings.partitions}: topics that are joined need the same number"
            )


def _partitions(topic: Topic, settings: Settings) -> int:
    return settings.partitions if topic.by_camera else 1
