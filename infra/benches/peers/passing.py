"""One hop of a pass-through copy: the worker, its topics and its transactions, and a core that looks at nothing.

The first hop writes each record as it is, the second its first bytes, as many as a prediction has. Neither keeps
state, so its transactions are, if anything, lighter than those of ingest.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Mapping, Sequence
from threading import Event

from catseye import clock
from catseye.contract.message import Message
from catseye.contract.topics import full_name
from catseye.runtime.stream import NoState, Row, Tally
from catseye.runtime.worker import Worker
from catseye.settings import Settings, load


class Passing(Tally):
    """Copies records.

    Args:
        topic: Full name of the one that they go to.
        most_bytes: Longest value that is written; what is longer is cut off.
    """

    new_state = NoState

    def __init__(self, topic: str, most_bytes: int) -> None:
        super().__init__()
        self._topic = topic
        self._most_bytes = most_bytes

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        """One copy a record."""
        topic, end = self._topic, self._most_bytes
        return [(topic, m.partition(), m.key(), (m.value() or b"")[:end]) for m in batch]

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> list[Row]:
        """Time changes nothing."""
        return []


def main() -> None:
    """Run one hop until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="of the service whose place it takes")
    parser.add_argument("--read", action="append", required=True, help="topic without prefix; may be repeated")
    parser.add_argument("--write", required=True, help="topic without prefix")
    parser.add_argument("--most-bytes", type=int, required=True, help="longest value that is written")
    flags = parser.parse_args()
    settings = load(Settings)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    core = Passing(full_name(flags.write, settings.topic_prefix), flags.most_bytes)
    reads = [full_name(name, settings.topic_prefix) for name in flags.read]
    Worker(flags.name, core, reads, None, settings, clock=clock.now_ms).run(stop)


if __name__ == "__main__":
    main()
