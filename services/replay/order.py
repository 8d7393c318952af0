"""What stands on the topics, in the order in which it really came. Pure.

A frame and what was predicted of it come when ingest took the frame, a label when ingest took the label, a refused
record when it was refused. Each partition of a topic is nearly in that order as it stands; where a clock went back, or
a label waited for its prediction, the moment of the record before holds, so that no partition goes back in time.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from typing import Any, Final, Literal, NamedTuple

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.message import Message
from catseye.contract.records import AcceptedFrame, DeadLetter, Outcome, Prediction
from services.replay.span import Span

Kind = Literal["frame", "prediction", "outcome", "refused"]
KINDS: Final[Mapping[str, Kind]] = {
    "frames.accepted": "frame",
    "predictions": "prediction",
    "outcomes": "outcome",
    "dead-letters": "refused",
}
"""Topic, without prefix, to what stands on it; of one moment they come in this order."""
_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS.values())}
HELD_MS: Final = 3_600_000
"""So much later than the span's end a record may still stand before one of the span: labels wait for predictions."""
Place = tuple[int, int]
"""Partition and offset of a frame in frames.accepted."""


class Arrival(NamedTuple):
    """One record, when it came.

    Attributes:
        at_ms: When, Unix milliseconds.
        kind: What it is.
        camera: Of which camera; empty where nobody knows.
        place: Of the frame that it is about; of a refused record its own partition and offset.
        received_at_ms: When ingest took that frame.
        message: As it stands on its topic.
        predicted: Class that was predicted then; of a prediction only.
        version: Model and version that predicted; of a prediction only.
        outcome: Of an outcome only.
    """

    at_ms: int
    kind: Kind
    camera: str
    place: Place
    received_at_ms: int
    message: Message
    predicted: str = ""
    version: str = ""
    outcome: Outcome | None = None


class Arrivals:
    """Reads messages of one span; those that are not of it, or not of the cameras that are wanted, are left out.

    Args:
        codec: Reads records.
        span: From when to when.
        cameras: Their names; empty for all.
    """

    def __init__(self, codec: Codec, span: Span, cameras: frozenset[str] = frozenset()) -> None:
        self._codec = codec
        self._from_ms = 0 if span.from_ms is None else span.from_ms
        self._to_ms = 2**62 if span.to_ms is None else span.to_ms
        self._cameras = cameras
        self.unreadable = 0
        """Records that could not be read so far."""

    def of(self, kind: Kind, messages: Iterable[Message]) -> Iterator[Arrival]:
        """Arrivals of one partition, never going back in time; ends as soon as no further one can be of the span."""
        reached_ms = 0
        for message in messages:
            try:
                arrival = self._read(kind, message)
            except BadRecord:
                self.unreadable += 1
                continue
            if arrival.at_ms > self._to_ms + HELD_MS:
                return
            if (
                self._from_ms <= arrival.received_at_ms <= self._to_ms
                and arrival.at_ms <= self._to_ms
                and (not self._cameras or arrival.camera in self._cameras)
            ):
                reached_ms = max(reached_ms, arrival.at_ms)
                yield arrival._replace(at_ms=reached_ms)

    def _read(self, kind: Kind, message: Message) -> Arrival:
        """Raises `BadRecord`."""
        value = message.value()
        if kind == "frame":
            frame = self._codec.leading_fields(value, AcceptedFrame, "received_at_ms")
            at_ms: int = frame["received_at_ms"]
            return Arrival(at_ms, kind, frame["camera"], (message.partition(), message.offset()), at_ms, message)
        if kind == "prediction":
            fields: Mapping[str, Any] = self._codec.leading_fields(value, Prediction, "label")
            place, at_ms = (fields["frame_partition"], fields["frame_offset"]), fields["received_at_ms"]
            version = f"{fields['model']} {fields['version']}"
            return Arrival(at_ms, kind, fields["camera"], place, at_ms, message, fields["label"], version)
        if kind == "outcome":
            outcome = self._codec.decode(value, Outcome)
            place = (outcome.frame_partition, outcome.frame_offset)
            at_ms, received_at_ms = outcome.label_received_at_ms, outcome.received_at_ms
            return Arrival(at_ms, kind, outcome.camera, place, received_at_ms, message, outcome=outcome)
        letter = self._codec.leading_fields(value, DeadLetter, "camera")
        at_ms = letter["refused_at_ms"]
        own = (message.partition(), message.offset())
        return Arrival(at_ms, kind, letter["camera"] or "", own, at_ms, message)


def in_order(streams: Iterable[Iterator[Arrival]]) -> Iterator[Arrival]:
    """All arrivals by time; of one moment frames first, then predictions, outcomes, refused records."""
    return merge(*streams, key=lambda arrival: (arrival.at_ms, _RANK[arrival.kind]))
