"""What a training rested on, as the artifact store keeps it: JSON under its own sha256. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

TRAIN = "train"
PARTS = (TRAIN, "validation", "window", "left_out")
"""What the numbers in `Manifest.parts` stand for."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a dataset snapshot. Every field may be absent: a trainer of one's own writes what it knows.

    Attributes:
        decision_id: The decision that asked for it.
        model: Name of the model.
        base_version: Version that it goes on from.
        causes: Alerts and requests behind the decision.
        changed_since_ms: Changed camera to the time of its change, Unix milliseconds.
        cut_off_ms: Labels that the broker had written until then count, Unix milliseconds.
        outcomes_topic: Full name.
        outcomes_ranges: Partition to first offset and the one behind the last.
        frames_topic: Full name.
        frames_ranges: Partition to first offset and the one behind the last that are used.
        outcomes_read: How many outcomes lie in the ranges.
        labelled: How many frames had a label that holds.
        unknown_labels: Frames by label that the model has no class for; none of them is used.
        gone: Frames that the archive held no more, or that could not be decoded.
        classes: The model's.
        by_part: Part to number of frames.
        by_class: Class to number of frames, by part.
        by_camera: Camera to number of frames, by part.
        sources: Source of labels to number of frames.
        propensities: Propensity, as text of two digits, to number of frames.
        examples_sha256: Hash of the example crops that are replayed, if any.
        golden_sha256: Hash of the golden set, if any.
        partitions: Partition of each frame, in the order of the rows.
        offsets: Its offset in frames_topic.
        labels: Place of its label among the classes.
        parts: Place of its part among `PARTS`.
    """

    decision_id: str = ""
    model: str = ""
    base_version: str = ""
    causes: list[str] = []
    changed_since_ms: dict[str, int] = {}
    cut_off_ms: int | None = None
    outcomes_topic: str = ""
    outcomes_ranges: dict[str, tuple[int, int]] = {}
    frames_topic: str = ""
    frames_ranges: dict[str, tuple[int, int]] = {}
    outcomes_read: int | None = None
    labelled: int | None = None
    unknown_labels: dict[str, int] = {}
    gone: int | None = None
    classes: list[str] = []
    by_part: dict[str, int] = {}
    by_class: dict[str, dict[str, int]] = {}
    by_camera: dict[str, dict[str, int]] = {}
    sources: dict[str, int] = {}
    propensities: dict[str, int] = {}
    examples_sha256: str | None = None
    golden_sha256: str | None = None
    partitions: list[int] = []
    offsets: list[int] = []
    labels: list[int] = []
    parts: list[int] = []


class TrainingFrame(msgspec.Struct, frozen=True):
    """Where a frame lies that a model was trained on.

    Attributes:
        partition: Partition.
        offset: Offset.
        label: The class that it was taken for; empty when the manifest has none.
    """

    partition: int
    offset: int
    label: str


def manifest_in(content: bytes) -> Manifest:
    """Read a manifest. Raises ValueError, in one sentence, when *content* is something else."""
    try:
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as fault:
        raise ValueError(f"it is no dataset manifest: {fault}") from fault


def training_frames(manifest: Manifest) -> Iterator[TrainingFrame]:
    """The frames that were trained on, by partition and offset; validation and held-out ones are not among them."""
    if len({len(manifest.partitions), len(manifest.offsets), len(manifest.labels), len(manifest.parts)}) != 1:
        raise ValueError("it is no dataset manifest: its rows differ in length")
    for row in zip(manifest.partitions, manifest.offsets, manifest.labels, manifest.parts, strict=True):
        partition, offset, label, part = row
        if part == PARTS.index(TRAIN):
            known = 0 <= label < len(manifest.classes)
            yield TrainingFrame(partition, offset, manifest.classes[label] if known else "")


def a_kept_frame(manifest: Manifest, firsts: Mapping[int, int]) -> TrainingFrame | None:
    """The first training frame that the archive still holds.

    Args:
        manifest: Names the frames.
        firsts: Partition to the first offset that the log still has.

    Returns:
        None when all are gone, or there is none.
    """
    kept = (
        frame
        for frame in training_frames(manifest)
        if frame.partition in firsts and frame.offset >= firsts[frame.partition]
    )
    return next(kept, None)
