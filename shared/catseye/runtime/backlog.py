"""What waits for a process: how many records of each topic, and since when the oldest does.

Law: a marker of a transaction is no record, so at rest nothing waits. Offsets do not tell the two apart; what lies
between a place and the end is read, up to `RECORDS_MOST` records or `BYTES_MOST` bytes a partition. What is behind that
is taken to have the same share of markers: exact for a short backlog, an estimate for a long one.

A thread and a client of its own: a worker that hangs must not seem to have nothing to do.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from catseye import clock
from catseye.contract.errors import Unavailable
from catseye.contract.records import Backlog
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, offsets_at, partition_bounds, reader_config
from catseye.kafka.reading import ENDS_SHOWN, partitions_of, read_to
from catseye.settings import Settings

EVERY_S: Final = 5.0
RECORDS_MOST: Final = 1_000
BYTES_MOST: Final = 2**20
_ANSWER_S: Final = 5.0

Part = tuple[str, int]
"""Full name of a topic, and partition."""
Places = Callable[[], Mapping[Part, int]]
"""Where a process goes on, of each partition that it has; asked from another thread."""


class BacklogWatch:
    """Looks every few seconds.

    Args:
        settings: Where the brokers are.
        places: Of the process.
        report: Gets what waits, by topic; None when that cannot be known.
        now_ms: Unix milliseconds; the age of a record is told by it and by the time that the record carries.
    """

    def __init__(
        self,
        settings: Settings,
        places: Places,
        report: Callable[[list[Backlog] | None], None],
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._prefix = settings.topic_prefix
        self._places = places
        self._report = report
        self._now_ms = now_ms
        config = reader_config(settings, f"{self._prefix}backlog") | ENDS_SHOWN | SILENT
        # What is looked at is little; what is fetched ahead of it would be thrown away.
        little = {"fetch.wait.max.ms": 20, "queued.min.messages": 1_000, "queued.max.messages.kbytes": 1_024}
        self._config = config | little | {"fetch.message.max.bytes": 262_144}
        self._consumer: Any = None

    def start(self) -> None:
        """Look from now on, until the process ends."""
        Thread(target=self._run, name="backlog", daemon=True).start()

    def measure(self) -> list[Backlog]:
        """What waits now. Raises `KafkaException` or `Unavailable` when the broker does not answer."""
        if self._consumer is None:
            self._consumer = Consumer(self._config)
        places = dict(self._places())
        waiting = Counter({topic.removeprefix(self._prefix): 0 for topic, _ in places})
        oldest: dict[str, int] = {}
        for part, (place, end) in self._open(places).items():
            records, since_ms = self._counted(part, place, end)
            topic = part[0].removeprefix(self._prefix)
            waiting[topic] += records
            if records:
                oldest[topic] = min(since_ms, oldest.get(topic, since_ms))
        now_ms = self._now_ms()
        return [
            Backlog(topic=topic, records=records, oldest_ms=max(0, now_ms - oldest.get(topic, now_ms)))
            for topic, records in sorted(waiting.items())
        ]

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _run(self) -> None:
        while True:
            try:
                self._report(self.measure())
            except (KafkaException, Unavailable):  # the process itself says that the broker is away
                self._report(None)
            time.sleep(EVERY_S)

    def _open(self, places: Mapping[Part, int]) -> dict[Part, tuple[int, int]]:
        """Places before the end of what is committed, with that end."""
        if not places:
            return {}
        asked = [TopicPartition(*part, OFFSET_END) for part in places]
        found: dict[Part, tuple[int, int]] = {}
        for end in offsets_at(self._consumer, asked, _ANSWER_S):
            part = end.topic, end.partition
            if end.offset > places[part]:
                found[part] = places[part], end.offset
        return found

    def _counted(self, part: Part, place: int, end: int) -> tuple[int, int]:
        """Records from *place* to before *end*, and the time of the first."""
        records, size, position, first_ms = 0, 0, place, 0
        for chunk in read_to(self._consumer, {part: (place, end)}, most=RECORDS_MOST, quiet_s=_ANSWER_S):
            for message in chunk.messages:
                first_ms = first_ms or message.timestamp()[1]
                size += len(message.value() or b"")
            records += len(chunk.messages)
            position = chunk.positions.get(part, position)
            if records >= RECORDS_MOST or size >= BYTES_MOST:
                break
        self._consumer.unassign()
        left = max(end - position, 0)
        return records + round(left * records / max(position - place, 1)), first_ms


def group_places(settings: Settings, group: str, topics: Iterable[str]) -> Places:
    """What *group* has committed of *topics*, for a service whose loop is not ours.

    Args:
        settings: Where the brokers are.
        group: Its full name.
        topics: Without prefix.
    """
    parts = [
        TopicPartition(full_name(topic, settings.topic_prefix), partition)
        for topic in topics
        for partition in partitions_of(settings, topic)
    ]
    client: list[Any] = []

    def places() -> dict[Part, int]:
        if not client:
            client.append(Consumer(reader_config(settings, group) | SILENT))
        found = client[0].committed(parts, timeout=_ANSWER_S)
        if error := next((place.error for place in found if place.error), None):
            raise KafkaException(error)
        return {
            (place.topic, place.partition): place.offset
            if place.offset >= 0
            else partition_bounds(client[0], TopicPartition(place.topic, place.partition))[0]
            for place in found
        }

    return places
