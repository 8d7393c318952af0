"""What a worker must do, told to a broker in memory (tests/unit/test_worker_stories.py) and to a real one
(tests/system/test_worker.py): the fakes are as good as the real ones as far as these go.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event
from typing import Any, Protocol

import pytest
from confluent_kafka import KafkaError, KafkaException

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.message import Message
from catseye.runtime.stream import KeyedState, Output, Tally
from catseye.runtime.worker import Worker

PARTITIONS = 2
READ, WRITTEN = "frames.accepted", "predictions"  # any two topics of the table
STATE = "ingest.state"
PATIENCE_S = 300.0


class Counting(Tally):
    """Counts the records of each key and writes every count: what is lost, repeated or forgotten shows.

    Args:
        topic: Full name of the topic that it writes.
        away: How many batches come to nothing because a server is away.
    """

    new_state = KeyedState

    def __init__(self, topic: str, away: int = 0) -> None:
        super().__init__()
        self._topic = topic
        self.away = away
        self.ticks: list[dict[int, dict[bytes, bytes]]] = []

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, KeyedState], now_ms: int) -> list[Output]:
        outputs = []
        for message in batch:
            key, state = message.key() or b"", states[message.partition()]
            count = int(state.get(key) or b"0") + 1
            state.put(key, b"%d" % count)
            outputs.append(Output(self._topic, message.partition(), key, b"%d" % count))
            self.events["counted"] += 1
        if self.away:
            self.away -= 1
            raise Unavailable("a server is away")
        return outputs

    def on_time(self, states: Mapping[int, KeyedState], now_ms: int) -> list[Output]:
        self.ticks.append({partition: dict(state.items()) for partition, state in states.items()})
        return []


class Recorder:
    """A probe that keeps what it is told."""

    def __init__(self) -> None:
        self.records = 0
        self.events: Counter[str] = Counter()
        self.causes: list[str] = []
        self.assignments: list[tuple[int, bool]] = []
        self.beats = 0
        self.connections: list[bool] = []

    @property
    def ready(self) -> bool:
        """Whether partitions and state are there."""
        return bool(self.assignments) and self.assignments[-1][1]

    def beat(self) -> None:
        self.beats += 1

    def connected(self, *, connected: bool) -> None:
        self.connections.append(connected)

    def assigned(self, partitions: int, *, ready: bool) -> None:
        self.assignments.append((partitions, ready))

    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None:
        self.records += records
        self.events += events

    def aborted(self, cause: str) -> None:
        self.causes.append(cause)


class Until(Event):
    """Stops a worker when something has come true; fails the test when it does not.

    Args:
        done: What is waited for; asked once a turn of the loop.
        turns: Most turns; None for as many as fit into `PATIENCE_S`.
    """

    def __init__(self, done: Callable[[], bool], turns: int | None = None) -> None:
        super().__init__()
        self._done = done
        self._turns_left = turns
        self._deadline_s = time.monotonic() + PATIENCE_S

    def is_set(self) -> bool:
        if self._turns_left is not None:
            self._turns_left -= 1
            assert self._turns_left > 0, "it does not come true"
        assert time.monotonic() < self._deadline_s, "it does not come true"
        return self._done()

    def wait(self, timeout: float | None = None) -> bool:
        """A pause of the worker's: the story goes on at once."""
        return False


class Failing:
    """A client whose calls fail on order before they reach it."""

    def __init__(self, client: Any, faults: dict[str, list[KafkaException]]) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        if self._faults.get(name):
            fault = self._faults[name].pop(0)

            def call(*arguments: object, **named: object) -> None:
                raise fault

            return call
        return getattr(self._client, name)


class OpenTransaction(Protocol):
    """One that another producer has left open on the state topic."""

    def end(self, fate: str) -> None:
        """ "committed" or "aborted"."""


class World(Protocol):
    """A broker and what a story does with it. Names of topics are without prefix."""

    def publish(self, *keys: bytes, partition: int = 0) -> None:
        """One record a key on the topic that the worker reads."""

    def publish_in_transaction(self, *keys: bytes) -> None:
        """The same on its first partition, with a marker behind them."""

    def lag(self) -> int:
        """From the offsets that the group committed to the ends of what the worker reads."""

    def seen(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """What a read_committed reader sees of the topic that the worker writes, in order of partitions."""

    def worker(
        self, core: Counting | None = None, *, delivery: str = "exactly_once", state: bool = True
    ) -> tuple[Worker[KeyedState], Recorder]:
        """A new worker and its probe; the one before is gone."""

    def full(self, topic: str) -> str:
        """Name on the broker."""

    def until(self, done: Callable[[], bool]) -> Until:
        """What stops a worker here."""

    def leave_open(self, key: bytes, value: bytes) -> OpenTransaction:
        """Write to the state topic's first partition in a transaction that stays open."""

    def move(self, offset: int) -> None:
        """Set the group's offset of the first partition."""


def counts(*keys: bytes, start: int = 1) -> list[tuple[int, bytes | None, bytes | None]]:
    """What `Counting` writes for records of partition 0, when each key has one run of counts."""
    seen: Counter[bytes] = Counter()
    found: list[tuple[int, bytes | None, bytes | None]] = []
    for key in keys:
        found.append((0, key, b"%d" % (start + seen[key])))
        seen[key] += 1
    return found


def work(world: World, records: int, *, core: Counting | None = None, **how: Any) -> Recorder:
    """Let a new worker do so many records."""
    worker, probe = world.worker(core, **how)
    worker.run(world.until(lambda: probe.records >= records))
    return probe


def test_each_record_is_done_once_and_a_new_worker_goes_on(world: World) -> None:
    """Outputs, state and offsets are one: after a restart the counts go on where they were."""
    world.publish(b"a", b"b", b"a")
    probe = work(world, 3)
    assert (probe.records, probe.events["counted"], probe.causes) == (3, 3, [])
    world.publish(b"a", b"b")
    work(world, 2)
    assert world.seen() == [*counts(b"a", b"b", b"a"), (0, b"a", b"3"), (0, b"b", b"2")]


def test_partitions_have_states_of_their_own(world: World) -> None:
    """A key that comes in on two partitions is counted on both."""
    world.publish(b"a", b"a", partition=0)
    world.publish(b"a", partition=1)
    work(world, 3)
    assert world.seen() == [(0, b"a", b"1"), (0, b"a", b"2"), (1, b"a", b"1")]


def test_a_server_that_is_away_costs_time_only(world: World) -> None:
    """`Unavailable`: the batch comes again, on the state as it was; what was counted in vain is not counted."""
    world.publish(b"a", b"a")
    probe = work(world, 2, core=Counting(world.full(WRITTEN), away=3))
    assert probe.causes == ["a server is away"] * 3
    assert probe.events == Counter(counted=2)
    world.publish(b"a")
    work(world, 1)
    assert world.seen() == counts(b"a", b"a", b"a")


def ordered(probe: Recorder) -> list[str]:
    """Causes of aborts, but for those that follow of one: it drops what is not sent yet, and where a machine is busy
    librdkafka then skips the numbers of these records and must abort once more."""
    return [cause for cause in probe.causes if "sequence number" not in cause]


def test_a_transaction_that_must_be_aborted_is_done_again(world: World) -> None:
    """At each call that can say so; the reader sees each count once."""
    for call in ("send_offsets_to_transaction", "commit_transaction"):
        world.publish(b"a", b"b")
        worker, probe = world.worker()
        abort = KafkaException(KafkaError(KafkaError._FAIL, "on order", False, False, True))
        _put_between(worker, {call: [abort, abort]})
        worker.run(world.until(partial(_has_done, probe, 2)))
        causes = ordered(probe)
        assert [cause.startswith(("send_offsets", "commit_transaction")) for cause in causes] == [True, True], causes
    assert world.seen() == [(0, b"a", b"1"), (0, b"b", b"1"), (0, b"a", b"2"), (0, b"b", b"2")]


def test_a_call_that_may_be_made_again_is(world: World) -> None:
    """Retriable errors abort nothing."""
    world.publish(b"a")
    worker, probe = world.worker()
    again = KafkaException(KafkaError(KafkaError._TIMED_OUT, "on order", False, True, False))
    _put_between(worker, {"send_offsets_to_transaction": [again, again], "commit_transaction": [again]})
    worker.run(world.until(lambda: probe.records >= 1))
    assert (probe.causes, world.seen()) == ([], counts(b"a"))


def test_a_transaction_that_fails_while_it_is_written_is_done_again(world: World) -> None:
    """The client refuses further records then: the transaction is aborted like any other."""
    world.publish(b"a", b"b")
    worker, probe = world.worker()
    _put_between(worker, {"produce": [KafkaException(KafkaError(KafkaError._STATE, "on order"))]})
    worker.run(world.until(lambda: probe.records >= 2))
    assert [cause.startswith("produce: ") for cause in ordered(probe)] == [True]
    assert world.seen() == counts(b"a", b"b")


def test_state_waits_for_an_open_transaction(world: World) -> None:
    """One of the worker before, say: nothing is decided until it is known whether its state holds."""
    for fate, expected in (("committed", b"101"), ("aborted", b"102")):
        world.publish(b"x")
        left = world.leave_open(b"x", b"100" if fate == "committed" else b"7000")
        worker, probe = world.worker()
        waited: list[bool] = []

        def then(probe: Recorder = probe, waited: list[bool] = waited, left: Any = left, fate: str = fate) -> bool:
            if probe.assignments and len(waited) < 10:
                waited.append(probe.ready)
                if len(waited) == 10:
                    left.end(fate)
            return probe.records >= 1

        worker.run(world.until(then))
        assert waited == [False] * 10
        assert world.seen()[-1] == (0, b"x", expected)


def test_a_place_that_is_not_on_the_log_is_reported(world: World) -> None:
    """Never a silent reset: a person decides."""
    world.publish(b"a")
    world.move(500)
    worker, _ = world.worker()
    with pytest.raises(
        Misconfigured, match=r"left off at a place that is no longer on the log.*--topic \S+:0 --reset-offsets"
    ):
        worker.run(world.until(lambda: False))
    assert world.seen() == []


def test_at_least_once_needs_no_transaction(world: World) -> None:
    """The same work, offsets after outputs; it goes on after a restart too."""
    world.publish(b"a", b"b")
    work(world, 2, delivery="at_least_once")
    world.publish(b"a")
    work(world, 1, delivery="at_least_once")
    assert world.seen() == [(0, b"a", b"1"), (0, b"b", b"1"), (0, b"a", b"2")]


def test_a_core_without_state_needs_no_topic_for_it(world: World) -> None:
    """Counts then start anew with each worker."""
    world.publish(b"a", b"a")
    work(world, 2, state=False)
    world.publish(b"a")
    work(world, 1, state=False)
    assert world.seen() == [*counts(b"a", b"a"), (0, b"a", b"1")]


def test_a_worker_that_has_nothing_to_do_ends_when_notified(world: World) -> None:
    """It was ready, told its core the time, and wrote nothing."""
    core = Counting(world.full(WRITTEN))
    worker, probe = world.worker(core)
    worker.run(world.until(lambda: bool(core.ticks)))
    assert probe.assignments == [(PARTITIONS, False), (PARTITIONS, True), (0, False)]
    assert (core.ticks[0], probe.records, world.seen()) == ({0: {}, 1: {}}, 0, [])


def test_a_worker_at_rest_has_committed_the_end_of_what_it_reads(world: World) -> None:
    """The marker of a publisher's transaction too: whoever follows its offsets sees that nothing waits."""
    world.publish_in_transaction(b"a", b"b")
    worker, probe = world.worker()
    worker.run(world.until(lambda: world.lag() == 0))
    assert (probe.records, world.seen()) == (2, counts(b"a", b"b"))
    world.publish(b"a")
    assert world.lag() == 1


def _has_done(probe: Recorder, records: int) -> bool:
    return probe.records >= records


def _put_between(worker: Worker[KeyedState], faults: dict[str, list[KafkaException]]) -> None:
    outbox = worker._outbox
    vars(outbox)["producer"] = Failing(outbox.producer, faults)
