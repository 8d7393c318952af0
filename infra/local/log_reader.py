"""Reads topics whole, from their first record to their end, and of each record only the fields that are asked for."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from io import BytesIO
from itertools import takewhile
from typing import Any, TypeVar

import fastavro

from catseye import clock
from catseye.contract.codec import schema_texts
from catseye.contract.records import (
    AcceptedFrame,
    AcceptedLabel,
    Alert,
    CameraView,
    DeadLetter,
    Frame,
    Label,
    ModelEvent,
    Outcome,
    Prediction,
    Record,
    RepeatedFrame,
    RetrainDecision,
    UnmatchedLabel,
)
from catseye.kafka.reading import read_to_end
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

QUIET_S = 60.0  # a broker that restarts is waited for
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


def read_log(settings: Settings) -> Log:
    """Read every topic that the checker looks at. 100,000 frames and their labels take about 15 s on one core."""
    until_ms = clock.now_ms()
    return Log(
        frames=_each(settings, "frames", _frame_reader(Frame)),
        accepted=_each(settings, "frames.accepted", _frame_reader(AcceptedFrame)),
        views=_each(settings, "views", _frame_reader(CameraView)),
        predictions=[record for record in _each(settings, "predictions", _prediction) if record.role == "champion"],
        labels=_each(settings, "labels", _label_reader(Label)),
        labels_accepted=_each(settings, "labels.accepted", _label_reader(AcceptedLabel)),
        outcomes=[record for record in _each(settings, "outcomes", _outcome) if record.role == "champion"],
        unmatched=_each(settings, "labels.unmatched", _unmatched),
        dead=_each(settings, "dead-letters", partial(_dead, settings.topic_prefix)),
        duplicates=Counter(_each(settings, "frames.repeated", _camera_of_repeat)),
        ids=_ids(settings),
        until_ms=until_ms,
    )


def _each(settings: Settings, name: str, make: Callable[[Any], T]) -> list[T]:
    return [make(message) for message in read_to_end(settings, name, quiet_s=QUIET_S)]


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


def _camera_of_repeat(message: Any) -> str:
    return str(head_reader(RepeatedFrame, "camera").read(message.value())["camera"])


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
