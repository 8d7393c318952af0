"""The same work as a core of `catseye.runtime.worker`: what its restores, rebalances and aborts cost beside the bare
loop."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from threading import Event

from catseye.contract.message import Message
from catseye.runtime.stream import Core, KeyedState, NoState, Row, S, Tally
from catseye.runtime.worker import Worker
from catseye.settings import Settings
from infra.benches.peers.flags import parse

COPIED = (1).to_bytes(8, "big")


class Copy(Tally):
    """Writes 1 into the count of every record.

    Args:
        topic: Of the results.
    """

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def new_state(self) -> NoState:
        """Nothing is kept."""
        return NoState()

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        """One result a record."""
        topic = self._topic
        return [(topic, m.partition(), m.key(), (v := m.value() or b"")[:8] + COPIED + v[16:]) for m in batch]

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        """Time changes nothing."""
        return []


class Count(Tally):
    """Numbers the records of each key.

    Args:
        topic: Of the results.
    """

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def new_state(self) -> KeyedState:
        """Counts by key, 8 bytes each."""
        return KeyedState()

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, KeyedState], now_ms: int) -> list[Row]:
        """One numbered result a record."""
        topic = self._topic
        outputs: list[Row] = []
        for message in batch:
            partition, key, value = message.partition(), message.key() or b"", message.value() or b""
            state = states[partition]
            number = (int.from_bytes(state.get(key) or b"", "big") + 1).to_bytes(8, "big")
            state.put(key, number)
            outputs.append((topic, partition, key, value[:8] + number + value[16:]))
        return outputs

    def on_time(self, states: Mapping[int, KeyedState], now_ms: int) -> list[Row]:
        """Time changes nothing."""
        return []


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def main() -> None:
    """Run the worker until SIGTERM."""
    flags = parse(__doc__ or "")
    settings = Settings(
        kafka_bootstrap_servers=flags.bootstrap,
        topic_prefix="",
        partitions=flags.partitions,
        delivery=flags.delivery,
        transaction_max_records=flags.batch,
        session_timeout_ms=45_000,  # the other peers' default: they are stopped while the load is laid out
    )
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def work(core: Core[S], state_topic: str | None) -> None:
        Worker(flags.group, core, [flags.input], state_topic, settings, clock=now_ms).run(stop)

    if flags.mode == "copy":
        work(Copy(flags.output), None)
    else:
        work(Count(flags.output), flags.state)


if __name__ == "__main__":
    main()
