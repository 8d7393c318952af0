"""Keeps what is published on disk until the broker has it: a broker that is away, and a process that is killed, cost
no record for which the ring has room.

::

    with DiskRing(Path("gate-7.sqlite"), settings) as ring:
        publisher = Publisher(settings, camera="gate-7", outbox=ring)
        publisher.publish(jpeg)  # returns when it is on disk

What lies there when it is opened goes out first, as it was, under the names of frames that it had: ingest takes those
for repeats that the broker had acknowledged without our knowing. It remembers 2,048 numbers of each of a camera's last
eight boots, so no more than `IN_FLIGHT` records are under way at once, all of one boot.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from catseye.client.config import kafka_logger, publisher_config
from catseye.client.ring_store import Kept, RingStore
from catseye.contract.errors import Unavailable
from catseye.kafka.clients import in_words

if TYPE_CHECKING:
    from catseye.client.publisher import Outbox
    from catseye.settings import Settings

IN_FLIGHT: Final = 512
"""Records that are under way at once, at most, and some more of a bundle: a quarter of what ingest remembers."""
MAX_BYTES: Final = 256 * 2**20
_STEP_S: Final = 0.2
_NEVER_TAKEN: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_RECORD: Final = "record"

OnDelivery = Callable[[Any, Any], None]


class DiskRing:
    """An outbox of a `Publisher` that lies on disk. Use it in a with-statement: a thread of it hands records on.

    Args:
        file: Where they lie; of one process at a time.
        settings: Where the brokers are.
        max_bytes: Room on disk; the oldest records are dropped, and counted, when there is no more.
        outbox: Where records go; left out, the broker, which is waited for as long as it takes.

    Raises:
        Misconfigured: as `RingStore`.
    """

    def __init__(
        self, file: Path, settings: Settings, *, max_bytes: int = MAX_BYTES, outbox: Outbox | None = None
    ) -> None:
        self._store = RingStore(file, max_bytes)
        self._in_flight_max_bytes = max_bytes // 4  # on disk up to twice as much; the rest can always be dropped
        # Never given up: what a client gives up may have arrived, and would be sent by nobody until the next start.
        config = publisher_config(settings) | {"message.timeout.ms": 0}
        self._outbox: Outbox = outbox if outbox is not None else Producer(config, logger=kafka_logger())
        self._lock = threading.RLock()
        self._reports: deque[tuple[int, Any, Any]] = deque()
        self._callbacks: dict[int, OnDelivery] = {}
        self._in_flight: dict[int, int] = {}  # place to bytes
        self._in_flight_bytes = 0
        self._run = 0
        self._bundle: list[tuple[tuple[str, bytes, bytes], OnDelivery]] | None = None
        self._fault: Unavailable | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ring", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._store.close()

    @property
    def file(self) -> Path:
        """Where records lie."""
        return self._store.file

    @property
    def waiting(self) -> int:
        """Records that the broker has not acknowledged."""
        return self._store.count

    @property
    def dropped(self) -> dict[str, int]:
        """Bundles that were dropped since the file was made, by what they were."""
        return dict(self._store.dropped)

    @contextmanager
    def together(self, what: str) -> Iterator[None]:
        """Records that are published within are one bundle: kept, sent and dropped together.

        Args:
            what: What it is, as drops are counted.

        Raises:
            Unavailable: the disk is full or broken, or a bundle is lost to the broker for ever.
        """
        with self._lock:
            self._bundle = []
            try:
                yield
                self._keep(what, self._bundle)
            finally:
                self._bundle = None

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: OnDelivery) -> None:
        """As of a producer; returns when the record is on disk. Raises `Unavailable` as `together`."""
        with self._lock:
            record = (topic, key, value), on_delivery
            if self._bundle is not None:
                self._bundle.append(record)
            else:
                self._keep(_RECORD, [record])

    def poll(self, timeout: float) -> int:
        """Let the broker's answers count and hand on what waits; they are waited for so long. Raises `Unavailable`."""
        served = self._outbox.poll(timeout)
        with self._lock:
            if self._bundle is None:
                self._settle()
                self._hand_on()
        return served

    def flush(self, timeout: float) -> int:
        """Wait until the broker has all; how many records it still has not after *timeout* seconds.

        Raises:
            Unavailable: as `together`.
        """
        until_s = time.monotonic() + timeout
        self.poll(0)
        while self._store.count and (left_s := until_s - time.monotonic()) > 0:
            self._raise_fault()
            self.poll(min(_STEP_S, left_s))
        self._raise_fault()
        return self._store.count

    def _work(self) -> None:
        """Of the thread."""
        while not self._closing.is_set():
            try:
                self.poll(_STEP_S)
            except Unavailable as fault:
                self._fault = fault
                return

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _keep(self, what: str, bundle: list[tuple[tuple[str, bytes, bytes], OnDelivery]]) -> None:
        self._raise_fault()
        if not bundle:
            return
        places, lost = self._store.put(what, [record for record, _ in bundle])
        self._callbacks |= {place: on_delivery for place, (_, on_delivery) in zip(places, bundle, strict=True)}
        for place in lost:
            self._callbacks.pop(place, None)
        self._hand_on()

    def _hand_on(self) -> None:
        """As many as may be under way. Those of another run wait until none of the one before is."""
        while len(self._in_flight) < IN_FLIGHT and self._in_flight_bytes < self._in_flight_max_bytes:
            bundle = self._store.next_bundle()
            if not bundle or (self._in_flight and bundle[0].run != self._run):
                return
            self._run = bundle[0].run
            self._store.hand_on(bundle)
            for record in bundle:
                self._in_flight[record.number] = len(record.value)
                self._in_flight_bytes += len(record.value)
                reported = self._reporting(record)
                try:
                    self._outbox.produce(record.topic, record.value, record.key, on_delivery=reported)
                except KafkaException as fault:  # what it knows without the broker, such as a record that is too large
                    reported(fault.args[0], None)

    def _reporting(self, record: Kept) -> OnDelivery:
        def reported(fault: Any, message: Any) -> None:
            self._reports.append((record.number, fault, message))

        return reported

    def _settle(self) -> None:
        """What the broker has, or none will take, is done with; another fault leaves it for the next start."""
        done, refused = list[int](), 0
        answers: list[tuple[OnDelivery, Any, Any]] = []
        while self._reports:
            place, fault, message = self._reports.popleft()
            self._in_flight_bytes -= self._in_flight.pop(place)
            if fault is None:
                done.append(place)
            elif isinstance(fault, KafkaError) and fault.code() in _NEVER_TAKEN:
                done.append(place)
                refused += 1
            else:
                self._fault = Unavailable(
                    f"the broker does not take what lies in the ring {self.file}: {_words(fault)}"
                )
            if on_delivery := self._callbacks.pop(place, None):
                answers.append((on_delivery, fault, message))
        if done:
            self._store.remove(done, refused)
        for on_delivery, fault, message in answers:
            on_delivery(fault, message)


def _words(fault: Any) -> str:
    return in_words(fault) if isinstance(fault, KafkaError) else str(fault)
