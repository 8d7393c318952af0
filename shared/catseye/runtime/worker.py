"""The one loop of the data plane: poll a batch, let a pure core decide, write outputs, changed state and offsets in
one transaction.

Law: what a reader at read_committed sees of a batch is all of it or nothing, once. Offsets travel with the group's
metadata (KIP-447), so a worker that was paused past its session is refused; state is restored to the high watermark,
so an open transaction of the worker before is waited out; after an abort positions and state are those of the last
commit; after a fatal error the process ends and its supervisor starts another.
"""

import gc
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from threading import Event
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from catseye.backoff import Backoff
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.limits import RECORD_MAX_BYTES
from catseye.contract.message import Message
from catseye.kafka.admin import check_partitions
from catseye.kafka.clients import client_config, partition_bounds, reader_config
from catseye.kafka.reading import FATAL_CODES
from catseye.runtime.presence import Faults
from catseye.runtime.progress import Progress
from catseye.runtime.restore import Restore, WorkerFailed
from catseye.runtime.stream import Core, Output, Row, State
from catseye.runtime.transaction_size import TransactionSize
from catseye.settings import Settings

S = TypeVar("S", bound=State)

TICK_S = 0.2  # how often on_time of the core is called when nothing comes in
_SELDOM_MS = 200  # transactions that lie so far apart are seldom
ASK_EVERY_S = 1.0  # how often a broker that was away is asked for,
ASK_WAIT_S = 0.3  # and how long its answer is waited for
IDLE_POLL_S = 0.1  # how long one poll waits; bounds the time that a stop takes
ANSWER_S = 10  # how long one call of the producer waits; a watchdog that ends a worker that hangs waits for longer
METADATA_MS = 2_000  # how often topics are asked for partitions that are new
LEAVE_S = 2.0  # how long a clean stop may take to leave the group; without a broker there is nobody to tell
IDLE_COMMIT_S = 1.0  # shortest time between two commits of places that moved though no record came
FIRST_PAUSE_S = 0.25  # before a batch is tried again for which a server was away,
LONGEST_PAUSE_S = 2.0  # and after many times: a server that is back is noticed within this


class Probe(Protocol):
    """Observes the worker; metrics and health are made of it."""

    def beat(self) -> None: ...
    def assigned(self, partitions: int, *, ready: bool) -> None: ...
    def connected(self, *, connected: bool) -> None: ...
    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None: ...
    def aborted(self, cause: str) -> None: ...


class NullProbe:
    """A probe that records nothing."""

    def beat(self) -> None:
        pass

    def assigned(self, partitions: int, *, ready: bool) -> None:
        pass

    def connected(self, *, connected: bool) -> None:
        pass

    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None:
        pass

    def aborted(self, cause: str) -> None:
        pass


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
        self._next: dict[tuple[str, int], int] = {}
        self._restore: Restore | None = None
        self._paused = False
        self._unfit = False  # topics do not fit together: nothing is read until they do
        self._fits_at = 0.0
        self._ticked_at = 0.0
        self._idle_commit_at = 0.0
        self._not_before = 0.0
        self._waits = Event()
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._undelivered: list[KafkaError] = []
        self._ask_at: float | None = None  # when to ask whether a broker answers again; None while one does
        self._group = f"{settings.topic_prefix}{name}"
        self._identity = f"{self._group}.{settings.instance}"
        self._transactional = settings.delivery == "exactly_once"
        logged: dict[str, object] = {"logger": client_log} if client_log else {}
        self._consumer = Consumer(
            reader_config(settings, self._group)
            | logged
            | {
                "group.instance.id": self._identity,
                "client.id": self._identity,
                "partition.assignment.strategy": "range",
                # New partitions are read within seconds; by default they would wait five minutes.
                "topic.metadata.refresh.interval.ms": METADATA_MS,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.heartbeat_ms,
                "max.poll.interval.ms": max(60_000, settings.session_timeout_ms),
            }
            | _fetches(settings.transaction_interval_ms)
        )
        self._producer = Producer(
            client_config(settings)
            | logged
            | {
                "client.id": self._identity,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": RECORD_MAX_BYTES,
                "delivery.report.only.error": True,
                "linger.ms": 1,
                # The first request of a transaction is refused while the broker still ends the one before (KIP-98,
                # CONCURRENT_TRANSACTIONS): librdkafka's default of 100 ms turns 10 ms a transaction into 60.
                "retry.backoff.ms": 5,
                "retry.backoff.max.ms": 100,
                # The default forgets every broker that an answer does not name, and one that has just begun names
                # none: the offsets are then sent to a broker that is no more, without end (decision 0016).
                "metadata.recovery.strategy": "none",
                # Sending offsets lasts for as long as its request is unanswered, whatever its own limit: 30 s by
                # default, in which a broker that is paused had the watchdog end the worker.
                "socket.timeout.ms": ANSWER_S * 1_000,
                "error_cb": self._on_client_error,
            }
            | (
                {"transactional.id": self._identity, "transaction.timeout.ms": settings.transaction_timeout_ms}
                if self._transactional
                else {"on_delivery": self._on_undelivered}
            )
        )

    def run(self, stop: Event) -> None:
        """Work until *stop* is set.

        Raises:
            Misconfigured: topics do not fit together, or the place to go on from has fallen off the log.
            WorkerFailed: the clients cannot go on.
        """
        check_partitions(self._settings, (*self._reads, *([self._state_topic] if self._state_topic else [])))
        if self._transactional:
            self._call_until_done(lambda: self._producer.init_transactions(ANSWER_S), "init_transactions")
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
                self._serve_callbacks()
                self._ask_again()
                self._step()
            self._leave()
        finally:
            if self._restore:
                self._restore.close()
            self._consumer.close()
            self._serve_callbacks()

    def _leave(self) -> None:
        """Leave the group at a clean stop, so that others have the partitions at once.

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
            self._on_assign(self._consumer, [TopicPartition(*place) for place in self._next])

    def _poll(self) -> list[Message]:
        """Whatever has come in, at most one transaction's worth; waits only for the first record."""
        epoch = self._next
        first = self._consumer.poll(IDLE_POLL_S)
        if first is None:
            return []
        if (early_s := self._not_before - time.monotonic()) > 0:
            self._waits.wait(early_s)
        batch: list[Any] = [first]
        if (more := self._size.records() - 1) > 0:
            batch += self._consumer.consume(more, 0)
        faults = [message.error() for message in batch if message.error()]
        for (
            fault
        ) in faults:  # before all else: a fatal one is reported once only, and may come with the loss of partitions
            self._on_read_error(fault)
        if epoch is not self._next:
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
        if self._transactional:
            self._call_until_done(self._producer.begin_transaction, "begin_transaction")
        try:
            self._write(outputs)
            # Without a transaction the state must not be on the log before the outputs that it stands for: they
            # would count as written, whatever became of them.
            waited_s = 0.0 if self._transactional else self._delivered()
            self._write(changed)
            work_s = time.perf_counter() - started - waited_s
            positions = self._positions()
            self._commit(positions)
        except _Aborted as fault:
            self._back_to_last_commit()
            self._probe.aborted(str(fault))
            return
        commit_s = time.perf_counter() - started - work_s
        for position in positions:
            self._next[position.topic, position.partition] = position.offset
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

    def _write(self, outputs: Sequence[Row | Output]) -> None:
        produce = self._producer.produce
        for row in outputs:
            while True:
                try:
                    if len(row) == 4:
                        topic, partition, key, value = row
                        produce(topic, value, key, partition)
                    else:
                        topic, partition, key, value, headers = row
                        produce(topic, value, key, partition, headers=headers)
                except BufferError:
                    self._producer.poll(0.05)
                except KafkaException as fault:
                    self._refused(fault)
                else:
                    break

    def _refused(self, fault: KafkaException) -> NoReturn:
        """The client takes no record: its transaction has failed meanwhile, or it cannot go on at all."""
        error = fault.args[0]
        if not self._transactional or error.code() != KafkaError._STATE:
            raise WorkerFailed(f"{self._identity} cannot write: {error}") from fault
        self._call_until_done(lambda: self._producer.abort_transaction(ANSWER_S), "abort_transaction")
        raise _Aborted(f"produce: {error}") from fault

    def _delivered(self) -> float:
        """Wait until the broker has, or has not, whatever was written. Returns how long that took, seconds."""
        began = time.perf_counter()
        self._producer.flush()
        if self._undelivered:
            fault = self._undelivered[0]
            self._undelivered.clear()
            raise _Aborted(f"deliver: {fault}")
        return time.perf_counter() - began

    def _positions(self) -> list[TopicPartition]:
        """Where to go on, of each partition: only with offsets is it asked whether the partitions are still ours, and
        who follows our offsets need not know where the log of a topic that has no records begins."""
        positions = self._consumer.position(self._consumer.assignment())
        moved = {(each.topic, each.partition): each.offset for each in positions if each.offset >= 0}
        return [TopicPartition(*place, offset) for place, offset in (self._next | moved).items()]

    def _passed_markers(self) -> bool:
        """Whether places have moved though no record came: a position stays before the marker of the last transaction
        until a poll brings nothing, and whoever follows our offsets would take that for records that wait."""
        if time.monotonic() < self._idle_commit_at:
            return False
        # Two places of one partition are equal to the client, whatever their offsets.
        if all(self._next[place.topic, place.partition] == place.offset for place in self._positions()):
            return False
        self._idle_commit_at = time.monotonic() + IDLE_COMMIT_S
        return True

    def _last_commit(self) -> list[TopicPartition]:
        """The positions of the last commit, or the start where there is none."""
        return [TopicPartition(*place, offset) for place, offset in self._next.items()]

    def _commit(self, positions: list[TopicPartition]) -> None:
        if not self._transactional:
            self._delivered()
            self._call_until_done(lambda: self._consumer.commit(offsets=positions, asynchronous=False), "commit")
            return
        try:
            metadata = self._group_metadata()
            self._call_until_done(
                lambda: self._producer.send_offsets_to_transaction(positions, metadata, ANSWER_S), "send_offsets"
            )
            self._call_until_done(lambda: self._producer.commit_transaction(ANSWER_S), "commit_transaction")
        except _Aborted:
            self._call_until_done(lambda: self._producer.abort_transaction(ANSWER_S), "abort_transaction")
            raise

    def _group_metadata(self) -> object:
        """Who we are in the group, generation included: what lets the broker refuse a worker that lost its place."""
        return self._consumer.consumer_group_metadata()

    def _back_to_last_commit(self) -> None:
        self._core.counted()
        for state in self._states.values():
            state.rollback()
        self._consumer.assign(self._last_commit())

    # -- faults

    def _call_until_done(self, call: Callable[[], object], what: str) -> None:
        """Repeat *call* until it is done. Raises `_Aborted` or `WorkerFailed` by the type of error."""
        deadline = time.monotonic() + max(30.0, 3 * self._settings.transaction_timeout_ms / 1_000)
        while True:
            self._probe.beat()
            try:
                call()
            except KafkaException as fault:
                self._serve_callbacks()
                error = fault.args[0]
                if error.txn_requires_abort() or (not self._transactional and not error.fatal()):
                    raise _Aborted(f"{what}: {error}") from fault
                if error.fatal() or not error.retriable() or time.monotonic() > deadline:
                    raise WorkerFailed(f"{self._identity} cannot go on after {what}: {error}") from fault
                self._lost()  # nothing goes on meanwhile, whatever the cause
            else:
                return

    def _serve_callbacks(self) -> None:
        """Serve the producer's callbacks, its log lines among them; those of the consumer come with the records."""
        for _ in range(2):  # a fatal error comes out too, before the rest; the next call raises it again by type
            with suppress(KafkaException):
                self._producer.poll(0)

    def _on_client_error(self, error: KafkaError) -> None:
        """Faults of connections come here, and fatal ones, which the next call raises again."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lost()

    def _lost(self) -> None:
        if self._ask_at is None:
            self._ask_at = time.monotonic()
            self._probe.connected(connected=False)

    def _ask_again(self) -> None:
        """While no broker answers nothing comes in, as on a quiet road: only an answer tells the two apart."""
        if self._ask_at is None or time.monotonic() < self._ask_at:
            return
        try:
            self._producer.list_topics(self._reads[0], ASK_WAIT_S)
        except KafkaException:
            self._ask_at = time.monotonic() + ASK_EVERY_S
        else:
            self._ask_at = None
            self._probe.connected(connected=True)

    def _on_read_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            if self._made_anew():
                raise WorkerFailed(f"{self._identity}: a topic was deleted and made anew, to be read from its start")
            raise Misconfigured(
                f"group {self._group} left off at a place that is no longer on the log ({error.str()}): records were "
                "deleted before they were read. Decide where to go on with kafka-consumer-groups --reset-offsets"
            )
        if error.fatal() or error.code() in FATAL_CODES:  # of an error that comes as a record, fatal() is never true
            raise WorkerFailed(f"{self._identity} cannot read: {error.str()}")
        self._probe.aborted(f"read: {error.str()}")

    def _made_anew(self) -> bool:
        """Whether a topic was deleted while it was read: the broker forgets the group's places on it, then."""
        here = [TopicPartition(*place) for place, offset in self._next.items() if offset > 0]
        return any(place.offset < 0 for place in self._consumer.committed(here, timeout=ANSWER_S))

    def _on_undelivered(self, error: KafkaError | None, _: object) -> None:
        """A record was not delivered; with transactions their commit fails."""
        if error is not None:
            self._undelivered.append(error)

    # -- the group gives and takes partitions, inside poll

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = _places(consumer, partitions)
            counts = self._counts()
        except KafkaException as fault:
            raise WorkerFailed(f"{self._identity} cannot find its place: {fault}") from fault
        self._next = {(place.topic, place.partition): place.offset for place in starts}
        consumer.assign(starts)
        consumer.pause(starts)
        self._paused = True
        by_topic = [{place.partition for place in starts if place.topic == topic} for topic in self._joined]
        self._unfit = not self._fit(counts, by_topic)
        if self._unfit:
            self._fits_at = time.monotonic() + ASK_EVERY_S
            self._probe.assigned(0, ready=False)
            return
        self._core.on_partitions(counts)
        self._states = {partition: self._core.new_state() for partition in sorted(set().union(*by_topic))}
        if self._state_topic and self._states:
            self._restore = Restore(self._state_topic, self._states, self._settings)
        self._probe.assigned(len(self._states), ready=False)

    def _counts(self) -> dict[str, int]:
        """Partitions of the topics that are read and of the state's.

        Asked of the producer: a consumer that lists topics in a callback of its own poll has lost its way back into
        Python afterwards, and the next callback of the same poll ends the process (confluent-kafka 2.16.0).
        """
        there = self._producer.list_topics(timeout=ANSWER_S).topics
        wanted = [*self._reads, *([self._state_topic] if self._state_topic else [])]
        return {name: len(there[name].partitions) for name in wanted if name in there}

    def _fit(self, counts: Mapping[str, int], by_topic: Sequence[set[int]]) -> bool:
        """Whether a camera's records of each topic, and its state, are here together."""
        joined = {counts.get(topic, 0) for topic in self._joined}
        enough = not self._state_topic or counts.get(self._state_topic, 0) >= max(joined, default=0)
        return len(joined) <= 1 and enough and all(one == by_topic[0] for one in by_topic)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._restore:
            self._restore.close()
            self._restore = None
        self._next, self._states, self._paused, self._unfit = {}, {}, False, False
        consumer.unassign()
        self._probe.assigned(0, ready=False)


def _fetches(interval_ms: float) -> dict[str, object]:
    """Who works seldom need not be handed each record as it comes: a hundred fetches a second cost more than that."""
    if interval_ms < _SELDOM_MS:
        return {}
    return {"fetch.min.bytes": 100_000, "fetch.wait.max.ms": int(interval_ms / 2)}


class _Aborted(Exception):
    """The transaction is gone, the worker is not."""


def _places(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Where to go on: the committed offsets, or the start of the log where there is none."""
    places = consumer.committed(partitions, timeout=15)
    for place in places:
        if place.error:
            raise KafkaException(place.error)  # else it would seem that there is none yet, and all be read again
        if place.offset < 0:
            # The first offset by number: asked to start at "the beginning", librdkafka idles for half a second.
            place.offset = partition_bounds(consumer, place)[0]
    return places
