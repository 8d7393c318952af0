"""Topics on the broker: made, checked and described; and a broker that is waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its own hints forget that it exports them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.limits import PUBLIC_MAX_BYTES, RECORD_MAX_BYTES
from catseye.contract.topics import TOPICS, Kept, Topic, full_name
from catseye.kafka.clients import SILENT, client_config, in_words, log_bounds

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
    """Create the topics of the table that are missing; those that are there are made to fit.

    They take as long records as new ones. Where somebody gave one of ours more partitions the others get as many:
    nothing is written there, since cameras stay spread over `CATSEYE_PARTITIONS`. Public ones keep what they have.

    Returns:
        Full names of those that were created.

    Raises:
        Misconfigured: a topic of the table has fewer partitions than cameras are spread over, or records beyond those.
        Unavailable: the broker did not make a topic, or did not let it be changed.
    """
    client = admin(settings)
    there = client.list_topics(timeout=10).topics
    wanted = {full_name(topic.name, settings.topic_prefix): topic for topic in TOPICS}
    counts = {name: len(there[name].partitions) for name in wanted if name in there}
    for name, topic in wanted.items():
        if name in counts and not topic.public:
            _check_count(settings, name, counts[name], _partitions(topic, settings))
    widest = {
        by_camera: max(
            (
                counts.get(name, 0)
                for name, topic in wanted.items()
                if topic.by_camera is by_camera and not topic.public
            ),
            default=0,
        )
        for by_camera in (True, False)
    }

    def wide(topic: Topic) -> int:
        return max(_partitions(topic, settings), 0 if topic.public else widest[topic.by_camera])

    missing = [
        NewTopic(
            name,
            num_partitions=wide(topic),
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
                raise Unavailable(f"the broker did not make topic {name}: {in_words(fault.args[0])}") from fault
        else:
            made.append(name)
    ours = {name: topic for name, topic in wanted.items() if name in there}
    _lengthen(client, ours)
    _widen(
        client, {name: wide(topic) for name, topic in ours.items() if not topic.public and counts[name] < wide(topic)}
    )
    return made


def _widen(client: AdminClient, wanted: Mapping[str, int]) -> None:
    """Give topics as many partitions as *wanted*. Raises `Unavailable`."""
    made = client.create_partitions([NewPartitions(name, count) for name, count in wanted.items()]) if wanted else {}
    for name, answer in made.items():
        try:
            answer.result()
        except KafkaException as fault:
            raise Unavailable(
                f"topic {name} did not get {wanted[name]} partitions: {in_words(fault.args[0])}"
            ) from fault


def _check_count(settings: Settings, name: str, count: int, partitions: int) -> None:
    """Raises `Misconfigured` unless a topic of ours can hold what is spread over *partitions*, and holds no more."""
    if count < partitions:
        raise Misconfigured(
            f"topic {name} has {count} partitions, CATSEYE_PARTITIONS asks for {partitions}: set CATSEYE_PARTITIONS to "
            "the number that this fleet began with, or use another CATSEYE_TOPIC_PREFIX"
        )
    if count > partitions:
        beyond = log_bounds(settings, name, list(range(partitions, count)))
        if written := [partition for partition, (_, end) in beyond.items() if end]:
            raise Misconfigured(
                f"topic {name} has records on partition {written[0]} and CATSEYE_PARTITIONS is {partitions}: some "
                "would never be read right. Set CATSEYE_PARTITIONS to the number that this fleet began with, at most "
                f"{count}, or use another CATSEYE_TOPIC_PREFIX"
            )


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
            f"{LONGEST} of the topics cannot be read and raised: {in_words(fault.args[0])}; records up to "
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
    """Refuse to start on topics that do not exist or that cannot hold what cameras send.

    A public one may have any number of partitions. Of ours some may have more than others, for a while: a worker waits
    until they fit together.

    Raises:
        Misconfigured: a topic is missing, has fewer partitions than `CATSEYE_PARTITIONS`, or records beyond those.
    """
    public = {full_name(topic.name, settings.topic_prefix) for topic in TOPICS if topic.public}
    asked, deadline = admin(settings), time.monotonic() + CREATED_S
    while set(names) - (there := asked.list_topics(timeout=10).topics).keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    for name in names:
        if name not in there:
            raise Misconfigured(f"topic {name} does not exist: `catseye topics create` makes it")
        if name not in public:
            _check_count(settings, name, len(there[name].partitions), settings.partitions)


def _partitions(topic: Topic, settings: Settings) -> int:
    return settings.partitions if topic.by_camera else 1
