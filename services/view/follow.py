"""Reads the topics and writes the read model, batch after batch, from the offsets that the read model stands for.

Law: where to go on is known to Redis alone. So after whatever happened (this process killed at any step, Redis killed,
emptied or full, another process writing too) it is asked again, and each record counts once.
"""

import time
from collections import defaultdict
from threading import Event
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from catseye.backoff import Backoff
from catseye.contract.errors import Unavailable
from catseye.contract.topics import full_name
from catseye.kafka.clients import partition_bounds, reader_config
from catseye.kafka.reading import ENDS_SHOWN, FATAL_CODES, partitions_of
from catseye.runtime.restore import WorkerFailed
from catseye.view.store import Part, Store
from services.view import NAME, READS
from services.view.core import ViewCore
from services.view.settings import ViewSettings

POLL_S = 0.2
PROGRESS_EVERY_S = 0.5
ASK_EVERY_S = 1.0  # on a quiet road too, a Redis that was emptied is seen


class Probe(Protocol):
    """Listens: `catseye.runtime.health.Health`."""

    def beat(self) -> None: ...
    def assigned(self, partitions: int, *, ready: bool) -> None: ...
    def connected(self, *, connected: bool) -> None: ...
    def committed(self, records: int, events: Any, work_s: float, commit_s: float) -> None: ...
    def aborted(self, cause: str) -> None: ...


class View:
    """One process that keeps the read model.

    Args:
        settings: Where brokers and Redis are.
        core: Decides what a batch does.
        store: Writes it.
        probe: Is told of everything.
        client_log: Gets the client's own log lines.
    """

    def __init__(self, settings: ViewSettings, core: ViewCore, store: Store, probe: Probe, client_log: Any) -> None:
        self._settings = settings
        self._core = core
        self._store = store
        self._probe = probe
        config = reader_config(settings, f"{settings.topic_prefix}{NAME}") | ENDS_SHOWN | {"fetch.wait.max.ms": 100}
        self._consumer = Consumer(config, logger=client_log)
        self._names = {full_name(read, settings.topic_prefix): read for read in READS}
        self._backoff = Backoff(0.2, 5.0)
        self._next: dict[Part, int] = {}
        self._known: dict[Part, int | None] = {}
        self._ends: dict[Part, int] = {}
        self._whole = False
        self._told_at = 0.0
        self._asked_at = 0.0
        self._lost = False

    def run(self, stop: Event) -> None:
        """Work until *stop* is set. Raises `WorkerFailed` where only a new process can go on."""
        try:
            while not stop.is_set():
                self._probe.beat()
                try:
                    self._open()
                    self._connected(connected=True)
                    self._backoff.reset()
                    while not stop.is_set() and self._step(stop):
                        self._probe.beat()
                except Unavailable as fault:
                    self._connected(connected=False)
                    self._probe.aborted(str(fault))
                    stop.wait(self._backoff.pause_s())
        finally:
            self._consumer.close()
            self._store.close()

    def places(self) -> dict[tuple[str, int], int]:
        """Where it goes on, by full name and partition; may be asked from another thread."""
        full = {read: name for name, read in self._names.items()}
        return {(full[read], partition): offset for (read, partition), offset in self._next.copy().items()}

    def _open(self) -> None:
        stored = self._store.open()
        self._core.begin()
        places, self._ends = [], {}
        self._known = {}
        for name, read in self._names.items():
            for partition in partitions_of(self._settings, read):
                first, end = self._bounds(TopicPartition(name, partition))
                part = read, partition
                self._known[part] = stored.get(part)
                at = stored.get(part, first)
                if not first <= at <= end:
                    self._anew(f"{name}-{partition} begins at {first} and ends at {end}, and the read model is at {at}")
                if end > at:
                    self._ends[part] = end
                self._next[part] = at
                places.append(TopicPartition(name, partition, at))
        self._consumer.assign(places)
        self._whole = not self._ends
        self._progress()
        self._probe.assigned(len(places), ready=True)

    def _bounds(self, place: TopicPartition) -> tuple[int, int]:
        """First offset, and the end of what is committed."""
        try:
            return partition_bounds(self._consumer, place)
        except KafkaException as fault:
            raise Unavailable(f"the bounds of {place.topic} cannot be read: {fault}") from fault

    def _anew(self, why: str) -> None:
        """The log lacks what comes next: what is there cannot go on."""
        self._store.rebuild()
        raise Unavailable(f"the read model is built anew: {why}")

    def _step(self, stop: Event) -> bool:
        """One batch. False: look again where the read model is."""
        began = time.monotonic()
        batch, moved = self._poll()
        if moved:
            started = time.perf_counter()
            writes, changes = self._core.on_batch(batch)
            commands = writes.commands()
            between = {part: (self._known[part], behind) for part, behind in moved.items()}
            work_s = time.perf_counter() - started
            # Nobody can follow a build: who looks at pages is told once, when it is whole.
            if not self._store.write(between, commands, changes if self._whole else None):
                return False
            writes.written()
            self._known |= moved
            self._next |= moved
            records = sum(len(messages) for messages in batch.values())
            self._probe.committed(records, {}, work_s, time.perf_counter() - started - work_s)
            self._asked_at = began
            self._ends = {part: end for part, end in self._ends.items() if self._next[part] < end}
        elif began - self._asked_at > ASK_EVERY_S:
            self._asked_at = began
            if not self._store.write({}, [], None):
                return False
        if not self._whole:
            self._catch_up()
        pause_s = self._settings.view_interval_ms / 1_000 - (time.monotonic() - began)
        if self._whole and pause_s > 0:
            stop.wait(pause_s)
        return True

    def _catch_up(self) -> None:
        self._whole = not self._ends
        if self._whole or time.monotonic() - self._told_at > PROGRESS_EVERY_S:
            self._progress()
        if self._whole:
            self._store.write({}, [], {"whole": True})

    def _progress(self) -> None:
        self._told_at = time.monotonic()
        left = sum(end - self._next[part] for part, end in self._ends.items())
        read = sum(self._next.values())
        self._store.progress(read, read + left, whole=self._whole)

    def _poll(self) -> tuple[dict[str, list[Any]], dict[Part, int]]:
        """What has come, by topic, and up to where each partition is read now."""
        first = self._consumer.poll(POLL_S)
        if first is None:
            return {}, {}
        batch: defaultdict[str, list[Any]] = defaultdict(list)
        moved: dict[Part, int] = {}
        messages: list[Any] = [first, *self._consumer.consume(self._settings.view_max_records - 1, 0)]
        for message in messages:
            error = message.error()
            if error is None:
                part = self._names[message.topic()], message.partition()
                batch[part[0]].append(message)
                moved[part] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                part = self._names[message.topic()], message.partition()
                if message.offset() > self._next[part]:  # behind a marker; records came first
                    moved[part] = max(moved.get(part, 0), message.offset())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._anew(error.str())
            elif error.fatal() or error.code() in FATAL_CODES:
                raise WorkerFailed(f"{NAME} cannot read: {error.str()}")
            else:
                self._probe.aborted(f"read: {error.str()}")
        return batch, moved

    def _connected(self, *, connected: bool) -> None:
        if self._lost == connected:
            self._lost = not connected
            self._probe.connected(connected=connected)
