"""Reads topics whole, from their first record to their end, and of each record only the fields that are asked for.

Law: the end is a position, never the offset of a last record (transaction markers leave holes), and it is the high
watermark: what lies below it in a transaction that is still open is waited for.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from io import BytesIO
from itertools import takewhile
from typing import Any, TypeVar

import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition

from catseye.contract.codec import schema_texts
from catseye.contract.errors import Unavailable
from catseye.contract.records import (
    AcceptedFrame,
    AcceptedLabel,
    Alert,
    DeadLetter,
    Frame,
    Label,
    ModelEvent,
    Outcome,
    Prediction,
    Record,
    RetrainDecision,
    UnmatchedLabel,
)
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import log_bounds, reader_config
from catseye.settings import Settings
from infra.local.evidence import (
    LABEL_TOPICS,
    DeadAt,
    FrameAt,
    FrameKey,
    LabelAt,
    LabelKey,
    Log,
    OutcomeAt,
    PredictionAt,
    UnmatchedAt,
)
from services.ingest.window import CameraWindow

CHUNK = 10_000  # records that one call takes from the client
QUIET_S = 60.0  # nothing for so long, and the end not reached: the topic cannot be read
MALFORMED = (EOFError, IndexError, ValueError, OverflowError, TypeError, KeyError)

Fields = Mapping[str, Any]
T = TypeVar("T")


class HeadReader:
    """Decodes the first fields of a record. Avro has no marks between fields, so a schema that ends early reads a
    record's head and leaves the rest, pictures included, untouched.

    Args:
        kind: The record.
        until: Name of the last field that is wanted.
    """

    def __init__(self, kind: type[Record], until: str) -> None:
        schema = json.loads(schema_texts()[kind.schema_name])
        before = list(takewhile(lambda field: field["name"] != until, schema["fields"]))
        schema["fields"] = schema["fields"][: len(before) + 1]
        self._schema = fastavro.parse_schema(schema, {})

    def read(self, value: bytes) -> Fields:
        """Fields of *value* up to the last one wanted; raises one of `MALFORMED` when it is no such record."""
        buffer = BytesIO(value)
        buffer.seek(10 if value[:1] == b"\xc3" else 5)  # the two envelopes of catseye.contract.codec
        fields: Any = fastavro.schemaless_reader(buffer, self._schema, None)
        assert isinstance(fields, dict)
        return fields


@cache
def head_reader(kind: type[Record], until: str) -> HeadReader:
    return HeadReader(kind, until)


def partitions_of(settings: Settings, name: str) -> list[int]:
    """Partitions of a topic of the table."""
    return list(range(settings.partitions if BY_NAME[name].by_camera else 1))


def read_whole(
    settings: Settings, name: str, *, isolation: str = "read_committed", quiet_s: float = QUIET_S
) -> Iterator[Any]:
    """Give every record of topic *name* (without prefix) that a reader at *isolation* sees, in order per partition.

    Raises:
        Unavailable: the end was not reached and nothing came for *quiet_s* seconds.
    """
    topic = full_name(name, settings.topic_prefix)
    bounds = log_bounds(settings, topic, partitions_of(settings, name))
    ends = {partition: end for partition, (_, end) in bounds.items()}
    waiting = {partition: end for partition, (first, end) in bounds.items() if end > first}
    reader = Consumer(
        reader_config(settings, f"{topic}.read-whole")
        | {"enable.partition.eof": True, "isolation.level": isolation, "fetch.wait.max.ms": 50}
    )
    try:
        reader.assign([TopicPartition(topic, partition, bounds[partition][0]) for partition in waiting])
        heard_s = time.monotonic()
        while waiting:
            chunk: list[Any] = reader.consume(CHUNK, 0.2)
            for message in chunk:
                error = message.error()
                if error is None:
                    heard_s = time.monotonic()
                    if message.offset() < ends[message.partition()]:
                        yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    # Of a partition's end the offset is the reader's position; short of the high watermark it is the
                    # start of a transaction that is still open.
                    if message.offset() >= ends[message.partition()]:
                        waiting.pop(message.partition(), None)
                elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise Unavailable(f"{topic} cannot be read: {error.str()}")
            _drop_finished(reader, topic, waiting)
            if time.monotonic() - heard_s > quiet_s:
                raise Unavailable(
                    f"{topic} cannot be read to its end: nothing came for {quiet_s:.0f} s, and partitions "
                    f"{sorted(waiting)} are not at their high watermark"
                )
    finally:
        reader.close()


def _drop_finished(reader: Any, topic: str, waiting: dict[int, int]) -> None:
    """A topic that is still written to may never be at its end: the position passing the watermark is enough."""
    for place in reader.position([TopicPartition(topic, partition) for partition in waiting]):
        if place.offset >= waiting[place.partition]:
            del waiting[place.partition]


def last_values(settings: Settings, name: str) -> dict[bytes, bytes]:
    """What a compacted topic holds: the last value of each key; keys that were removed are absent."""
    values: dict[bytes, bytes] = {}
    for message in read_whole(settings, name):
        if message.value() is None:
            values.pop(message.key(), None)
        else:
            values[message.key()] = message.value()
    return values


def read_log(settings: Settings) -> Log:
    """Read every topic that the checker looks at. 100,000 frames and their labels take about 15 s on one core."""
    return Log(
        frames=_each(settings, "frames", _frame_reader(Frame)),
        accepted=_each(settings, "frames.accepted", _frame_reader(AcceptedFrame)),
        predictions=[record for record in _each(settings, "predictions", _prediction) if record.role == "champion"],
        labels=_each(settings, "labels", _label_reader(Label)),
        labels_accepted=_each(settings, "labels.accepted", _label_reader(AcceptedLabel)),
        outcomes=[record for record in _each(settings, "outcomes", _outcome) if record.role == "champion"],
        unmatched=_each(settings, "labels.unmatched", _unmatched),
        dead=_each(settings, "dead-letters", partial(_dead, settings.topic_prefix)),
        duplicates={
            camera.decode(): CameraWindow.from_bytes(stored).duplicates
            for camera, stored in last_values(settings, "ingest.state").items()
        },
        ids=_ids(settings),
    )


def _each(settings: Settings, name: str, make: Callable[[Any], T]) -> list[T]:
    return [make(message) for message in read_whole(settings, name)]


def frame_of(fields: Fields) -> FrameKey:
    return fields["camera"], fields["boot"], fields["sequence"]


def label_of(fields: Fields) -> LabelKey:
    return frame_of(fields), fields["label"], fields["labelled_at_ms"]


def _frame_reader(kind: type[Record]) -> Callable[[Any], FrameAt]:
    read = head_reader(kind, "sequence")
    return lambda message: FrameAt(
        message.partition(), message.offset(), _named(read, message.value(), frame_of), message.timestamp()[1]
    )


def _label_reader(kind: type[Record]) -> Callable[[Any], LabelAt]:
    read = head_reader(kind, "labelled_at_ms")
    return lambda message: LabelAt(
        message.partition(), message.offset(), _named(read, message.value(), label_of), message.timestamp()[1]
    )


def _named(read: HeadReader, value: bytes | None, name_of: Callable[[Fields], T]) -> T | None:
    """Name what *value* is about; None where its bytes do not say."""
    try:
        return name_of(read.read(value or b""))
    except MALFORMED:
        return None


def _prediction(message: Any) -> PredictionAt:
    fields = head_reader(Prediction, "label").read(message.value())
    return PredictionAt(
        message.partition(),
        message.offset(),
        frame_of(fields),
        fields["prediction_id"],
        fields["version"],
        fields["role"],
        fields["frame_partition"],
        fields["frame_offset"],
        fields["label"],
        message.timestamp()[1],
    )


def _outcome(message: Any) -> OutcomeAt:
    fields = head_reader(Outcome, "labelled_at_ms").read(message.value())
    return OutcomeAt(
        message.partition(),
        message.offset(),
        label_of(fields),
        fields["prediction_id"],
        fields["role"],
        fields["predicted"],
        fields["change"],
        message.timestamp()[1],
    )


def _unmatched(message: Any) -> UnmatchedAt:
    fields = head_reader(UnmatchedLabel, "reason").read(message.value())
    return UnmatchedAt(
        message.partition(), message.offset(), label_of(fields), fields["reason"], message.timestamp()[1]
    )


def _dead(prefix: str, message: Any) -> DeadAt:
    fields = head_reader(DeadLetter, "value").read(message.value())
    topic = fields["topic"].removeprefix(prefix)
    of_label = topic in LABEL_TOPICS
    # Frame and AcceptedFrame, Label and AcceptedLabel have the same head.
    return DeadAt(
        fields["dead_letter_id"],
        fields["service"],
        fields["reason"],
        (topic, fields["partition"], fields["offset"]),
        None if of_label else _named(head_reader(Frame, "sequence"), fields["value"], frame_of),
        _named(head_reader(Label, "labelled_at_ms"), fields["value"], label_of) if of_label else None,
    )


def _ids(settings: Settings) -> dict[str, list[str]]:
    """Ids that may stand once: of an alert each revision, of a decision and a model event the record."""
    alert = head_reader(Alert, "revision")
    decision, event = head_reader(RetrainDecision, "decision_id"), head_reader(ModelEvent, "event_id")
    return {
        "revision of an alert": _each(
            settings, "alerts", lambda message: "{alert_id}/{revision}".format(**alert.read(message.value()))
        ),
        "decision_id": _each(
            settings, "retraining", lambda message: str(decision.read(message.value())["decision_id"])
        ),
        "event_id": _each(settings, "models", lambda message: str(event.read(message.value())["event_id"])),
    }
