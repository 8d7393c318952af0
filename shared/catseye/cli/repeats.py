"""Which cameras' frames and labels came again, as their topics have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from catseye.contract.records import RepeatedFrame, UnmatchedLabel

if TYPE_CHECKING:
    from catseye.settings import Settings

_NAMED: Final = 3
NEWEST: Final = 1_000
"""Records of each partition that are enough to see who repeats now."""


def newest_repeats(settings: Settings) -> list[RepeatedFrame]:
    """The newest records of each partition: a fleet that repeats everything has millions. Raises `Unavailable`."""
    from confluent_kafka import Consumer  # noqa: PLC0415 - `--help` comes at once

    from catseye.contract.topics import full_name  # noqa: PLC0415
    from catseye.kafka.clients import SILENT, log_bounds, reader_config  # noqa: PLC0415
    from catseye.kafka.reading import ENDS_SHOWN, partitions_of, read_to  # noqa: PLC0415
    from catseye.kafka.registry import codec_for  # noqa: PLC0415

    topic, codec = full_name("frames.repeated", settings.topic_prefix), codec_for(settings)
    bounds = log_bounds(settings, topic, partitions_of(settings, "frames.repeated"))
    wanted = {(topic, partition): (max(first, end - NEWEST), end) for partition, (first, end) in bounds.items()}
    reader = Consumer(reader_config(settings, f"{topic}.newest") | ENDS_SHOWN | SILENT)
    try:
        return [
            codec.decode(message.value(), RepeatedFrame)
            for chunk in read_to(reader, wanted)
            for message in chunk.messages
        ]
    finally:
        reader.close()


def frames_repeated(records: Iterable[RepeatedFrame]) -> dict[str, int]:
    """Frames of each camera that were dropped so far, also those whose records are gone: the newest one counts."""
    return {record.camera: record.repeats for record in records}


def labels_repeated(records: Iterable[UnmatchedLabel]) -> Counter[str]:
    """Labels of each camera that said what was known already, as far back as their records are kept."""
    return Counter(record.camera for record in records if record.reason == "repeated")


def sentence(counts: Mapping[str, int]) -> str:
    """What came again, in words: the cameras with the most first; empty when nothing did."""
    if not counts:
        return ""
    most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    named = ", ".join(f"{count} of {camera}" for camera, count in most[:_NAMED])
    more = f" and {sum(count for _, count in most[_NAMED:])} of others" if len(most) > _NAMED else ""
    return f"frames that came again and were dropped: {named}{more}"
