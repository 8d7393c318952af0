"""The one place that knows how clients of the broker are set up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from catseye.contract.errors import Unavailable

if TYPE_CHECKING:
    from catseye.settings import Settings

# Of a partition that was made, or whose broker was lost, a moment ago; librdkafka looks for the new one meanwhile.
LEADER_MOVES = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION}
T = TypeVar("T")
Config = dict[str, str | int | float | bool]
SILENT: Config = {"log_level": 0}
"""Of a client whose caller reports what fails: librdkafka would print the same to standard error, again and again."""
IDEMPOTENT: Config = {"enable.idempotence": True, "max.in.flight.requests.per.connection": 1}
"""Of a producer that repeats nothing and loses nothing, from its first request on. With several requests under way the
first may fail while the next is written: a broker that knows nothing of a producer takes it to begin there, refuses the
first when it comes again, and librdkafka 2.16.0 reports that as delivered (decision 0027)."""


def in_words(fault: KafkaError) -> str:
    """What *fault* means, for a person. Where no broker said what it can do, librdkafka speaks of features of one."""
    if fault.code() == KafkaError._UNSUPPORTED_FEATURE:
        return (
            "what answers there did not say which requests it knows: it is no broker, one that is starting, or one "
            "older than 0.11; is KAFKA_BOOTSTRAP_SERVERS right? `catseye doctor` tells"
        )
    words: str = fault.str()
    return words


def client_config(settings: Settings) -> Config:
    """What every librdkafka client needs to reach the brokers."""
    config: Config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 1_000,
    }
    if "SASL" in settings.kafka_security_protocol:
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password,
        }
    if "SSL" in settings.kafka_security_protocol:
        config |= {
            key: value
            for key, value in {
                "ssl.ca.location": settings.kafka_ssl_ca_location,
                "ssl.certificate.location": settings.kafka_ssl_certificate_location,
                "ssl.key.location": settings.kafka_ssl_key_location,
            }.items()
            if value
        }
    return config


def reader_config(settings: Settings, group: str) -> Config:
    """A consumer that sees committed records only and never resets its place by itself."""
    return client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        # A full local queue makes librdkafka pause its fetches for this long; its default of 1 s shows in latencies.
        "fetch.queue.backoff.ms": 10,
        "fetch.error.backoff.ms": 50,
        "queued.max.messages.kbytes": 32_768,
    }


def partition_bounds(reader: Consumer, place: TopicPartition) -> tuple[int, int]:
    """First offset and high watermark of one partition; a leader that has just moved is waited for.

    Raises:
        KafkaException: the broker does not answer, or will not.
    """
    return once_led(lambda: reader.get_watermark_offsets(place, timeout=10))


def offsets_at(reader: Consumer, asked: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
    """Where each partition was at the time that stands for its offset, as `Consumer.offsets_for_times` takes it.

    A leader that has just moved is waited for. A client that knows fewer partitions of a topic than there are, since it
    was widened, is told: by itself it would ask in minutes.

    Raises:
        KafkaException: the broker does not answer for every partition, or will not.
    """

    def ask() -> list[TopicPartition]:
        found: list[TopicPartition] = reader.offsets_for_times(list(asked), timeout=timeout_s)
        for place in found:
            if place.error:
                raise KafkaException(place.error)
        return found

    def ask_or_learn() -> list[TopicPartition]:
        try:
            return ask()
        except KafkaException as fault:
            if fault.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                for topic in {place.topic for place in asked}:
                    reader.list_topics(topic, timeout=timeout_s)
            raise

    return once_led(ask_or_learn)


def once_led(ask: Callable[[], T]) -> T:
    """What *ask* answers, asked again for up to ten seconds while a partition has no leader."""
    import stamina  # noqa: PLC0415 - a third of what the SDK takes to import, and seldom needed before a first read

    again = stamina.retry(
        on=_leader_moves, attempts=None, timeout=10, wait_initial=0.05, wait_max=0.5, wait_jitter=0.05
    )
    return again(ask)()


def _leader_moves(fault: Exception) -> bool:
    return isinstance(fault, KafkaException) and fault.args[0].code() in LEADER_MOVES


def log_bounds(settings: Settings, name: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
    """First offset and high watermark of each partition: the whole log, open transactions included.

    Raises:
        Unavailable: the broker does not answer.
    """
    config = client_config(settings) | {"group.id": "log-bounds", "isolation.level": "read_uncommitted"} | SILENT
    reader = Consumer(config)
    try:
        return {partition: partition_bounds(reader, TopicPartition(name, partition)) for partition in partitions}
    except KafkaException as fault:
        raise Unavailable(f"the bounds of {name} cannot be read: {fault}") from fault
    finally:
        reader.close()
