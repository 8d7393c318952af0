"""The interface of worker and core: records in, records and changed state out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from catseye.contract.message import Headers, Message
from catseye.runtime.presence import Faults
from catseye.runtime.progress import Progress

Row = tuple[str, int, bytes | None, bytes | None]
"""A record to write: full topic name, partition, key and value. Made three times as fast as an `Output`, for cores
that do little else."""


class Output(NamedTuple):
    """A `Row` whose parts have names, and that may have headers."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class State(Protocol):
    """What a core knows of one partition. Every change is kept revocable until `commit`."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the state topic, oldest first; None removes the key."""

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        """Keys that changed since the last commit, once each, with what they are now; None when removed."""

    def commit(self) -> None:
        """The changes are on the log: forget how it was before."""

    def rollback(self) -> None:
        """The changes are not on the log: be again as at the last commit."""


S = TypeVar("S", bound=State)


class Core(Protocol[S]):
    """Decides what a batch leads to. Same batch, same states, same time: same outputs."""

    def new_state(self) -> S:
        """State of a partition that nothing is known of."""

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, S], now_ms: int) -> Sequence[Row | Output]:
        """Take records, in order within each partition; *states* has every assigned partition."""

    def on_time(self, states: Mapping[int, S], now_ms: int) -> Sequence[Row | Output]:
        """Time went by; called between batches, at least every second."""

    def on_progress(self, *roads: Progress) -> None:
        """How far the services before have worked, of each road that the core asks about; not called before that is
        observed."""

    def on_faults(self, faults: Faults) -> None:
        """What is wrong with services; called where the core listens to their heartbeats, once they are known."""

    def on_partitions(self, counts: Mapping[str, int]) -> None:
        """How many partitions each topic has that is read, by its name; called whenever partitions come."""

    def counted(self) -> Counter[str]:
        """How often what happened since this was last asked, by event, for example ``duplicate``."""


class Tally:
    """Counts events between two transactions, so that what was rolled back is not counted; asks about no road and
    no service."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    def counted(self) -> Counter[str]:
        """Hand over the counts and start from nothing."""
        events, self.events = self.events, Counter()
        return events

    def on_progress(self, *roads: Progress) -> None:
        """How far the services before have worked is all the same to it."""

    def on_faults(self, faults: Faults) -> None:
        """So is what is wrong with services."""

    def on_partitions(self, counts: Mapping[str, int]) -> None:
        """How many partitions topics have is all the same to it."""


class NoState:
    """State of a core that remembers nothing."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        pass

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        return ()

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        pass


class KeyedState:
    """A mapping of bytes to bytes with one step back: enough for whatever fits in memory as it stands on the log."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def items(self) -> Sequence[tuple[bytes, bytes]]:
        return list(self._values.items())

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set *key*, or remove it with None."""
        values = self._values
        if key not in self._before:
            self._before[key] = values.get(key)
        # As `_set`, written out: a call costs as much again.
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._set(key, value)

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        now = self._values.get
        return [(key, now(key)) for key in self._before]

    def commit(self) -> None:
        self._before.clear()

    def rollback(self) -> None:
        for key, value in self._before.items():
            self._set(key, value)
        self._before.clear()

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
