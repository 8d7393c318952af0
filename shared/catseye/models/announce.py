"""A word on the `models` topic. It needs a broker and no model: who rolls back may have nothing that runs one."""

from confluent_kafka import KafkaError, Producer

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import ModelEvent
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from catseye.settings import Settings


def announce(settings: Settings, codec: Codec, event: ModelEvent) -> None:
    """Write *event* to the `models` topic and wait for the broker's word. Raises `Unavailable`."""
    faults: list[KafkaError] = []
    producer = Producer(
        client_config(settings) | {"enable.idempotence": True, "message.timeout.ms": 30_000, "log_level": 3}
    )
    producer.produce(
        full_name("models", settings.topic_prefix),
        codec.encode(event),
        f"{event.model}/{event.version}".encode(),
        on_delivery=lambda fault, _: faults.append(fault) if fault else None,
    )
    if producer.flush(35) or faults:
        raise Unavailable(f"the broker did not take the model event: {faults or 'no answer'}")
