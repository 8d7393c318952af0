"""What speaks against a label: no prediction of its frame is kept, or the model that saw it has no such class."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.identity import partition_of
from catseye.contract.records import Prediction
from catseye.contract.topics import full_name
from catseye.kafka.registry import codec_for
from catseye.ops.classes import unknown_classes
from catseye.ops.lineage.log_reader import LogReader

if TYPE_CHECKING:
    from catseye.client import FrameId
    from catseye.settings import Settings

_TOPIC = "predictions"
_WINDOW = 20_000  # offsets of one look, from the end back
_MOST_S = 5.0  # a label is a small thing: what lies further back is not looked for


class Seen(NamedTuple):
    """What the predictions of a camera's partition say.

    Attributes:
        prediction: Of the frame; None where there is none.
        newest: The newest of the partition, of whatever camera; None where it is empty.
        all_read: Whether all that is kept was looked through, or the frame was found.
    """

    prediction: Prediction | None
    newest: Prediction | None
    all_read: bool


def doubts_of(settings: Settings, frame: FrameId, class_: str | None) -> Iterator[str]:
    """Sentences that a person should read before *frame* is labelled *class_*; None withdraws a label.

    Raises:
        Unavailable: the broker does not answer.
        Misconfigured: there is no topic of predictions.
    """
    with LogReader(settings, codec_for(settings)) as log:
        seen = _seen(log, settings, frame)
    if seen.prediction is None and seen.all_read:
        yield (
            f"no prediction of {frame} is kept, so it has no such frame yet, or no more; a label waits an hour for its "
            "frame. `catseye watch predictions` shows frames"
        )
    knows = seen.prediction or seen.newest
    if class_ is not None and knows is not None:
        unknown = unknown_classes([class_], sorted(knows.probabilities))
        if unknown:
            yield f"{knows.model} {knows.version} {unknown}"


def unknown_to_the_model(settings: Settings, frame: FrameId, classes: Iterable[str]) -> str:
    """A sentence on those of *classes* that the model does not know which saw *frame*, or its camera's newest; empty
    where it knows them all, or nothing was predicted. Raises as `doubts_of`.
    """
    with LogReader(settings, codec_for(settings)) as log:
        seen = _seen(log, settings, frame)
    knows = seen.prediction or seen.newest
    unknown = unknown_classes(sorted(classes), sorted(knows.probabilities)) if knows is not None else ""
    return f"{knows.model} {knows.version} {unknown}" if knows is not None and unknown else ""


def _seen(log: LogReader, settings: Settings, frame: FrameId) -> Seen:
    topic, until_s = full_name(_TOPIC, settings.topic_prefix), time.monotonic() + _MOST_S
    bounds = log.bounds([_TOPIC])
    part = topic, partition_of(frame.camera, len(bounds))
    first, end = bounds[part]
    # Names stand in a record as they are: those without them need not be decoded.
    names = frame.camera.encode(), frame.boot.encode()
    newest: Prediction | None = None
    while end > first and time.monotonic() < until_s:
        start = max(first, end - _WINDOW)
        last: bytes | None = None
        for messages, _ in log.read({part: (start, end)}):
            for message in messages:
                value: bytes | None = message.value()
                last = value or last
                if value is not None and all(name in value for name in names):
                    found = _decoded(log, value)
                    if found is not None and (found.camera, found.boot, found.sequence) == tuple(frame):
                        return Seen(found, found, all_read=True)
        newest = newest or (None if last is None else _decoded(log, last))
        end = start
    return Seen(None, newest, all_read=end <= first)


def _decoded(log: LogReader, value: bytes) -> Prediction | None:
    try:
        return log.decode(value, Prediction)
    except (BadRecord, Unavailable):
        return None
