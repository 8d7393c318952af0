"""How a worker gets back what it knew: its state topic, read to the end."""

import math
from collections.abc import Mapping

from confluent_kafka import Consumer

from catseye.contract.errors import Fault, Unavailable
from catseye.kafka.clients import SILENT, log_bounds, reader_config
from catseye.kafka.reading import ENDS_SHOWN, read_to
from catseye.runtime.stream import State
from catseye.settings import Settings

RESTORE_CHUNK = 10_000  # records of the state topic between two signs of life


class WorkerFailed(Fault):
    """The worker cannot go on with its clients; a new process can."""


class Restore:
    """Reads a state topic up to its high watermark, a chunk at a time: between two, the worker serves its group.

    Raises:
        Unavailable: the broker does not answer.
    """

    def __init__(self, topic: str, states: Mapping[int, State], settings: Settings) -> None:
        self._states: Mapping[int, State] = states
        bounds = log_bounds(settings, topic, list(states))
        self._reader = Consumer(
            reader_config(settings, f"{topic}.restore") | ENDS_SHOWN | SILENT | {"fetch.wait.max.ms": 20},
        )
        # For as long as it takes: a transaction that is open below the high watermark has an end, the broker's at last.
        self._chunks = read_to(
            self._reader,
            {(topic, partition): own for partition, own in bounds.items()},
            most=RESTORE_CHUNK,
            quiet_s=math.inf,
        )

    def step(self) -> bool:
        """Take the next chunk. True when every state is whole. Raises `WorkerFailed`."""
        try:
            chunk = next(self._chunks, None)
        except Unavailable as fault:
            raise WorkerFailed(f"the state cannot be restored: {fault}") from fault
        if chunk is None:
            return True
        for message in chunk.messages:
            self._states[message.partition()].restore(message.key(), message.value())
        return False

    def close(self) -> None:
        self._reader.close()
