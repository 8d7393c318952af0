"""What the checker compares: the ledger of what a publisher had acknowledged, and the topics as they lie."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

FrameKey = tuple[str, str, int]
"""Camera, boot, sequence."""
LabelKey = tuple[FrameKey, str | None, int]
"""Frame, label, labelled_at_ms."""
Place = tuple[str, int, int]
"""Topic without prefix, partition, offset."""

LABEL_TOPICS = ("labels", "labels.accepted")


class Sent(NamedTuple):
    """A frame that the broker acknowledged.

    Attributes:
        label: Its true class.
        intended_at_ms: When it was due, of the first copy.
        published_at_ms: When the publisher handed it over, of the first copy.
        corrupt: Whether its bytes were spoilt on purpose.
    """

    label: str | None
    intended_at_ms: float
    published_at_ms: float
    corrupt: bool


@dataclass
class Ledger:
    """What a publisher had acknowledged.

    Attributes:
        frames: One entry a frame, however many copies of it were sent.
        copies: Acknowledged copies of each frame, 1 or more.
        labels: Acknowledged copies of each label.
        ended: Whether the publisher said that it was done.
    """

    frames: dict[FrameKey, Sent] = field(default_factory=dict)
    copies: Counter[FrameKey] = field(default_factory=Counter)
    labels: Counter[LabelKey] = field(default_factory=Counter)
    ended: bool = False

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Read a simulator's ledger; an unfinished last line is left out."""
        with path.open("rb") as lines:
            return cls.of(msgspec.json.decode(line) for line in lines if line.endswith(b"\n"))

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> "Ledger":
        """Collect ledger entries, in the order in which they were written."""
        ledger = cls()
        for entry in entries:
            match entry["kind"]:
                case "frame":
                    frame = (entry["camera"], entry["boot"], entry["sequence"])
                    ledger.copies[frame] += 1
                    sent = Sent(
                        entry["label"], entry["intended_at_ms"], entry["published_at_ms"], bool(entry["corrupt"])
                    )
                    before = ledger.frames.get(frame)
                    if before is None or sent.intended_at_ms < before.intended_at_ms:
                        ledger.frames[frame] = sent
                case "label":
                    frame = (entry["camera"], entry["boot"], entry["sequence"])
                    ledger.labels[frame, entry["label"], entry["labelled_at_ms"]] += 1
                case "end":
                    ledger.ended = True
        return ledger


class FrameAt(NamedTuple):
    """A frame on frames or frames.accepted; *frame* is None where the bytes are no frame."""

    partition: int
    offset: int
    frame: FrameKey | None
    at_ms: int = 0


class LabelAt(NamedTuple):
    """A label on labels or labels.accepted; *label* is None where the bytes are no label."""

    partition: int
    offset: int
    label: LabelKey | None
    at_ms: int = 0


class PredictionAt(NamedTuple):
    """A prediction; the checker gets those of the role champion."""

    partition: int
    offset: int
    frame: FrameKey
    prediction_id: str
    version: str
    role: str
    frame_partition: int
    frame_offset: int
    label: str
    at_ms: int = 0


class OutcomeAt(NamedTuple):
    """An outcome; the checker gets those of the role champion."""

    partition: int
    offset: int
    label: LabelKey
    prediction_id: str
    role: str
    predicted: str
    change: str
    at_ms: int = 0


class UnmatchedAt(NamedTuple):
    """A label that made no outcome."""

    partition: int
    offset: int
    label: LabelKey
    reason: str
    at_ms: int = 0


class DeadAt(NamedTuple):
    """A dead letter; *frame* or *label* where its bytes can be read as such."""

    dead_letter_id: str
    service: str
    reason: str
    source: Place
    frame: FrameKey | None
    label: LabelKey | None


@dataclass
class Log:
    """What lies on the topics, in order within each partition; *at_ms* of a record is the broker's clock.

    Attributes:
        duplicates: Frames that ingest dropped, by camera, as frames.repeated has them.
        views: On views: accepted, and not to be predicted.
        ids: Ids that may stand once only, by what they are of.
        until_ms: The broker's clock when the topics were read to their ends, or a little before; 0 where it is unknown.
    """

    frames: Sequence[FrameAt] = ()
    accepted: Sequence[FrameAt] = ()
    views: Sequence[FrameAt] = ()
    predictions: Sequence[PredictionAt] = ()
    labels: Sequence[LabelAt] = ()
    labels_accepted: Sequence[LabelAt] = ()
    outcomes: Sequence[OutcomeAt] = ()
    unmatched: Sequence[UnmatchedAt] = ()
    dead: Sequence[DeadAt] = ()
    duplicates: Mapping[str, int] = field(default_factory=dict)
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    until_ms: int = 0
