"""Which labelled frames a training sees, and the manifest that says so.

Pure: outcomes come in in the order of their topic, choices depend on them alone. A choice that stands for a draw is
made by the hash of the frame's name, so that the same outcomes make the same data set after a crash.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, TypeVar

import msgspec

from catseye.contract.identity import digest, frame_id
from catseye.contract.records import Outcome, RetrainDecision

T = TypeVar("T")
Part = Literal["train", "validation", "window", "left_out"]
PARTS: tuple[Part, ...] = ("train", "validation", "window", "left_out")


class Labelled(msgspec.Struct, frozen=True):
    """A frame with its label and the champion's answer.

    Attributes:
        camera: Name of the camera.
        name: `catseye.contract.identity.frame_id`.
        received_at_ms: Ingest's clock when it took the frame, Unix milliseconds.
        partition: Partition of the frame in frames.accepted.
        offset: Offset of the frame there.
        label: The true class, by the newest label.
        correct: Whether the model in use then gave the same answer.
        source: Source of the label.
        propensity: Propensity of the label.
    """

    camera: str
    name: str
    received_at_ms: int
    partition: int
    offset: int
    label: str
    correct: bool
    source: str
    propensity: float


class Labels:
    """Outcomes in the order of their topic, and what holds of them at the end."""

    def __init__(self) -> None:
        self._frames: dict[tuple[int, int], Labelled] = {}
        self.outcomes = 0

    def on_outcome(self, outcome: Outcome) -> None:
        """Take one outcome in: a correction replaces an earlier outcome of its frame, a withdrawal takes it back."""
        self.outcomes += 1
        place = (outcome.frame_partition, outcome.frame_offset)
        if outcome.role != "champion":
            return
        if outcome.label is None:
            self._frames.pop(place, None)
            return
        self._frames[place] = Labelled(
            camera=outcome.camera,
            name=frame_id(outcome.camera, outcome.boot, outcome.sequence),
            received_at_ms=outcome.received_at_ms,
            partition=outcome.frame_partition,
            offset=outcome.frame_offset,
            label=outcome.label,
            correct=outcome.label == outcome.predicted,
            source=outcome.source,
            propensity=outcome.propensity,
        )

    def frames(self) -> list[Labelled]:
        """Frames with a label that holds, by time."""
        return sorted(self._frames.values(), key=lambda frame: (frame.received_at_ms, frame.name))


def fallen_cameras(frames: Sequence[Labelled], *, recent_share: float = 0.2, fall: float = 0.1) -> dict[str, int]:
    """Cameras whose accuracy fell, to the time from which on: what has changed where no alert says so.

    Args:
        frames: By time.
        recent_share: Share of a camera's frames, the last ones, that is compared with those before.
        fall: Accuracy that is lost at least, 0 to 1.
    """
    by_camera = _grouped(frames, lambda frame: frame.camera)
    since: dict[str, int] = {}
    for camera, own in by_camera.items():
        cut = len(own) - round(len(own) * recent_share)
        before, recent = own[:cut], own[cut:]
        if before and recent and _accuracy(before) - _accuracy(recent) >= fall:
            since[camera] = recent[0].received_at_ms
    return since


def is_fresh(frame: Labelled, changed: Mapping[str, int]) -> bool:
    """Whether *frame* was taken by a changed camera since its change."""
    return frame.received_at_ms >= changed.get(frame.camera, frame.received_at_ms + 1)


def choose(
    frames: Sequence[Labelled], changed: Mapping[str, int], *, most: int, fresh_share: float = 0.6
) -> list[Labelled]:
    """The frames that a training looks at: the newest of the changed cameras and a balanced sample of all others.

    Args:
        frames: By time, of classes that the model has.
        changed: Camera to the time of its change, Unix milliseconds.
        most: How many at most; bounds the memory.
        fresh_share: Share of them that may be of the changed cameras.

    Returns:
        By time.
    """
    fresh = [frame for frame in frames if is_fresh(frame, changed)]
    older = [frame for frame in frames if not is_fresh(frame, changed)]
    share = round(most * fresh_share)
    newest = fresh[len(fresh) - min(len(fresh), max(share, most - len(older))) :]
    older.sort(key=lambda frame: digest("dataset", frame.name))
    by_class = _grouped(older, lambda frame: frame.label)
    orders = [_in_turn(list(_grouped(own, lambda frame: frame.camera).values())) for _, own in sorted(by_class.items())]
    chosen = newest + _in_turn(orders)[: most - len(newest)]
    return sorted(chosen, key=lambda frame: (frame.received_at_ms, frame.name))


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a training rests on, so that it can be made again and traced. Stored as JSON under its own sha256.

    Attributes:
        decision_id: The decision that asked for it.
        model: Name of the model.
        base_version: Version that it goes on from.
        causes: Alerts and requests behind the decision.
        changed_since_ms: Changed camera to the time of its change, Unix milliseconds.
        cut_off_ms: Outcomes that the broker had written until then count, Unix milliseconds.
        outcomes_topic: Full name.
        outcomes_ranges: Partition to first offset and the one behind the last.
        frames_topic: Full name.
        frames_ranges: Partition to first offset and the one behind the last that are used.
        outcomes_read: How many outcomes lie in the ranges.
        labelled: How many frames had a label that holds.
        unknown_labels: Frames by label that the model has no class for; none of them is used.
        gone: Frames that the archive holds no more, or that cannot be decoded.
        classes: The model's.
        by_part: Part to number of frames.
        by_class: Class to number of frames, by part.
        by_camera: Camera to number of frames, by part.
        sources: Source of labels to number of frames.
        propensities: Propensity, rounded to two digits, to number of frames.
        examples_sha256: Hash of the example crops that are replayed, if any.
        golden_sha256: Hash of the golden set, if any.
        partitions: Partition of each frame, in the order of the rows.
        offsets: Its offset in frames.accepted.
        labels: Place of its label among the classes.
        parts: Place of its part among train, validation, window, left_out.
    """

    decision_id: str
    model: str
    base_version: str
    causes: list[str]
    changed_since_ms: dict[str, int]
    cut_off_ms: int
    outcomes_topic: str
    outcomes_ranges: dict[str, tuple[int, int]]
    frames_topic: str
    frames_ranges: dict[str, tuple[int, int]]
    outcomes_read: int
    labelled: int
    unknown_labels: dict[str, int]
    gone: int
    classes: list[str]
    by_part: dict[str, int]
    by_class: dict[str, dict[str, int]]
    by_camera: dict[str, dict[str, int]]
    sources: dict[str, int]
    propensities: dict[str, int]
    examples_sha256: str | None
    golden_sha256: str | None
    partitions: list[int]
    offsets: list[int]
    labels: list[int]
    parts: list[int]


def manifest(
    decision: RetrainDecision,
    base_version: str,
    frames: Sequence[Labelled],
    parts: Sequence[Part],
    classes: Sequence[str],
    **origin: Any,
) -> Manifest:
    """Count *frames* and their *parts*; what cannot be counted is *origin*, by the names of `Manifest`."""
    rows = sorted(zip(frames, parts, strict=True), key=lambda row: (row[0].partition, row[0].offset))
    return Manifest(
        decision_id=decision.decision_id,
        model=decision.model,
        base_version=base_version,
        causes=list(decision.causes),
        frames_ranges=_ranges(frames),
        classes=list(classes),
        by_part={part: parts.count(part) for part in PARTS},
        by_class=_crossed((frame.label, part) for frame, part in rows),
        by_camera=_crossed((frame.camera, part) for frame, part in rows),
        sources=counted(frame.source for frame in frames),
        propensities=counted(f"{frame.propensity:.2f}" for frame in frames),
        partitions=[frame.partition for frame, _ in rows],
        offsets=[frame.offset for frame, _ in rows],
        labels=[classes.index(frame.label) for frame, _ in rows],
        parts=[PARTS.index(part) for _, part in rows],
        **origin,
    )


def counted(names: Iterable[str]) -> dict[str, int]:
    """How often each name occurs, by name."""
    return dict(sorted(Counter(names).items()))


def as_bytes(found: Manifest) -> bytes:
    """The manifest as it is stored: JSON with sorted keys, so that equal manifests have one hash."""
    return msgspec.json.encode(found, order="sorted")


def runs(offsets: Iterable[int], *, gap: int) -> list[tuple[int, int]]:
    """First and last offset of each stretch to read in one go: where more than *gap* offsets between two are not
    wanted, seeking is cheaper than reading on."""
    found: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if found and offset - found[-1][1] <= gap:
            found[-1] = (found[-1][0], offset)
        else:
            found.append((offset, offset))
    return found


def _ranges(frames: Sequence[Labelled]) -> dict[str, tuple[int, int]]:
    offsets: dict[int, list[int]] = defaultdict(list)
    for frame in frames:
        offsets[frame.partition].append(frame.offset)
    return {str(partition): (min(own), max(own) + 1) for partition, own in sorted(offsets.items())}


def _crossed(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, column in pairs:
        counts[row][column] += 1
    return {row: counted(columns.elements()) for row, columns in sorted(counts.items())}


def _accuracy(frames: Sequence[Labelled]) -> float:
    return sum(frame.correct for frame in frames) / len(frames)


def _grouped(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _in_turn(groups: Sequence[Sequence[T]]) -> list[T]:
    """One of each group, then another of each that has more, and so on."""
    return [item for turn in zip_longest(*groups) for item in turn if item is not None]
