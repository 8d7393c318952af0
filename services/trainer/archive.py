"""Reads what a training rests on: outcomes up to a cut-off, the newest record of each alert, frames by their offsets.

Partitions are assigned and offsets given: no group, no commits, so that reading the archive disturbs nobody and can be
done again. Committed records only; an end is a position, since markers of transactions leave holes between offsets.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.records import AcceptedFrame, Alert, ModelEvent, Outcome
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, log_bounds, offsets_at, reader_config
from catseye.kafka.reading import ENDS_SHOWN, partitions_of, read_to
from catseye.settings import Settings
from services.trainer.dataset import Labelled, Labels, runs

CHUNK = 2_000
SEEK_GAP = 200
"""Offsets: below, reading on costs less than the round trip of a seek (6 KB frames from a local broker)."""

Ranges = dict[int, tuple[int, int]]


class Taken(NamedTuple):
    """A labelled frame and its picture.

    Attributes:
        frame: Frame and label.
        jpeg: The picture, byte for byte as it came.
        perceptual_hash: As ingest measured it.
    """

    frame: Labelled
    jpeg: bytes
    perceptual_hash: int


class Archive:
    """The topics of one fleet.

    Args:
        settings: How to reach the broker.
        codec: Reads records.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec

    def labels_until(self, cut_off_ms: int, *, most: int) -> tuple[Labels, Ranges]:
        """Outcomes that the broker had written by *cut_off_ms*, the newest ones of each partition, *most* in all.

        Raises:
            Unavailable: the broker does not answer.
        """
        topic = full_name("outcomes", self._settings.topic_prefix)
        bounds = self._bounds("outcomes")
        ends = self._ends_by_time(topic, bounds, cut_off_ms)
        share = max(1, most // len(bounds))
        ranges = {partition: (max(first, ends[partition] - share), ends[partition]) for partition, (first, _) in bounds}
        labels = Labels()
        for message in self._read(topic, {partition: [own] for partition, own in ranges.items()}):
            try:
                labels.on_outcome(self._codec.decode(message.value(), Outcome))
            except BadRecord:
                continue  # only ground truth writes here; one label fewer
        return labels, ranges

    def alerts(self) -> dict[str, Alert]:
        """Newest record of each alert, by id. Raises `Unavailable`."""
        found: dict[str, Alert] = {}
        stretches = {partition: [bounds] for partition, bounds in self._bounds("alerts")}
        for message in self._read(full_name("alerts", self._settings.topic_prefix), stretches):
            try:
                alert = self._codec.decode(message.value(), Alert)
            except BadRecord:
                continue
            if alert.alert_id not in found or alert.revision >= found[alert.alert_id].revision:
                found[alert.alert_id] = alert
        return found

    def model_events(self) -> Iterator[ModelEvent]:
        """Every event on `models`, in order. Raises `Unavailable`."""
        stretches = {partition: [bounds] for partition, bounds in self._bounds("models")}
        for message in self._read(full_name("models", self._settings.topic_prefix), stretches):
            try:
                yield self._codec.decode(message.value(), ModelEvent)
            except BadRecord:
                continue  # people write here too; what cannot be read names no champion and answers nothing

    def frames(self, wanted: Sequence[Labelled]) -> list[Taken]:
        """The pictures of *wanted*, by time; what the archive holds no more is absent.

        Raises:
            Unavailable: the broker does not answer.
        """
        topic = full_name("frames.accepted", self._settings.topic_prefix)
        firsts = {partition: first for partition, (first, _) in self._bounds("frames.accepted")}
        by_place = {(frame.partition, frame.offset): frame for frame in wanted}
        offsets: dict[int, list[int]] = defaultdict(list)
        for partition, offset in by_place:
            if offset >= firsts.get(partition, offset + 1):
                offsets[partition].append(offset)
        stretches = {
            partition: [(first, last + 1) for first, last in runs(own, gap=SEEK_GAP)]
            for partition, own in offsets.items()
        }
        taken: list[Taken] = []
        for message in self._read(topic, stretches):
            frame = by_place.get((message.partition(), message.offset()))
            if frame is None:
                continue
            try:
                accepted = self._codec.decode(message.value(), AcceptedFrame)
            except BadRecord:
                continue  # as good as gone, and counted so
            taken.append(Taken(frame, accepted.jpeg, accepted.perceptual_hash))
        return sorted(taken, key=lambda one: (one.frame.received_at_ms, one.frame.name))

    def _bounds(self, name: str) -> list[tuple[int, tuple[int, int]]]:
        topic = full_name(name, self._settings.topic_prefix)
        return sorted(log_bounds(self._settings, topic, partitions_of(self._settings, name)).items())

    def _ends_by_time(
        self, topic: str, bounds: Sequence[tuple[int, tuple[int, int]]], cut_off_ms: int
    ) -> dict[int, int]:
        """The first offset of each partition that was written after *cut_off_ms*."""
        reader = self._reader(topic)
        try:
            asked = [TopicPartition(topic, partition, cut_off_ms + 1) for partition, _ in bounds]
            places = offsets_at(reader, asked, 10)
        except KafkaException as fault:
            raise Unavailable(f"{topic} cannot be read: {fault}") from fault
        finally:
            reader.close()
        found = {place.partition: place.offset for place in places}
        # Negative where nothing was written since: then the end is the end.
        return {partition: found[partition] if found[partition] >= 0 else end for partition, (_, end) in bounds}

    def _read(self, topic: str, stretches: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[Any]:
        """Records of each partition from the first offset of a stretch to before its second, one after another."""
        reader = self._reader(topic)
        try:
            for turn in zip_longest(*stretches.values(), fillvalue=(0, 0)):
                wanted = {(topic, partition): own for partition, own in zip(stretches, turn, strict=True)}
                for chunk in read_to(reader, wanted, most=CHUNK):
                    yield from chunk.messages
        finally:
            reader.close()

    def _reader(self, topic: str) -> Consumer:
        return Consumer(
            reader_config(self._settings, f"{topic}.snapshot")
            | ENDS_SHOWN
            | SILENT
            | {"fetch.wait.max.ms": 50, "queued.max.messages.kbytes": 8_192}
        )
