"""Faust's Kafka transport, made to see committed records only.

Faust 0.15.3 reads uncommitted records unless it writes exactly once, which has open defects (its issues 323, 177 and
136), and has no setting for the one without the other. Alerts, outcomes and model events are written in transactions:
what was taken back must not be acted on. aiokafka takes the level from the consumer when it starts.
"""

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


class _Thread(AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(Consumer):  # type: ignore[misc]
    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):  # type: ignore[misc]
    """What `faust.App.transport` is set to."""

    Consumer = _Consumer
