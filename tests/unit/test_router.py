"""The router: bytes in, records to the core, bytes out; what cannot be read or is refused is kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import partition_of
from catseye.contract.message import Message
from catseye.contract.origin import as_published, origin_of
from catseye.contract.records import AcceptedLabel, DeadLetter, Label, ModelEvent
from catseye.runtime.router import Forward, Refusal, Router, Unread, Written, refused
from catseye.runtime.stream import NoState, Output, Tally
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
PARTITIONS = 3
READS = ("labels",)
WRITES = ("labels.accepted", "frames.rekeyed", "dead-letters")
LABEL = Label(camera="gate", boot="b", sequence=3, label="car", labelled_at_ms=5)
ACCEPTED = AcceptedLabel(
    camera="gate",
    boot="b",
    sequence=3,
    label="car",
    labelled_at_ms=5,
    source="person",
    propensity=1.0,
    received_at_ms=9,
)
EVENT = ModelEvent(
    event_id="e", model="m", version="1", stage="champion", sha256="0", signature=b"", because="", by="", at_ms=1
)
HOME = partition_of("gate", PARTITIONS)


class Fixed(Tally):
    """Answers each label with what it is told to, and keeps what it was handed."""

    new_state = NoState

    def __init__(self, *answer: Written, fault: BadRecord | None = None) -> None:
        super().__init__()
        self.handed: list[Any] = []
        self._answer = answer
        self._fault = fault

    def on_label(self, label: Any, message: Message, state: NoState, now_ms: int) -> Sequence[Written]:
        self.handed.append(label)
        if self._fault:
            raise self._fault
        return self._answer

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> Sequence[Written]:
        return self._answer


def routed(core: Any, reads: Sequence[str] = READS, writes: Sequence[str] = WRITES) -> Router[NoState]:
    """*core* under a worker of a fleet that calls itself blue."""
    return Router(core, "some_service", reads, writes, CODEC, "blue.", PARTITIONS)


def message(value: bytes | None = None, offset: int = 7, partition: int = 0) -> FakeMessage:
    """A message on the public topic of labels."""
    return FakeMessage("blue.labels", CODEC.encode(LABEL) if value is None else value, offset, partition)


def ran(router: Router[NoState], *batch: FakeMessage) -> list[Output]:
    """What a batch leads to at 9 ms past the epoch."""
    return router.on_batch(batch, {partition: NoState() for partition in range(PARTITIONS)}, 9)


def letter_in(outputs: Sequence[Output]) -> tuple[Output, DeadLetter]:
    """The only output, which is a dead letter."""
    (output,) = outputs
    assert output.topic == "blue.dead-letters"
    return output, CODEC.decode(output.value, DeadLetter)


def test_a_core_is_handed_records_and_its_records_are_written_where_they_belong() -> None:
    """To the topic of their kind, on the camera's partition, under the key of the table."""
    core = Fixed(ACCEPTED)
    assert ran(routed(core), message()) == [Output("blue.labels.accepted", HOME, b"gate", CODEC.encode(ACCEPTED))]
    assert core.handed == [LABEL]
    assert routed(core).on_time({}, 9) == [Output("blue.labels.accepted", HOME, b"gate", CODEC.encode(ACCEPTED))]


def test_a_topic_without_cameras_has_one_partition_and_its_own_key() -> None:
    """A model event is keyed by model and version."""
    outputs = ran(routed(Fixed(EVENT), writes=("models",)), message(partition=2))
    assert outputs == [Output("blue.models", 0, b"m/1", CODEC.encode(EVENT))]


def test_what_goes_on_goes_on_byte_for_byte() -> None:
    """On its camera's partition, whatever the bytes are."""
    came = FakeMessage("blue.labels", b"as it came", 7, 1, b"a key of its own", (2, 5))
    (output,) = ran(routed(Fixed(Forward("frames.rekeyed", "gate", came))), message())
    assert output[:4] == ("blue.frames.rekeyed", HOME, b"gate", b"as it came")
    again = FakeMessage(output.topic, output.value, 3, HOME, output.key, (2, 9), output.headers)
    published = as_published(again)
    assert (published.topic(), published.partition(), published.offset(), published.timestamp()) == (
        "blue.labels",
        1,
        7,
        (2, 5),
    )
    assert (published.key(), published.value()) == (b"a key of its own", b"as it came")


class BothWays(Fixed):
    """Takes frames that it sent round, too."""

    on_frame = Fixed.on_label


def test_only_on_a_topic_of_ours_a_record_says_where_it_was_published() -> None:
    """What a publisher writes into such a header is not believed; a copy of an earlier version lies where it lies."""
    stranger = FakeMessage("frames", b"", 1, 0, None, (2, 5))
    for topic, headers, expected in (
        ("blue.labels", origin_of(stranger), ("blue.labels", 4)),
        ("blue.frames.rekeyed", origin_of(stranger), ("frames", 1)),
        ("blue.frames.rekeyed", None, ("blue.frames.rekeyed", 4)),
    ):
        core = routed(BothWays(), reads=("labels", "frames.rekeyed"))
        (output,) = ran(core, FakeMessage(topic, b"rubbish", 4, 1, b"k", (2, 6), headers))
        letter = CODEC.decode(output.value, DeadLetter)
        assert (letter.topic, letter.offset) == expected


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_what_cannot_be_read_is_a_dead_letter_and_the_next_one_goes_on(partition: int) -> None:
    """With its bytes and where it lay; it stays on the partition that it came on, since no camera can be read."""
    core = Fixed()
    output, letter = letter_in(ran(routed(core), message(b"garbage", 4, partition), message()))
    assert (output.partition, output.key) == (partition, f"blue.labels-{partition}".encode())
    assert (letter.service, letter.reason, letter.camera) == ("some_service", Reason.UNKNOWN_FORMAT, None)
    assert (letter.topic, letter.partition, letter.offset, letter.value) == ("blue.labels", partition, 4, b"garbage")
    assert core.handed == [LABEL]
    assert core.counted() == {"dead_unknown_format": 1}


@pytest.mark.parametrize("later", [False, True])
def test_what_a_core_refuses_is_a_dead_letter_at_its_cameras_home(later: bool) -> None:
    """Whether it refuses a record at once or later."""
    fault = BadRecord(Reason.FIELD_OUT_OF_RANGE, "too much")
    came = message(partition=(HOME + 1) % PARTITIONS)
    core = Fixed(Refusal(came, fault)) if later else Fixed(fault=fault)
    output, letter = letter_in(ran(routed(core), came))
    assert (output.partition, letter.camera, letter.reason, letter.detail) == (
        HOME,
        "gate",
        Reason.FIELD_OUT_OF_RANGE,
        "too much",
    )


def test_who_runs_no_worker_makes_the_same_dead_letter() -> None:
    """The retrain trigger, on Faust, refuses by the same function: with camera, and at its home."""
    fault = BadRecord(Reason.FIELD_OUT_OF_RANGE, "too much")
    came = message(CODEC.encode(LABEL)[:-1])
    partition, key, value = refused("some_service", CODEC, Label, came, fault, 9, PARTITIONS)
    letter = CODEC.decode(value, DeadLetter)
    assert (partition, letter.camera, letter.reason, letter.service) == (HOME, "gate", fault.reason, "some_service")
    (output,) = ran(routed(Fixed(fault=fault)), message())
    assert (output.partition, output.key) == (partition, key)


def test_a_camera_that_is_no_name_is_none() -> None:
    """The letter stays on the partition that the record came on."""
    nameless = CODEC.encode(replace(LABEL, camera=" "))
    _, letter = letter_in(
        ran(routed(Fixed(fault=BadRecord(Reason.CAMERA_EMPTY, "no camera"))), message(nameless, partition=2))
    )
    assert (letter.camera, letter.partition) == (None, 2)


def test_who_writes_no_dead_letters_counts_what_it_refuses() -> None:
    """As a shadow does, which owes nothing."""
    core = Fixed()
    assert ran(routed(core, writes=("labels.accepted",)), message(b"garbage")) == []
    assert core.counted() == {"dead_unknown_format": 1}


def test_a_core_may_read_the_head_of_records_alone() -> None:
    """It gets the fields up to the last one that it names."""

    class Head(Fixed):
        in_parts = ("labels",)

        def on_label(self, label: Unread, message: Message, state: NoState, now_ms: int) -> Sequence[Written]:
            self.handed.append(label.leading("sequence"))
            return ()

    core = Head()
    ran(routed(core), message())
    assert core.handed == [{"camera": "gate", "boot": "b", "sequence": 3}]


def test_a_core_may_limit_the_bytes_that_are_examined() -> None:
    """A longer value is refused before it is decoded."""

    class Limited(Fixed):
        max_bytes = {"labels": 10}  # noqa: RUF012

    _, letter = letter_in(ran(routed(Limited()), message()))
    assert letter.reason == Reason.RECORD_TOO_LARGE


def test_a_core_may_choose_of_a_batch_and_answer_at_its_end() -> None:
    """`begin` says which messages are taken and in which order, `end` writes what the whole batch led to."""

    class Whole(Fixed):
        def begin(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> Sequence[Message]:
            return [each for each in reversed(batch) if each.offset() != 1]

        def on_label(self, label: Any, message: Message, state: NoState, now_ms: int) -> Sequence[Written]:
            self.handed.append(message.offset())
            return ()

        def end(self, states: Mapping[int, NoState], now_ms: int) -> Sequence[Written]:
            return (ACCEPTED,)

    core = Whole()
    outputs = ran(routed(core), *[message(offset=offset) for offset in range(3)])
    assert (core.handed, [output.topic for output in outputs]) == ([2, 0], ["blue.labels.accepted"])


def test_a_core_may_read_and_write_a_whole_batch_itself() -> None:
    """It is handed messages with the names of their topics; what it encoded goes out under the topic's full name."""

    class Whole(Fixed):
        def on_records(
            self, batch: Sequence[Message], topics: Sequence[str], states: Mapping[int, NoState], now_ms: int
        ) -> Sequence[Written]:
            self.handed = [(message.offset(), topic, now_ms) for message, topic in zip(batch, topics, strict=True)]
            fault = BadRecord(Reason.FIELD_OUT_OF_RANGE, "too much")
            return Output("labels.accepted", 1, b"gate", b"encoded"), Refusal(batch[1], fault), ACCEPTED

    core = Whole()
    encoded, refused, accepted = ran(routed(core), message(), message(offset=8))
    assert core.handed == [(7, "labels", 9), (8, "labels", 9)]
    assert encoded == Output("blue.labels.accepted", 1, b"gate", b"encoded")
    assert letter_in([refused])[1].offset == 8
    assert accepted.value == CODEC.encode(ACCEPTED)


def test_a_core_that_does_not_fit_its_service_is_a_bug() -> None:
    """Found at the start where it can be: no method for a topic, or a record that could go to two topics."""
    with pytest.raises(TypeError, match=r"some_service reads outcomes and Fixed has no on_outcome"):
        routed(Fixed(), reads=("labels", "outcomes"))
    with pytest.raises(TypeError, match=r"some_service writes Prediction to more than one topic"):
        routed(Fixed(), writes=("predictions", "predictions.shadow"))
    with pytest.raises(TypeError, match=r"some_service does not declare a topic that it writes ModelEvent to"):
        ran(routed(Fixed(EVENT)), message())
    with pytest.raises(KeyError, match="frames"):
        ran(routed(Fixed(Forward("frames", "gate", message()))), message())


class InParts(Tally):
    """Reads the rest of a label only where its boot asks for it."""

    new_state = NoState
    in_parts = ("labels",)

    def on_label(self, unread: Unread, message: Message, state: NoState, now_ms: int) -> Sequence[Written]:
        if unread.leading("boot")["boot"] == "whole":
            self.events[unread.whole().label] += 1
        return []


def test_a_core_reads_as_much_of_a_record_as_it_finds_worth_it() -> None:
    """Fields up to one, then all of it; what cannot be read is a dead letter when it is asked for."""
    core = InParts()
    values = [CODEC.encode(replace(LABEL, boot=boot)) for boot in ("whole", "head")]
    outputs = ran(routed(core), *map(message, values), message(b"?"))
    assert [output.topic for output in outputs] == ["blue.dead-letters"]
    assert core.counted() == {"car": 1, "dead_unknown_format": 1}
