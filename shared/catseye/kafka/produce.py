"""Write one record and wait until the broker has it: for commands and other rare words, not for a stream."""

from typing import Final

from confluent_kafka import KafkaError, Producer

from catseye.contract.errors import Unavailable
from catseye.kafka.clients import client_config
from catseye.settings import Settings

_TIMEOUT_S: Final = 30.0


def produce_and_wait(settings: Settings, topic: str, value: bytes, key: bytes) -> None:
    """Write one record to *topic*, its full name. Raises `Unavailable` unless the broker has it within 30 s."""
    faults: list[KafkaError] = []
    producer = Producer(
        client_config(settings)
        | {"enable.idempotence": True, "message.timeout.ms": round(_TIMEOUT_S * 1_000), "log_level": 3}
    )
    producer.produce(topic, value, key, on_delivery=lambda fault, _: faults.append(fault) if fault else None)
    # A little longer, so that the client can still say what was wrong.
    if producer.flush(_TIMEOUT_S + 5) or faults:
        raise Unavailable(f"the broker did not take a record for {topic}: {faults or 'no answer'}")
