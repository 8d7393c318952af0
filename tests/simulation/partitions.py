"""A log and a worker in memory: the core under test, its state topic and its outputs, with aborts and crashes on order.

Proven against the real worker by tests/system/test_worker.py, which runs the same stories on a broker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from catseye.contract.message import Headers
from catseye.runtime.stream import Core, Output, State

S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class FakeMessage:
    """A record on one partition; satisfies `catseye.runtime.stream.Message`."""

    topic_name: str
    body: bytes | None
    at: int = 0
    place: int = 0
    name: bytes | None = b"cam"
    written: tuple[int, int] = (2, 0)
    heads: Headers | None = None

    def topic(self) -> str:
        return self.topic_name

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return self.written

    def headers(self) -> Headers | None:
        return self.heads


class Partition(Generic[S]):
    """One partition's worker: `take` commits, `abort` does the work and drops it, `crash` starts from the log."""

    def __init__(self, make_core: Callable[[], Core[S]]) -> None:
        self._make_core = make_core
        self.core = make_core()
        self.state = self.core.new_state()
        self.state_log: list[tuple[bytes, bytes | None]] = []
        self.outputs: list[Output] = []

    def take(self, batch: Sequence[FakeMessage], now_ms: int = 0) -> None:
        outputs = self.core.on_batch(batch, {0: self.state}, now_ms)
        self.state_log += self.state.changes()
        self.outputs += [Output(*row) for row in outputs]
        self.state.commit()
        self.core.counted()

    def abort(self, batch: Sequence[FakeMessage], now_ms: int = 0) -> None:
        self.core.on_batch(batch, {0: self.state}, now_ms)
        self.state.changes()
        self.state.rollback()
        self.core.counted()

    def crash(self) -> None:
        self.core = self._make_core()
        self.state = self.rebuilt()

    def rebuilt(self) -> S:
        state = self.core.new_state()
        for key, value in self.state_log:
            state.restore(key, value)
        state.commit()
        return state
