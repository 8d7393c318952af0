"""Observes how far the services on a road have worked: what their groups committed, against the ends of what they read.

It asks the broker about once a second, on a thread of its own, and writes nothing. While the broker does not answer
there is nothing new.

Consumers ask, one a group, and none of them joins: the same questions by an AdminClient (librdkafka 2.16) ended the
whole process with a failed assertion when the broker died and came back.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import offsets_at, reader_config
from catseye.runtime.progress import Hop, Observation, Offsets, Part, Progress, Tracker, observed, road_to_observe
from catseye.settings import Settings

EVERY_S: Final = 1.0
ANSWER_S: Final = 5.0
"""How long the broker may take for one answer."""


class Observer:
    """Follows roads; what is new is taken by `news`.

    Args:
        settings: Where the brokers are.
        roads: Each the hops of one.
        clock: Unix milliseconds.
        client_log: Its `log` gets librdkafka's own lines.
    """

    def __init__(
        self,
        settings: Settings,
        roads: Sequence[Sequence[Hop]],
        *,
        clock: Callable[[], int],
        client_log: object | None = None,
    ) -> None:
        self._prefix = settings.topic_prefix
        self._counts: dict[str, int] = {}
        self._cameras = 0
        self._clock = clock
        self._roads = roads
        self._road = road_to_observe(roads)
        self._trackers: list[Tracker] = []
        self._settings = settings
        self._logged: dict[str, Any] = {"logger": client_log} if client_log else {}
        self._clients: dict[tuple[str, str], Consumer] = {}
        self._lock = Lock()
        self._news: list[Progress] | None = None

    def start(self) -> None:
        """Observe from now on, until the process ends; nothing where there is no road."""
        if self._roads:
            Thread(target=self._run, name="observer", daemon=True).start()

    def news(self) -> list[Progress] | None:
        """The newest progress of each road, once; None when it was taken already."""
        with self._lock:
            news, self._news = self._news, None
            return news

    def observe(self) -> Observation:
        """Ask once. Raises KafkaException when the broker does not answer."""
        self._counts = self._partitions_there()
        if not self._trackers:
            self._trackers = [Tracker(road, self._road, self._cameras) for road in self._roads]
        seen = observed(self._road, self._committed_of, self._ends_of, self._clock)
        news = [tracker.observe(seen) for tracker in self._trackers]
        with self._lock:
            self._news = news
        return seen

    def _run(self) -> None:
        while True:
            for client in self._clients.values():
                client.poll(0)  # serves its log lines, no more: it is no member of any group
            with suppress(KafkaException):  # nothing is known meanwhile; the worker says that the broker is away
                self.observe()
            time.sleep(EVERY_S)

    def _committed_of(self, hop: Hop) -> Offsets:
        asked = [TopicPartition(*part) for part in self._parts(hop)]
        places = self._client(self._prefix + hop.service).committed(asked, timeout=ANSWER_S)
        return {part: offset for part, offset in self._offsets(places).items() if offset >= 0}

    def _ends_of(self, hop: Hop) -> Offsets:
        shown = "read_committed" if BY_NAME[hop.topics[0]].public else "read_uncommitted"
        asked = [TopicPartition(*part, OFFSET_END) for part in self._parts(hop)]
        return self._offsets(offsets_at(self._client(isolation=shown), asked, ANSWER_S))

    def _offsets(self, places: Sequence[TopicPartition]) -> Offsets:
        found: dict[Part, int] = {}
        for place in places:
            if place.error:
                raise KafkaException(place.error)
            found[place.topic.removeprefix(self._prefix), place.partition] = place.offset
        return found

    def _client(self, group: str = "observer", isolation: str = "read_committed") -> Consumer:
        """Made when it is first needed: most services ask about no road."""
        if (group, isolation) not in self._clients:
            config = reader_config(self._settings, group) | self._logged | {"isolation.level": isolation}
            self._clients[group, isolation] = Consumer(config)
        return self._clients[group, isolation]

    def _partitions_there(self) -> dict[str, int]:
        """Partitions of the road's topics, which may grow; also where the service itself has one.

        Inner ones have the same number; where somebody gave one more, the others' are looked at: nothing of ours
        lies beyond.
        """
        there = self._client().list_topics(timeout=ANSWER_S).topics
        counts: dict[str, int] = {}
        for topic in {topic for hop in self._road for topic in hop.topics}:
            found = there.get(full_name(topic, self._prefix))
            if found is None or found.error:
                raise KafkaException(found.error if found else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            counts[topic] = len(found.partitions)
        self._cameras = min(count for topic, count in counts.items() if not BY_NAME[topic].public)
        return {topic: count if BY_NAME[topic].public else self._cameras for topic, count in counts.items()}

    def _parts(self, hop: Hop) -> list[Part]:
        """Full names of what a hop reads."""
        return [
            (full_name(topic, self._prefix), partition)
            for topic in hop.topics
            for partition in range(self._counts[topic])
        ]
