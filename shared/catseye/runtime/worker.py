"""The one loop of the data plane: poll a batch, let a pure core decide, write outputs, changed state and offsets in
one transaction.

Law: what a reader at read_committed sees of a batch is all of it or nothing, once. Offsets travel with the group's
metadata (KIP-447), so a worker that was paused past its session is refused; state is restored to the high watermark,
so an open transaction of the worker before is waited out; after an abort positions and state are those of the last
commit; after a fatal error the process ends and its supervisor starts another. Each place is committed with the id of
its topic: a place on a topic that was deleted since is none on the one that has its name now, which is read from its
start.
"""

import gc
import time
from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import Any, Generic, TypeVar

from confluent_kafka import Consumer, KafkaError, TopicPartition

from catseye.backoff import Backoff
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.message import Message
from catseye.kafka.admin import check_partitions
from catseye.kafka.reading import FATAL_CODES
from catseye.kafka.topics_now import TopicsNow
from catseye.runtime.connection import ASK_EVERY_S
from catseye.runtime.outbox import Aborted, Outbox
from catseye.runtime.places import Places, fit
from catseye.runtime.presence import Faults
from catseye.runtime.probe import NullProbe, Probe
from catseye.runtime.progress import Progress
from catseye.runtime.restore import Restore, WorkerFailed
from catseye.runtime.stream import Core, Output, Row, State
from catseye.runtime.transaction_size import TransactionSize
from catseye.runtime.worker_clients import consumer_config
from catseye.settings import Settings

S = TypeVar("S", bound=State)

TICK_S = 0.2  # how often on_time of the core is called when nothing comes in
IDLE_POLL_S = 0.1  # how long one poll waits; bounds the time that a stop takes
LEAVE_S = 2.0  # how long a clean stop may take to leave the group; without a broker there is nobody to tell
IDLE_COMMIT_S = 1.0  # shortest time between two commits of places that moved though no record came
FIRST_PAUSE_S = 0.25  # before a batch is tried again for which a server was away,
LONGEST_PAUSE_S = 2.0  # and after many times: a server that is back is noticed within this


class Worker(Generic[S]):
    """Runs one core over the partitions that its group gives it.

    Args:
        name: Name of the service; it names the group and, with the instance, the transactions.
        core: Decides.
        reads: Full names of the topics; all but those of *anywhere* have the same number of partitions.
        state_topic: Full name of the compacted topic of its state; None for a core that remembers nothing.
        settings: Common settings.
        clock: Unix milliseconds.
        probe: Observes what happens.
        client_log: Its `log` gets librdkafka's own lines while a client is polled; None leaves them on standard error.
        progress: Gives what the core's `on_progress` takes when there is something new, None when there is not.
        faults: The same for `on_faults`.
        anywhere: Those of *reads* that a camera's records may lie anywhere on, with any number of partitions: no state
            belongs to those.
        topics: Asks for the topics and their ids; who watches them asks it again and again.
        made_anew: Gets the full name of a topic that was deleted and made again, once it is read from its start.
    """

    def __init__(
        self,
        name: str,
        core: Core[S],
        reads: Sequence[str],
        state_topic: str | None,
        settings: Settings,
        *,
        clock: Callable[[], int],
        probe: Probe | None = None,
        client_log: object | None = None,
        progress: Callable[[], Sequence[Progress] | None] = lambda: None,
        faults: Callable[[], Faults | None] = lambda: None,
        anywhere: Collection[str] = (),
        topics: TopicsNow | None = None,
        made_anew: Callable[[str], None] = lambda topic: None,
    ) -> None:
        self._core = core
        self._joined = [topic for topic in reads if topic not in anywhere]
        self._reads = list(reads)
        self._state_topic = state_topic
        self._settings = settings
        self._clock = clock
        self._probe = probe or NullProbe()
        self._progress = progress
        self._faults = faults
        times_ms = settings.transaction_target_ms, settings.transaction_interval_ms
        self._size = TransactionSize(*(ms / 1_000 for ms in times_ms), most=settings.transaction_max_records)
        self._states: dict[int, S] = {}
        self._restore: Restore | None = None
        self._paused = False
        self._unfit = False  # topics do not fit together: nothing is read until they do
        self._fits_at = 0.0
        self._ticked_at = 0.0
        self._idle_commit_at = 0.0
        self._not_before = 0.0
        self._waits = Event()
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._group = f"{settings.topic_prefix}{name}"
        self._identity = f"{self._group}.{settings.instance}"
        logged: dict[str, object] = {"logger": client_log} if client_log else {}
        self._consumer = Consumer(consumer_config(settings, self._group, self._identity) | logged)
        topics = topics or TopicsNow(settings, [*reads, *([state_topic] if state_topic else [])])
        self._places = Places(self._consumer, self._group, topics, made_anew)
        self._outbox = Outbox(settings, self._identity, reads[0], self._probe, logged)

    def run(self, stop: Event) -> None:
        """Work until *stop* is set.

        Raises:
            Misconfigured: topics do not fit together, or the place to go on from has fallen off the log.
            WorkerFailed: the clients cannot go on.
        """
        check_partitions(self._settings, (*self._reads, *([self._state_topic] if self._state_topic else [])))
        self._outbox.init()
        self._consumer.subscribe(
            self._reads, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        self._waits = stop
        # What is alive now stays; batches are big and die young, so looking for cycles every 700 objects is waste.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)
        try:
            while not stop.is_set():
                self._probe.beat()
                self._outbox.serve()
                self._step()
            self._leave()
        except Misconfigured:
            self._leave()  # a person has to come first: it is not there again before its session ends
            raise
        finally:
            if self._restore:
                self._restore.close()
            self._consumer.close()
            self._outbox.serve_callbacks()

    def places(self) -> dict[tuple[str, int], int]:
        """Where it goes on, of each partition that it has; may be asked from another thread."""
        return self._places.next.copy()

    def _leave(self) -> None:
        """Leave the group at a clean stop, so that others have the partitions at once; and where a person is asked to
        move what the group has committed, which Kafka allows while it has no member.

        A static member that only closes keeps them until its session ends (KIP-345): what one that fails must do, who
        is there again before that. Unsubscribed first, librdkafka sends the request; it has no member id from then on.
        """
        self._consumer.unsubscribe()
        until = time.monotonic() + LEAVE_S
        while self._consumer.memberid() and time.monotonic() < until:
            self._consumer.poll(IDLE_POLL_S)

    # -- one turn of the loop

    def _step(self) -> None:
        if self._unfit:
            self._wait_until_topics_fit()
            return
        if self._restore:
            stray = self._consumer.poll(0)  # every partition is paused: this only serves the group
            if stray is not None and (error := stray.error()):
                self._on_read_error(error)
            if self._restore and self._restore.step():
                self._restore.close()
                self._restore = None
                for state in self._states.values():
                    state.commit()
            return
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
            self._probe.assigned(len(self._states), ready=True)
        if self._places.begin_anew():
            self._go_on()
        batch = self._poll()
        due = time.monotonic() - self._ticked_at >= TICK_S
        if batch or (due and self._states and not self._paused):  # paused: partitions came, their state is not whole
            self._transact(batch, tick=due)

    def _wait_until_topics_fit(self) -> None:
        """Serve the group only. Whoever mends topics that are read moves partitions; the state's are asked for."""
        stray = self._consumer.poll(IDLE_POLL_S)
        if stray is not None and (error := stray.error()):
            self._on_read_error(error)
        if self._unfit and time.monotonic() >= self._fits_at:
            self._on_assign(self._consumer, [TopicPartition(*place) for place in self._places.next])

    def _poll(self) -> list[Message]:
        """Whatever has come in, at most one transaction's worth; waits only for the first record."""
        epoch = self._places.next
        first = self._consumer.poll(IDLE_POLL_S)
        if first is None:
            return []
        if (early_s := self._not_before - time.monotonic()) > 0:
            self._waits.wait(early_s)
        batch: list[Any] = [first]
        if (more := self._size.records() - 1) > 0:
            batch += self._consumer.consume(more, 0)
        faults = [message.error() for message in batch if message.error()]
        for fault in faults:  # before all else: a fatal one comes once only, and may come with the loss of partitions
            self._on_read_error(fault)
        if epoch is not self._places.next:
            return []  # partitions moved while polling; whatever is still ours is read again from its last commit
        return [message for message in batch if not message.error()] if faults else batch

    def _transact(self, batch: list[Message], *, tick: bool) -> None:
        started = time.perf_counter()
        self._not_before = time.monotonic() + self._settings.transaction_interval_ms / 1_000
        try:
            outputs = self._decided(batch, tick=tick)
        except Unavailable as fault:
            self._back_to_last_commit()
            self._probe.aborted(str(fault))
            self._waits.wait(self._backoff.pause_s())
            return
        self._backoff.reset()
        changed: list[Row] = [
            (self._state_topic, partition, key, value)
            for partition, state in self._states.items()
            for key, value in state.changes()
            if self._state_topic
        ]
        if not (batch or outputs or changed or self._passed_markers()):
            return
        self._outbox.begin()
        try:
            self._outbox.write(outputs)
            # Without a transaction the state must not be on the log before the outputs that it stands for: they
            # would count as written, whatever became of them.
            waited_s = 0.0 if self._outbox.transactional else self._outbox.delivered()
            self._outbox.write(changed)
            work_s = time.perf_counter() - started - waited_s
            positions = self._places.positions()
            self._commit(positions)
        except Aborted as fault:
            self._back_to_last_commit()
            self._probe.aborted(str(fault))
            return
        commit_s = time.perf_counter() - started - work_s
        self._places.are_committed(positions)
        for state in self._states.values():
            state.commit()
        if batch:
            if self._size.is_used_up(len(batch)):
                self._not_before = 0.0  # more waits: to let it wait for the next interval only builds up a backlog
            self._size.took(len(batch), work_s, commit_s)
        self._probe.committed(len(batch), self._core.counted(), work_s, commit_s)

    def _decided(self, batch: list[Message], *, tick: bool) -> Sequence[Row | Output]:
        now_ms = self._clock()
        if (news := self._progress()) is not None:
            self._core.on_progress(*news)
        if (faults := self._faults()) is not None:
            self._core.on_faults(faults)
        outputs = self._core.on_batch(batch, self._states, now_ms) if batch else []
        if tick:
            self._ticked_at = time.monotonic()
            outputs = [*outputs, *self._core.on_time(self._states, now_ms)]
        return outputs

    def _passed_markers(self) -> bool:
        """Whether places have moved though no record came: a position stays before the marker of the last transaction
        until a poll brings nothing, and whoever follows our offsets would take that for records that wait."""
        if time.monotonic() < self._idle_commit_at or not self._places.have_moved():
            return False
        self._idle_commit_at = time.monotonic() + IDLE_COMMIT_S
        return True

    def _commit(self, positions: list[TopicPartition]) -> None:
        if self._outbox.transactional:
            self._outbox.commit(positions, self._group_metadata())
        else:
            self._outbox.delivered()
            commit = self._consumer.commit
            self._outbox.until_done(lambda: commit(offsets=positions, asynchronous=False), "commit")

    def _group_metadata(self) -> object:
        """Who we are in the group, generation included: what lets the broker refuse a worker that lost its place."""
        return self._consumer.consumer_group_metadata()

    def _back_to_last_commit(self) -> None:
        self._core.counted()
        for state in self._states.values():
            state.rollback()
        self._go_on()

    def _go_on(self) -> None:
        """From the last commit; what was read beyond is read again."""
        self._consumer.assign(self._places.last_commit())
        if self._paused:
            self._consumer.pause(self._places.last_commit())

    # -- faults

    def _on_read_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            if waits_for := self._places.find_again(error.str()):
                self._probe.aborted(f"read: {waits_for}")
            else:
                self._go_on()
            return
        # Of an error that comes as a record, fatal() is never true. A topic that is gone may come back, and the group
        # gives its partitions then; who watches topics says meanwhile what to do.
        if error.fatal() or error.code() in FATAL_CODES - {KafkaError.UNKNOWN_TOPIC_OR_PART}:
            raise WorkerFailed(f"{self._identity} cannot read: {error.str()}")
        self._probe.aborted(f"read: {error.str()}")

    # -- the group gives and takes partitions, inside poll

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        starts, counts = self._places.begin(partitions)
        consumer.assign(starts)
        consumer.pause(starts)
        self._paused = True
        by_topic = {name: {place.partition for place in starts if place.topic == name} for name in self._joined}
        self._unfit = not fit(counts, by_topic, self._state_topic)
        if self._unfit:
            self._fits_at = time.monotonic() + ASK_EVERY_S
            self._probe.assigned(0, ready=False)
            return
        self._core.on_partitions(counts)
        self._states = {partition: self._core.new_state() for partition in sorted(set().union(*by_topic.values()))}
        if self._state_topic and self._states:
            self._restore = Restore(self._state_topic, self._states, self._settings)
        self._probe.assigned(len(self._states), ready=False)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._restore:
            self._restore.close()
            self._restore = None
        self._places.forget()
        self._states, self._paused, self._unfit = {}, False, False
        consumer.unassign()
        self._probe.assigned(0, ready=False)
