"""Topics on the broker: made, checked and described; and a broker that is waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its own hints forget that it exports three of them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.limits import PUBLIC_MAX_BYTES, RECORD_MAX_BYTES
from catseye.contract.topics import TOPICS, Kept, Topic, full_name
from catseye.kafka.clients import SILENT, client_config

if TYPE_CHECKING:
    from catseye.settings import Settings

LONGEST: Final = "max.message.bytes"


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
    """Create the topics of the table that are missing; those that an earlier version made take as long records as now.

    Returns:
        Full names of those that were created.

    Raises:
        Misconfigured: a topic of the table exists with another number of partitions.
        Unavailable: the broker did not make a topic, or did not let it take longer records.
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
    _lengthen(client, {name: topic for name, topic in wanted.items() if name in there})
    return made


def _lengthen(client: AdminClient, there: Mapping[str, Topic]) -> None:
    """Raise the longest record of topics to the contract's, never lower it. Raises `Unavailable`."""
    if not there:
        return
    kind = ConfigResource.Type.TOPIC
    try:
        answers = client.describe_configs([ConfigResource(kind, name) for name in there])
        longest = {asked.name: int(answer.result()[LONGEST].value) for asked, answer in answers.items()}
        short = [
            ConfigResource(
                kind,
                name,
                incremental_configs=[
                    ConfigEntry(LONGEST, str(longest_of(topic)), incremental_operation=AlterConfigOpType.SET)
                ],
            )
            for name, topic in there.items()
            if longest[name] < longest_of(topic)
        ]
        for answer in (client.incremental_alter_configs(short) if short else {}).values():
            answer.result()
    except KafkaException as fault:
        raise Unavailable(
            f"{LONGEST} of the topics cannot be read and raised: {fault.args[0].str()}; records up to "
            f"{RECORD_MAX_BYTES} bytes must fit"
        ) from fault


def longest_of(topic: Topic) -> int:
    """Longest batch that a topic must take, bytes."""
    return PUBLIC_MAX_BYTES if topic.public else RECORD_MAX_BYTES


def topic_config(topic: Topic, settings: Settings) -> dict[str, str]:
    """Broker settings of one topic: the broker's clock on every record, and how long it is kept."""
    config = {"message.timestamp.type": "LogAppendTime", LONGEST: str(longest_of(topic))}
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
