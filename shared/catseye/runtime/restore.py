"""How a worker gets back what it knew: its state topic, read to the end."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from catseye.kafka.clients import log_bounds, reader_config
from catseye.runtime.stream import State
from catseye.settings import Settings

RESTORE_CHUNK = 10_000  # records of the state topic between two signs of life
SAID_ALOUD = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._FATAL,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


class WorkerFailed(Exception):
    """The worker cannot go on with its clients; a new process can."""


class Restore:
    """Reads a state topic up to its high watermark, a chunk at a time."""

    def __init__(self, topic: str, states: Mapping[int, State], settings: Settings) -> None:
        self._states: Mapping[int, State] = states
        bounds = log_bounds(settings, topic, list(states))
        self._ends = {partition: end for partition, (first, end) in bounds.items() if end > first}
        # Ends of partition are events here: their offset is a position, transaction markers included.
        self._reader = Consumer(
            reader_config(settings, f"{topic}.restore") | {"enable.partition.eof": True, "fetch.wait.max.ms": 20}
        )
        self._reader.assign([TopicPartition(topic, partition, bounds[partition][0]) for partition in self._ends])

    def step(self) -> bool:
        """Take the next chunk. True when every state is whole."""
        if not self._ends:
            return True
        chunk: list[Any] = self._reader.consume(RESTORE_CHUNK, 0.05)
        for message in chunk:
            error = message.error()
            if error is None:
                self._states[message.partition()].restore(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                # Below the high watermark it is the last stable offset: a transaction is open there, wait for its end.
                if message.offset() >= self._ends.get(message.partition(), 0):
                    self._ends.pop(message.partition(), None)
            elif error.code() in SAID_ALOUD:
                raise WorkerFailed(f"the state cannot be restored: {error.str()}")
        return not self._ends

    def close(self) -> None:
        self._reader.close()
