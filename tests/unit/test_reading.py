"""Topics are read to their end, which is a position: what is open below it is waited for, what lies beyond is left."""

import math
from collections.abc import Iterator
from itertools import islice

import pytest
from confluent_kafka import KafkaError

from catseye.contract.errors import Unavailable
from catseye.kafka import clients, reading
from catseye.kafka.reading import ENDS_SHOWN, Chunk, partitions_of, read_to, read_to_end
from catseye.settings import Settings
from tests.simulation.fake_kafka import Broker, FakeConsumer, kafka_fault

TOPIC = "t.labels"
SETTINGS = Settings(topic_prefix="t.", partitions=2)
AWAY = KafkaError._TRANSPORT


@pytest.fixture
def broker() -> Broker:
    """Two partitions: five records and an aborted one, and nothing."""
    made = Broker()
    for number in range(5):
        made.append((TOPIC, 0), b"key", b"%d" % number)
    made.append((TOPIC, 0), b"key", b"aborted", "aborted")
    return made


def chunks_of(broker: Broker, first: int, end: int, **more: float) -> Iterator[Chunk]:
    """Chunks of the first partition."""
    reader = FakeConsumer(broker, dict(ENDS_SHOWN))
    return read_to(reader, {(TOPIC, 0): (first, end), (TOPIC, 1): (0, 0)}, **more)  # type: ignore[arg-type]


def values(chunks: Iterator[Chunk]) -> list[bytes]:
    """What the records hold."""
    return [message.value() for chunk in chunks for message in chunk.messages]


def test_a_range_is_read_and_nothing_beyond(broker: Broker) -> None:
    """From the first offset to before the second."""
    assert values(chunks_of(broker, 1, 4)) == [b"1", b"2", b"3"]
    assert values(chunks_of(broker, 3, 3)) == []


def test_the_end_is_a_position(broker: Broker) -> None:
    """Behind the last record lies one of an aborted transaction, which no reader is handed."""
    chunks = list(chunks_of(broker, 0, 6))
    assert values(iter(chunks)) == [b"0", b"1", b"2", b"3", b"4"]
    assert chunks[-1].positions == {(TOPIC, 0): 6}


def test_a_chunk_has_at_most_so_many_records(broker: Broker) -> None:
    """And says how far each partition is read."""
    chunks = list(chunks_of(broker, 0, 6, most=2))
    assert [len(chunk.messages) for chunk in chunks if chunk.messages] == [2, 2, 1]
    assert [chunk.positions for chunk in chunks][:2] == [{(TOPIC, 0): 2}, {(TOPIC, 0): 4}]


@pytest.mark.parametrize(("fate", "seen"), [("committed", [b"open", b"behind"]), ("aborted", [b"behind"])])
def test_an_open_transaction_below_the_end_is_waited_for(broker: Broker, fate: str, seen: list[bytes]) -> None:
    """The caller goes on meanwhile; how it ends decides what is read."""
    place = (TOPIC, 0)
    entry = broker.append(place, b"key", b"open", "open")
    broker.append(place, b"key", b"behind")
    chunks = chunks_of(broker, 6, 8, quiet_s=math.inf)
    assert values(islice(chunks, 5)) == []
    broker.end([(place, entry)], fate)
    assert values(chunks)[-2:] == seen


def test_silence_is_reported_with_its_reason(broker: Broker) -> None:
    """Nothing for so long, and not at the end: which partitions, and what the client had to say last."""
    broker.append((TOPIC, 0), b"key", b"open", "open")
    clock = iter(range(0, 1_000, 10))
    broker.fail("restored", *[kafka_fault(AWAY)] * 9)
    reader = FakeConsumer(broker, dict(ENDS_SHOWN))
    with pytest.raises(
        Unavailable, match=r"nothing came for 30 s, and partitions \[0\] are not there yet \(on order\)"
    ):
        list(read_to(reader, {(TOPIC, 0): (6, 7)}, quiet_s=30, monotonic=lambda: next(clock)))  # type: ignore[arg-type]


@pytest.mark.parametrize("code", sorted(reading.FATAL_CODES))
def test_what_no_try_mends_ends_the_reading(broker: Broker, code: int) -> None:
    """At once."""
    broker.fail("restored", kafka_fault(code))
    with pytest.raises(Unavailable, match=f"{TOPIC} cannot be read: on order"):
        list(chunks_of(broker, 0, 5))


def test_an_error_that_passes_is_passed_over(broker: Broker) -> None:
    """No record is missing after it."""
    broker.fail("restored", kafka_fault(AWAY), kafka_fault(AWAY))
    assert values(chunks_of(broker, 0, 5)) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_topic_is_read_whole(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every partition of the table's topic from its first record on; the client is closed also when nobody reads on."""
    made: list[FakeConsumer] = []

    def consumer(config: dict[str, object]) -> FakeConsumer:
        made.append(FakeConsumer(broker, config))
        return made[-1]

    for module in (clients, reading):
        monkeypatch.setattr(module, "Consumer", consumer)
    broker.first[TOPIC, 0] = 2
    broker.append((TOPIC, 1), b"key", b"other")
    assert sorted(message.value() for message in read_to_end(SETTINGS, "labels")) == [b"2", b"3", b"4", b"other"]
    some = read_to_end(SETTINGS, "labels")
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert all(each.closed for each in made)
    assert (partitions_of(SETTINGS, "labels"), partitions_of(SETTINGS, "models")) == ([0, 1], [0])
