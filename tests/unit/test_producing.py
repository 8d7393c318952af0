"""A few records are written, and it is known what became of them."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import Label, ModelEvent
from catseye.kafka import producing
from catseye.kafka.producing import produce, produce_rows
from catseye.settings import Settings

SETTINGS = Settings(topic_prefix="t.")
LABEL = Label(camera="gate", boot="b", sequence=7, label="car", labelled_at_ms=1, source="person", propensity=1.0)
EVENT = ModelEvent(
    event_id="e", model="m", version="v", stage="champion", sha256="", signature=b"", because="", by="ada", at_ms=1
)


class FakeProducer:
    """Takes records and says on `flush` what became of each; satisfies what is used of a Producer."""

    def __init__(self, *fates: int | None, full: int = 0, silent: int = 0) -> None:
        self._fates = list(fates)
        self._full = full
        self._silent = silent
        self._waiting: list[Callable[[Any, Any], None]] = []
        self.taken: list[tuple[str, bytes | None, bytes | None]] = []

    def produce(self, topic: str, value: bytes | None, key: bytes | None, *, on_delivery: Any) -> None:
        if self._full:
            self._full -= 1
            raise BufferError
        self.taken.append((topic, key, value))
        self._waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        for on_delivery, fate in zip(self._waiting, self._fates or [None] * len(self._waiting), strict=False):
            on_delivery(None if fate is None else KafkaError(fate, "on order"), None)
        return self._silent


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeProducer], FakeProducer]:
    """Puts a producer in place of librdkafka's."""

    def put(fake: FakeProducer) -> FakeProducer:
        monkeypatch.setattr(producing, "Producer", lambda config: fake)
        return fake

    return put


def test_records_go_to_their_topic_by_the_key_of_the_table(client: Callable[[FakeProducer], FakeProducer]) -> None:
    """Encoded, in order."""
    fake = client(FakeProducer())
    produce(SETTINGS, Codec(), "labels", LABEL, LABEL)
    produce(SETTINGS, Codec(), "models", EVENT)
    assert fake.taken == [
        ("t.labels", b"gate", Codec().encode(LABEL)),
        ("t.labels", b"gate", Codec().encode(LABEL)),
        ("t.models", b"m/v", Codec().encode(EVENT)),
    ]


def test_a_record_that_the_topic_does_not_carry_is_not_written(client: Callable[[FakeProducer], FakeProducer]) -> None:
    """A mistake of ours, found before the broker is asked."""
    fake = client(FakeProducer())
    with pytest.raises(ValueError, match="models carries no Label"):
        produce(SETTINGS, Codec(), "models", LABEL)
    assert not fake.taken
    with pytest.raises(KeyError):
        produce(SETTINGS, Codec(), "nothing", LABEL)


@pytest.mark.parametrize(
    ("fake", "sentence"),
    [
        (FakeProducer(None, KafkaError._MSG_TIMED_OUT), "did not take 1 of 2 records for a and b: on order"),
        (FakeProducer(silent=2), "did not take 2 of 2 records for a and b: no answer"),
    ],
)
def test_what_the_broker_does_not_take_is_counted(
    client: Callable[[FakeProducer], FakeProducer], fake: FakeProducer, sentence: str
) -> None:
    """Refused, or never answered."""
    client(fake)
    with pytest.raises(Unavailable, match=sentence):
        produce_rows(SETTINGS, [("b", b"1", b"one"), ("a", None, b"two")])


def test_a_full_queue_is_waited_for(client: Callable[[FakeProducer], FakeProducer]) -> None:
    """No record is left out."""
    fake = client(FakeProducer(full=3))
    produce_rows(SETTINGS, [("a", b"1", b"one"), ("a", b"2", None)])
    assert fake.taken == [("a", b"1", b"one"), ("a", b"2", None)]
