"""What the worker does when its clients, its group or its core have bad days; on the broker in memory."""

import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from catseye.backoff import Backoff
from catseye.contract.errors import Unavailable
from catseye.runtime import connection, outbox
from catseye.runtime import worker as worker_module
from catseye.runtime.probe import NullProbe
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.service import STUCK_S
from catseye.runtime.stream import KeyedState
from catseye.runtime.transaction_size import TransactionSize
from catseye.runtime.worker import Worker
from catseye.runtime.worker_clients import ANSWER_S
from catseye.settings import Settings
from tests.simulation.fake_kafka import FakeConsumer, kafka_fault
from tests.simulation.worker_in_memory import PREFIX, InMemory, world
from tests.simulation.worker_stories import PARTITIONS, READ, STATE, WRITTEN, Counting, Recorder, Until, counts, work

__all__ = ["world"]
AWAY = KafkaError._TRANSPORT
ALL = [(PREFIX + READ, partition) for partition in range(PARTITIONS)]


def failure_of(world: InMemory, **how: Any) -> str:
    """What a new worker ends with."""
    worker, _ = world.worker(**how)
    with pytest.raises(WorkerFailed) as fault:
        worker.run(world.until(lambda: False))
    return str(fault.value)


def give(world: InMemory, *places: tuple[str, int]) -> Callable[[], None]:
    """Let the group say at that moment what the worker has from now on."""

    def then() -> None:
        world.broker.given = list(places)

    return then


def test_records_polled_while_partitions_move_are_dropped(world: InMemory) -> None:
    """They may be another worker's by now; what is still ours comes again. Between two records of a batch too."""
    world.publish(b"a", b"b", b"c")
    world.broker.on_poll += [None, give(world, *ALL)]
    world.broker.on_consume += [give(world, *ALL)]
    probe = work(world, 3, state=False)
    assert [partitions for partitions, ready in probe.assignments if ready] == [PARTITIONS] * 3
    assert world.seen() == counts(b"a", b"b", b"c")


def test_nothing_is_decided_on_a_state_that_is_not_whole(world: InMemory) -> None:
    """Time is told to the core when partitions have their state, not in the turn that brought them."""
    world.publish(b"a", b"a")
    work(world, 2)
    core = Counting(world.full(WRITTEN))
    worker, _ = world.worker(core)
    worker.run(world.until(lambda: len(core.ticks) >= 3))
    assert core.ticks[:3] == [{0: {b"a": b"2"}, 1: {}}] * 3


def test_partitions_that_go_while_state_is_restored_leave_nothing(world: InMemory) -> None:
    """The reader of the state is closed; with the next partitions it starts anew."""
    world.publish(b"a", b"a")
    work(world, 2)
    world.publish(b"a")
    world.broker.on_poll += [None, give(world), None, give(world, *ALL)]
    worker, probe = world.worker()
    worker.run(world.until(lambda: probe.records >= 1))
    assert probe.assignments[:3] == [(PARTITIONS, False), (0, False), (PARTITIONS, False)]
    assert world.seen()[-1] == (0, b"a", b"3")


def test_a_stop_while_state_is_restored_closes_both_readers(world: InMemory) -> None:
    """The open transaction that it waits for never ends."""
    world.leave_open(b"a", b"1")
    worker, probe = world.worker()
    worker.run(world.until(lambda: bool(probe.assignments)))
    assert probe.assignments == [(PARTITIONS, False), (0, False)]
    assert vars(worker)["_consumer"].closed


def test_a_clean_stop_leaves_the_group_and_a_failure_keeps_its_place(world: InMemory) -> None:
    """Others have the partitions at once after the one; after the other the next process of that name has them."""
    stopped, probe = world.worker()
    stopped.run(world.until(lambda: bool(probe.assignments)))
    assert vars(stopped)["_consumer"].left
    failed, _ = world.worker()
    world.publish(b"a")
    world.broker.fail("begin_transaction", kafka_fault(KafkaError._FENCED, fatal=True))
    with pytest.raises(WorkerFailed):
        failed.run(world.until(lambda: False))
    assert vars(failed)["_consumer"].closed
    assert not vars(failed)["_consumer"].left


@pytest.mark.parametrize("call", ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"])
@pytest.mark.parametrize("fatal", [True, False])
def test_what_is_neither_retriable_nor_abortable_ends_the_worker(world: InMemory, call: str, fatal: bool) -> None:
    """A fenced producer, for one: nothing was seen of its transaction."""
    world.publish(b"a")
    world.broker.fail(call, kafka_fault(KafkaError._FENCED, fatal=fatal))
    assert failure_of(world).startswith("test.ingest.0 cannot go on after ")
    assert world.seen() == []


def test_no_answer_is_waited_for_as_long_as_a_watchdog_waits(world: InMemory) -> None:
    """Else a broker that is paused has a worker ended that would have gone on (decision 0016)."""
    worker, _ = world.worker()
    producer = vars(worker)["_outbox"].producer
    assert max(ANSWER_S, producer.config["socket.timeout.ms"] / 1_000) <= STUCK_S / 2


def test_a_failed_start_ends_the_worker(world: InMemory) -> None:
    """No transactions without their coordinator."""
    world.broker.fail("init_transactions", kafka_fault(AWAY))
    assert "init_transactions" in failure_of(world)


def test_an_abort_that_fails_ends_the_worker(world: InMemory) -> None:
    """Nobody knows then what stands on the log."""
    world.publish(b"a")
    world.broker.fail("commit_transaction", kafka_fault(AWAY, abort=True))
    world.broker.fail("abort_transaction", kafka_fault(KafkaError._FATAL, fatal=True))
    assert "abort_transaction" in failure_of(world)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_record_that_nobody_takes_ends_the_worker(world: InMemory, delivery: str) -> None:
    """Too large, or a client that has given up: no try helps."""
    world.publish(b"a")
    world.broker.fail("produce", kafka_fault(KafkaError.MSG_SIZE_TOO_LARGE))
    assert "cannot write" in failure_of(world, delivery=delivery)


def test_a_full_queue_is_waited_for(world: InMemory) -> None:
    """Deliveries make room."""
    world.publish(b"a")
    worker, probe = world.worker()
    world.broker.fail("produce", BufferError("full"), BufferError("full"), None, BufferError("full"))
    worker.run(world.until(lambda: probe.records >= 1))
    assert world.seen() == counts(b"a")
    assert vars(worker)["_outbox"].producer.waited == 3


def test_a_call_is_not_made_again_for_ever(world: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as three transactions may last, with signs of life meanwhile; then a new process shall try."""
    seconds = itertools.count(1)

    def monotonic() -> float:
        return float(next(seconds))

    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=monotonic, perf_counter=monotonic))
    world.broker.fail("init_transactions", *[kafka_fault(KafkaError._TIMED_OUT, retriable=True)] * 1_000)
    worker, probe = world.worker()
    with pytest.raises(WorkerFailed, match="init_transactions"):
        worker.run(world.until(lambda: False))
    assert probe.beats == pytest.approx(max(30, 3 * Settings().transaction_timeout_ms / 1_000), abs=3)


def test_a_worker_notices_that_no_broker_answers_and_that_one_does_again(
    world: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes in either way: it asks until there is an answer, and each change is told once."""
    monkeypatch.setattr(connection, "ASK_EVERY_S", 0.0)
    worker, probe = world.worker()

    def lose() -> None:
        world.broker.fail("list_topics", *[kafka_fault(KafkaError._TRANSPORT)] * 3)
        vars(worker)["_outbox"].producer.lose_connections()
        vars(worker)["_outbox"].producer.lose_connections()

    world.broker.on_poll += [None, lose, None, None, lambda: world.publish(b"a")]
    worker.run(world.until(lambda: probe.records >= 1 and len(probe.connections) >= 2))
    assert probe.connections == [False, True]


def test_a_worker_waits_until_its_topics_fit_together(world: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state has fewer partitions than what it reads: it takes nothing, is not ready, does not end, and goes on."""
    monkeypatch.setattr(worker_module, "ASK_EVERY_S", 0.0)
    world.publish(b"a")
    counts = world.broker.counts
    counts |= {world.full(READ): 2 * PARTITIONS, world.full(STATE): PARTITIONS}
    worker, probe = world.worker()
    waited: list[int] = []

    def mend() -> None:
        waited.append(probe.records)
        counts[world.full(STATE)] = 2 * PARTITIONS

    world.broker.on_poll += [None] * 5 + [mend]
    worker.run(world.until(lambda: probe.records >= 1))
    assert waited == [0]
    assert world.seen() == [(0, b"a", b"1")]


def name_topics(world: InMemory) -> None:
    """They have ids, and it is known how many partitions."""
    world.broker.ids |= {world.full(READ): "old", world.full(STATE): "state"}
    world.broker.counts |= dict.fromkeys(world.broker.ids, PARTITIONS)


def make_anew(world: InMemory, *keys: bytes) -> None:
    """The topic is deleted and made again, with records: the broker forgets the group's places on it."""
    world.broker.logs[world.full(READ), 0].clear()
    world.broker.offsets.clear()
    world.broker.ids[world.full(READ)] = "new"
    world.publish(*keys)


@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("keys", [[b"c"], [b"c", b"d"], [b"c", b"d", b"e", b"f"]])
def test_a_topic_that_was_made_anew_is_read_from_its_start(
    world: InMemory, keys: list[bytes], is_watched: bool
) -> None:
    """By the same process, so no person needs to decide where to go on: where it has fewer records than were read of
    the old one the broker refuses that place, else only its id tells. What is known of the old records stays."""
    name_topics(world)
    world.publish(b"a", b"b", b"c")
    anew: list[str] = []
    worker, probe = world.worker(made_anew=anew.append)

    def done() -> bool:
        if probe.records == 3 and not anew:
            make_anew(world, *keys)
            if is_watched or len(keys) >= 3:
                world.topics.ask()
        return probe.records == 3 + len(keys)

    worker.run(world.until(done))
    assert anew == [world.full(READ)]
    assert world.seen()[3:] == [(0, key, b"2" if key == b"c" else b"1") for key in keys]
    assert world.broker.metadata[world.full(READ), 0] == "new"


def test_a_place_on_a_topic_that_was_deleted_since_is_none_on_the_new_one(world: InMemory) -> None:
    """Whoever committed it there: another worker that had not seen it yet. A place with no id is taken as it is."""
    name_topics(world)
    world.publish(b"a", b"b")
    work(world, 2)
    places = dict(world.broker.offsets)
    make_anew(world, b"c", b"d", b"e")
    world.broker.offsets |= places
    work(world, 3)
    assert world.seen()[2:] == counts(b"c", b"d", b"e")
    world.broker.metadata.clear()
    world.broker.ids[world.full(READ)] = "newer"
    world.publish(b"f")
    work(world, 1)
    assert world.seen()[5:] == counts(b"f")


@pytest.mark.parametrize("moves", [False, True])
def test_a_refused_place_that_has_been_left_since_is_passed_over(world: InMemory, moves: bool) -> None:
    """The client says once only that a place is not on the log, and maybe when the worker has gone on from another, or
    in the poll that gave it its partitions: what counts is where it goes on now."""
    world.publish(b"a", b"b")
    worker, probe = world.worker()
    moved: list[int] = []

    def done() -> bool:
        if probe.records == 2 and not moved:
            moved.append(2)
            world.publish(b"c", b"d")
            world.broker.fail("record", kafka_fault(KafkaError._AUTO_OFFSET_RESET))
            if moves:
                give(world, *ALL)()
        return probe.records >= 4

    worker.run(world.until(done))
    assert world.seen() == counts(b"a", b"b", b"c", b"d")


def test_a_topic_that_is_not_there_for_a_moment_is_known_by_the_id_that_it_had(world: InMemory) -> None:
    """Deleted, and made again a moment later: the worker waits until it is there, and begins at its start. The group
    may give it its partitions in that moment, too."""
    name_topics(world)
    world.publish(b"a", b"b")
    worker, probe = world.worker()
    gone: list[int] = []

    def done() -> bool:
        if probe.records == 2 and not gone:
            gone.append(2_000)
            make_anew(world)
            world.broker.offsets[world.full(READ), 0] = 2
            del world.broker.ids[world.full(READ)], world.broker.counts[world.full(READ)]
            give(world, *ALL)()
        elif probe.causes and len(gone) == 1:
            gone.append(0)
            name_topics(world)
            make_anew(world, b"c")
            world.topics.ask()
        return probe.records == 3

    worker.run(world.until(done))
    assert set(probe.causes) == {f"read: {world.full(READ)} is not there"}
    assert world.seen()[2:] == counts(b"c")


def test_a_topic_made_anew_with_fewer_partitions_is_read_where_it_has_some(world: InMemory) -> None:
    """The group takes the others away in a moment."""
    name_topics(world)
    world.publish(b"a")
    worker, probe = world.worker(state=False)

    def done() -> bool:
        if probe.records == 1 and world.broker.counts[world.full(READ)] == PARTITIONS:
            make_anew(world, b"c")
            world.broker.counts[world.full(READ)] = 1
            world.topics.ask()
        return probe.records == 2

    worker.run(world.until(done))
    assert set(worker.places()) <= {(world.full(READ), 0)}
    assert world.seen()[1:] == counts(b"c")


def test_a_topic_without_an_id_that_was_made_anew_is_read_from_its_start_by_the_next_process(world: InMemory) -> None:
    """Of a broker that gives no ids. It has forgotten the group's places, so no person needs to decide where to go on;
    a place that it has kept is taken as it is, whatever an earlier broker called its topic."""
    world.broker.counts |= {world.full(READ): PARTITIONS, world.full(STATE): PARTITIONS}
    world.broker.metadata[world.full(READ), 0] = "of an earlier broker"
    world.publish(b"a", b"b", b"c")
    world.broker.offsets[world.full(READ), 0] = 1
    worker, probe = world.worker()

    def done() -> bool:
        if probe.records == 2:
            world.broker.logs[world.full(READ), 0].clear()
            world.broker.offsets.clear()
        return False

    with pytest.raises(WorkerFailed, match="made anew, to be read from its start"):
        worker.run(world.until(done))
    assert world.seen() == counts(b"b", b"c")


def test_a_broker_that_does_not_say_what_topics_there_are_ends_the_worker(world: InMemory) -> None:
    """Where it must know whether a place is lost; another process asks again."""
    world.broker.fail("describe_topics", kafka_fault(KafkaError._TIMED_OUT))
    assert "cannot ask for its topics" in failure_of(world)


def test_a_worker_that_repeats_a_call_is_not_connected_meanwhile(world: InMemory) -> None:
    """It gives signs of life, and nothing goes on."""
    world.publish(b"a")
    world.broker.fail("commit_transaction", kafka_fault(KafkaError._TIMED_OUT, retriable=True))
    worker, probe = world.worker()
    worker.run(world.until(lambda: probe.records >= 1 and len(probe.connections) >= 2))
    assert probe.connections == [False, True]


def test_a_producer_keeps_the_brokers_that_an_answer_does_not_name(world: InMemory) -> None:
    """The setting without which offsets are sent for ever to a broker that was restarted."""
    worker, _ = world.worker()
    assert vars(worker)["_outbox"].producer.config["metadata.recovery.strategy"] == "none"


@pytest.mark.parametrize(
    "code",
    [KafkaError._FATAL, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED],
)
def test_an_error_that_comes_as_a_record_may_end_the_worker(world: InMemory, code: int) -> None:
    """While it works and while it restores: a fenced member is told once only."""
    world.broker.fail("record", kafka_fault(code))
    assert "cannot read" in failure_of(world)
    left = world.leave_open(b"a", b"1")
    world.broker.on_poll += [None, lambda: world.broker.fail("record", kafka_fault(code))]
    assert "cannot read" in failure_of(world)
    left.end("aborted")
    world.broker.fail("restored", kafka_fault(code))
    assert "the state cannot be restored" in failure_of(world)


@pytest.mark.parametrize("code", [AWAY, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_an_error_that_passes_is_reported_and_passed_over(world: InMemory, code: int) -> None:
    """The records around it are done; none is lost. A topic that is gone may be made again."""
    world.publish(b"a", b"b")
    worker, probe = world.worker()
    world.broker.on_poll += [None, None, lambda: world.broker.fail("record", kafka_fault(code))]
    worker.run(world.until(lambda: probe.records >= 2 and bool(probe.causes)))
    assert probe.causes == ["read: on order"]
    assert world.seen() == counts(b"a", b"b")


def test_an_error_that_passes_does_not_end_a_restore(world: InMemory) -> None:
    """It is read on as soon as the broker is back."""
    world.publish(b"a")
    work(world, 1)
    world.publish(b"a")
    world.broker.fail("restored", kafka_fault(AWAY), kafka_fault(AWAY))
    work(world, 1)
    assert world.seen() == counts(b"a", b"a")


@pytest.mark.parametrize("call", ["committed", "get_watermark_offsets"])
def test_a_worker_that_cannot_find_its_place_fails(world: InMemory, call: str) -> None:
    """It does not start from anywhere else."""
    world.publish(b"a")
    world.broker.fail(call, kafka_fault(AWAY))
    assert "cannot find its place" in failure_of(world, state=False)


def test_a_place_with_an_error_is_not_taken_for_none(world: InMemory) -> None:
    """Else everything on the log would be done again."""
    world.publish(b"a")
    world.broker.unknown = SimpleNamespace(
        topic=PREFIX + READ, partition=0, offset=-1001, error=KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
    )
    assert "cannot find its place" in failure_of(world)


def test_a_state_whose_end_cannot_be_read_is_waited_for(world: InMemory) -> None:
    """`Unavailable`: the process ends and is started again."""
    world.broker.offsets |= dict.fromkeys(ALL, 0)
    world.broker.fail("get_watermark_offsets", kafka_fault(AWAY))
    worker, _ = world.worker()
    with pytest.raises(Unavailable, match=r"the bounds of test\.ingest\.state cannot be read"):
        worker.run(world.until(lambda: False))


def test_a_leader_that_moves_is_waited_for(world: InMemory) -> None:
    """Of a topic that was made a moment ago."""
    world.publish(b"a")
    world.broker.fail("get_watermark_offsets", *[kafka_fault(KafkaError.NOT_LEADER_FOR_PARTITION)] * 2)
    work(world, 1)
    assert world.seen() == counts(b"a")


def test_at_least_once_does_again_what_was_not_delivered(world: InMemory) -> None:
    """Offsets stay until every output is on the log; what was there already is there twice."""
    world.publish(b"a", b"b")
    world.broker.fail("delivery", None, kafka_fault(KafkaError._MSG_TIMED_OUT))
    probe = work(world, 2, delivery="at_least_once")
    assert [cause.startswith("deliver: ") for cause in probe.causes] == [True]
    assert set(world.seen()) == set(counts(b"a", b"b"))


def test_at_least_once_remembers_nothing_that_was_not_delivered(world: InMemory) -> None:
    """Killed right after, it does the record again: with a state written first that would be a repeat, and lost."""
    world.publish(b"a")
    world.broker.fail("delivery", kafka_fault(KafkaError._MSG_TIMED_OUT))
    worker, probe = world.worker(delivery="at_least_once")
    worker.run(world.until(lambda: bool(probe.causes)))
    assert world.broker.committed(PREFIX + STATE) == []
    work(world, 1, delivery="at_least_once")
    assert world.seen() == counts(b"a")


def test_at_least_once_does_again_what_was_not_committed(world: InMemory) -> None:
    """A group that moved on says so; only a fatal error ends the worker."""
    world.publish(b"a")
    world.broker.fail(
        "commit", kafka_fault(KafkaError.ILLEGAL_GENERATION), None, kafka_fault(KafkaError._FATAL, fatal=True)
    )
    probe = work(world, 1, delivery="at_least_once")
    assert [cause.startswith("commit: ") for cause in probe.causes] == [True]
    assert world.seen() == counts(b"a", b"a")[:1] * 2
    world.publish(b"a")
    assert "commit" in failure_of(world, delivery="at_least_once")


def test_time_alone_writes_nothing(world: InMemory) -> None:
    """A tick without outputs and changes opens no transaction."""
    world.broker.fail("begin_transaction", kafka_fault(KafkaError._FATAL, fatal=True))
    core = Counting(world.full(WRITTEN))
    worker, _ = world.worker(core)
    worker.run(world.until(lambda: len(core.ticks) >= 5))


def test_a_marker_is_passed_once(world: InMemory) -> None:
    """Then the worker rests: its own offsets bring no marker that another commit would have to pass."""
    world.publish_in_transaction(b"a")
    core = Counting(world.full(WRITTEN))
    worker, _ = world.worker(core)
    worker.run(world.until(lambda: world.lag() == 0))
    world.broker.fail("begin_transaction", kafka_fault(KafkaError._FATAL, fatal=True))
    core.ticks.clear()
    worker, _ = world.worker(core)
    worker.run(world.until(lambda: len(core.ticks) >= 5))


def test_progress_is_handed_to_the_core_before_time(world: InMemory) -> None:
    """When there is something new, and not again."""

    class Asking(Counting):
        handed: list[object]

        def on_progress(self, *roads: object) -> None:
            self.handed.append((len(self.ticks), *roads))

    core = Asking(world.full(WRITTEN))
    core.handed = []
    news: list[object] = [None, ("frames", "labels"), None]
    worker, _ = world.worker(core)
    vars(worker)["_progress"] = lambda: news.pop(0) if news else None
    worker.run(world.until(lambda: len(core.ticks) >= 5))
    assert core.handed == [(1, "frames", "labels")]


def test_what_time_brings_is_written_without_records(world: InMemory) -> None:
    """Outputs and state of a tick are a transaction as well; before the first record with the offsets there were."""

    class Ticking(Counting):
        def on_time(self, states: Any, now_ms: int) -> Any:
            if not self.ticks:
                states[0].put(b"tick", b"1")
            super().on_time(states, now_ms)
            return [(self._topic, 0, b"tick", b"1")] if len(self.ticks) == 1 else []

    core = Ticking(world.full(WRITTEN))
    for delivery in ("exactly_once", "at_least_once"):
        core.ticks.clear()
        worker, _ = world.worker(core, delivery=delivery)
        worker.run(world.until(lambda: len(core.ticks) >= 2))
    assert world.seen() == [(0, b"tick", b"1")] * 2
    assert world.broker.committed(PREFIX + STATE) == [(0, b"tick", b"1")] * 2
    assert world.broker.offsets == dict.fromkeys(ALL, 0)


def test_what_time_brings_is_not_written_by_one_that_lost_its_place(world: InMemory) -> None:
    """Stopped past its session while time was told, with no record read yet: another has its partitions by now."""

    class Stopped(Counting):
        def on_time(self, states: Any, now_ms: int) -> Any:
            super().on_time(states, now_ms)
            if len(self.ticks) > 1:
                return []
            world.broker.generation += 1
            world.broker.given = ALL
            states[0].put(b"tick", b"1")
            return [(self._topic, 0, b"tick", b"1")]

    core = Stopped(world.full(WRITTEN))
    worker, probe = world.worker(core)
    worker.run(world.until(lambda: len(core.ticks) >= 3))
    assert [cause.startswith("send_offsets: ") for cause in probe.causes] == [True]
    assert core.ticks[1:] == [{0: {}, 1: {}}] * 2
    assert (world.seen(), world.broker.committed(PREFIX + STATE), world.broker.offsets) == ([], [], {})


def test_a_restored_state_is_committed(world: InMemory) -> None:
    """An abort before the first commit goes back to what was restored, not to nothing: ground truth keeps its time."""

    class Kept(KeyedState):
        now = at_commit = b""

        def restore(self, key: bytes, value: bytes | None) -> None:
            self.now = value or b""

        def commit(self) -> None:
            self.at_commit = self.now

        def rollback(self) -> None:
            self.now = self.at_commit

    class Looking(Counting):
        new_state = Kept

        def on_batch(self, batch: Any, states: Any, now_ms: int) -> Any:
            seen.append(states[0].now)
            raise Unavailable("a server is away")

    seen: list[bytes] = []
    world.broker.append((PREFIX + STATE, 0), b"newest", b"77")
    world.publish(b"a")
    worker, probe = world.worker(Looking(world.full(WRITTEN)))
    worker.run(world.until(lambda: len(probe.causes) >= 3))
    assert seen == [b"77"] * 3


def test_a_server_that_stays_away_is_asked_ever_less_often(world: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double up to a bound; a batch that is done lets them begin anew."""

    class Waiting(Until):
        def wait(self, timeout: float | None = None) -> bool:
            waited_s.append(timeout)
            return False

    waited_s: list[float | None] = []
    monkeypatch.setattr(worker_module, "Backoff", partial(Backoff, chance=lambda: 1.0))
    core = Counting(world.full(WRITTEN), away=5)
    worker, probe = world.worker(core)

    def is_done_twice() -> bool:
        if probe.records == len(published) and probe.records < 2:
            core.away = 1 if published else 5
            world.publish(b"a")
            published.append(b"a")
        return probe.records == 2

    published: list[bytes] = []
    worker.run(Waiting(is_done_twice, turns=2_000))
    assert waited_s == [0.25, 0.5, 1.0, 2.0, 2.0, 0.25]


def warm(size: TransactionSize, cost_s: float, commit_s: float = 0.01) -> list[int]:
    """What a size comes to while all of it is used and each record costs the same."""
    notified = [size.records()]
    for _ in range(20):
        size.took(notified[-1], notified[-1] * cost_s, commit_s)
        notified.append(size.records())
    return notified


def test_a_transaction_takes_what_its_time_allows() -> None:
    """Within bounds, however dear or cheap a record is; half of what is believed is replaced."""
    size = TransactionSize(0.06, 0.02, most=5_000)
    assert warm(size, 0.0001)[-1] == 600
    notified = []
    for records, work_s in ((600, 0.18), (400, 40.0), (1, 0.0), (2, 0.0)):
        size.took(records, work_s, 0.01)
        notified.append(size.records())
    assert notified == [300, 1, 2, 4]
    assert warm(TransactionSize(0.06, 0.02, most=10), 0.0001)[-1] == 10


def test_a_transaction_begins_with_one_record_and_doubles() -> None:
    """Nobody knows yet what the next record costs; a warm worker is there after 13 transactions."""
    notified = warm(TransactionSize(0.06, 0.02, most=5_000), 1e-7)
    assert notified[:14] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 5_000]


def test_a_record_of_seconds_is_done_alone() -> None:
    """A model or a picture that takes 3 s: two at once at most, long before anybody takes the worker for stuck."""
    assert warm(TransactionSize(0.06, 0.02, most=5_000), 3.0) == [1] * 21


def test_a_size_that_is_not_used_does_not_grow() -> None:
    """One cheap record at a time says little about hundreds; nor does it take away what was known."""
    size = TransactionSize(0.06, 0.02, most=5_000)
    for _ in range(50):
        size.took(1, 0.0001, 0.01)
    assert size.records() == 2
    warm(size, 0.0001)
    for _ in range(50):
        size.took(1, 0.0001, 0.01)
    assert size.records() == 600


def test_what_costs_nothing_is_given_no_more_than_the_most() -> None:
    """However fast it is."""
    assert warm(TransactionSize(0.06, 0.02, most=5_000), 0.0)[-1] == 5_000


def test_a_slow_commit_makes_transactions_larger() -> None:
    """The work may take as long as the commit: else a backlog grows behind a slow broker."""
    size = TransactionSize(0.06, 0.02, most=5_000)
    assert warm(size, 0.0001, 0.3)[-1] == pytest.approx(3_000, rel=0.01)


def test_a_worker_that_waits_between_transactions_takes_more_in_one() -> None:
    """What comes in half a second is work for up to half a second: else a backlog grows while it waits."""
    assert warm(TransactionSize(0.06, 0.5, most=5_000), 0.001)[-1] == 500


def test_a_slow_first_batch_is_no_crash_loop(world: InMemory) -> None:
    """A worker that knows nothing yet takes one record, however many wait: that comes to an end, and is remembered."""
    world.publish(*[b"a"] * 100)
    sizes: list[int] = []

    class Looking(Counting):
        def on_batch(self, batch: Any, states: Any, now_ms: int) -> Any:
            sizes.append(len(batch))
            return super().on_batch(batch, states, now_ms)

    worker, probe = world.worker(Looking(world.full(WRITTEN)))
    worker.run(world.until(lambda: probe.records >= 7))
    assert sizes == [1, 2, 4]


def test_a_worker_that_works_seldom_does_not_wait_with_a_backlog(world: InMemory) -> None:
    """After a stall, or a start, it works on until a transaction has room left; only then it waits for the interval."""

    class Waiting(Until):
        def wait(self, timeout: float | None = None) -> bool:
            waited_after.append(probe.records)
            return False

    waited_after: list[int] = []
    world.publish(*[b"a"] * 100)
    worker, probe = world.worker(interval_ms=3_600_000)

    def is_done() -> bool:
        if probe.records == 100 and world.lag() == 0:
            world.publish(b"a")
        return probe.records > 100

    worker.run(Waiting(is_done, turns=2_000))
    assert waited_after == [100]


def test_a_transaction_of_one_record_polls_no_more(world: InMemory) -> None:
    """The bound holds for the first record too."""
    world.publish(b"a", b"b", b"c")
    worker, probe = world.worker()
    vars(worker)["_size"] = TransactionSize(0.06, 0.02, most=1)
    worker.run(world.until(lambda: probe.records >= 3))
    assert world.seen() == counts(b"a", b"b", b"c")


def test_nobody_needs_to_listen(world: InMemory) -> None:
    """A worker without a probe tells nobody."""
    probe = NullProbe()
    probe.beat()
    probe.assigned(1, ready=True)
    probe.committed(1, Counter(), 0.1, 0.1)
    probe.aborted("cause")
    assert isinstance(world.worker()[1], Recorder)


@pytest.mark.parametrize(("interval_ms", "waits"), [(0, None), (100, None), (200, 100), (1_000, 500)])
def test_who_works_seldom_fetches_as_seldom(
    world: InMemory, monkeypatch: pytest.MonkeyPatch, interval_ms: float, waits: int | None
) -> None:
    """The broker is asked to wait for half of the time between two transactions, unless there is much to read."""
    configs: list[dict[str, Any]] = []

    def consumer(config: dict[str, Any]) -> FakeConsumer:
        configs.append(config)
        return FakeConsumer(world.broker, config)

    monkeypatch.setattr(worker_module, "Consumer", consumer)
    settings = Settings(topic_prefix=PREFIX, partitions=PARTITIONS, transaction_interval_ms=interval_ms)
    Worker("drift", Counting(PREFIX + WRITTEN), [PREFIX + READ], None, settings, clock=lambda: 0)
    assert configs[0].get("fetch.wait.max.ms") == waits
    assert ("fetch.min.bytes" in configs[0]) == (waits is not None)
