"""What a producer is told to be on the log is there, though a partition's leader moves as it begins (decision 0027)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from catseye.client.config import publisher_config
from catseye.runtime.worker_clients import producer_config
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from tests.system.moving_leader import moving_leader

pytestmark = pytest.mark.broker

Config = Mapping[str, Any]
OF_ALL = "delivery.report.only.error"


def of_a_publisher(settings: Settings) -> Config:
    return publisher_config(settings)


def of_a_worker(settings: Settings) -> Config:
    return {**producer_config(settings, settings.topic_prefix), OF_ALL: False}


def of_one_with_five_under_way(settings: Settings) -> Config:
    """As librdkafka comes."""
    return {**publisher_config(settings), "max.in.flight.requests.per.connection": 5}


@pytest.mark.parametrize(
    ("config_of", "stands"),
    [
        (of_a_publisher, [b"first", b"second"]),
        (of_a_worker, [b"first", b"second"]),
        (of_one_with_five_under_way, [b"second"]),
    ],
)
def test_what_was_reported_as_delivered_stands_on_the_log(
    config_of: Callable[[Settings], Config], stands: list[bytes], broker: KafkaCluster, prefix: str
) -> None:
    """Of a worker in one transaction. A producer with more than one request under way is found out by the same."""
    topic, servers = f"{prefix}t", dict[str, Any]({"bootstrap.servers": broker.bootstrap_servers})
    admin = AdminClient(servers)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
    delivered: list[bytes] = []

    def report(fault: Any, message: Any) -> None:
        assert fault is None
        delivered.append(message.value())

    with moving_leader(broker.bootstrap_servers, topic) as leader:
        config = config_of(Settings(kafka_bootstrap_servers=leader.address, topic_prefix=prefix))
        producer = Producer({**config, "linger.ms": 0})
        if "transactional.id" in config:
            producer.init_transactions(60)
            producer.begin_transaction()
        producer.produce(topic, b"first", on_delivery=report)
        while not leader.first.wait(0.05):
            producer.poll(0)
        producer.produce(topic, b"second", on_delivery=report)
        if "transactional.id" in config:
            producer.commit_transaction(60)
        assert producer.flush(60) == 0
    assert sorted(delivered) == [b"first", b"second"]
    assert on_the_log(servers, topic) == stands


def on_the_log(servers: dict[str, Any], topic: str) -> list[bytes | None]:
    """All values of a topic of one partition, committed ones."""
    reader = Consumer({**servers, "group.id": topic, "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes | None] = []
    while (message := reader.poll(60)) is not None and not message.error():
        found.append(message.value())
    reader.close()
    return found
