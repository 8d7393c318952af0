"""Observes how far the services on a road have worked: what their groups committed, against the ends of what they read.

It asks the broker about once a second, on a thread of its own, and writes nothing. While the broker does not answer
there is nothing new.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock, Thread
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import client_config
from catseye.runtime.progress import Hop, Observation, Offsets, Part, Progress, Tracker, observed, road_to_observe
from catseye.settings import Settings

EVERY_S: Final = 1.0
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
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
        self._partitions = 0
        self._clock = clock
        self._roads = roads
        self._road = road_to_observe(roads)
        self._trackers: list[Tracker] = []
        logged: dict[str, Any] = {"logger": client_log} if client_log else {}
        self._config = client_config(settings) | logged
        self._lock = Lock()
        self._news: list[Progress] | None = None

    @cached_property
    def _client(self) -> AdminClient:
        """Made when it is first needed: most services ask about no road."""
        return AdminClient(self._config)

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
        if not self._trackers:
            self._partitions = self._partitions_there()
            self._trackers = [Tracker(road, self._road, self._partitions) for road in self._roads]
        seen = observed(self._road, self._committed_of, self._ends_of, self._clock)
        news = [tracker.observe(seen) for tracker in self._trackers]
        with self._lock:
            self._news = news
        return seen

    def _run(self) -> None:
        while True:
            self._client.poll(0)
            with suppress(KafkaException):  # nothing is known meanwhile; the worker says that the broker is away
                self.observe()
            time.sleep(EVERY_S)

    def _committed_of(self, hop: Hop) -> Offsets:
        asked = ConsumerGroupTopicPartitions(
            self._prefix + hop.service, [TopicPartition(*part) for part in self._parts(hop)]
        )
        (answer,) = self._client.list_consumer_group_offsets([asked], request_timeout=ANSWER_S).values()
        found: dict[Part, int] = {}
        for place in answer.result().topic_partitions:
            if place.error:
                raise KafkaException(place.error)
            if place.offset >= 0:
                found[place.topic.removeprefix(self._prefix), place.partition] = place.offset
        return found

    def _ends_of(self, hop: Hop) -> Offsets:
        shown = IsolationLevel.READ_COMMITTED if BY_NAME[hop.topics[0]].public else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(*part): _LATEST for part in self._parts(hop)}
        answers = self._client.list_offsets(asked, isolation_level=shown, request_timeout=ANSWER_S)
        return {
            (place.topic.removeprefix(self._prefix), place.partition): answer.result().offset
            for place, answer in answers.items()
        }

    def _partitions_there(self) -> int:
        """Partitions of the road's topics: they all have the same number, also where the service itself has one."""
        name = full_name(self._road[0].topics[0], self._prefix)
        found = self._client.list_topics(name, timeout=ANSWER_S).topics[name]
        if found.error:
            raise KafkaException(found.error)
        return len(found.partitions)

    def _parts(self, hop: Hop) -> list[Part]:
        """Full names of what a hop reads."""
        return [
            (full_name(topic, self._prefix), partition) for topic in hop.topics for partition in range(self._partitions)
        ]
