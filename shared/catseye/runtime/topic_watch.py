"""Watches the topics that a process reads and writes: anybody may widen one, delete one, or make one again."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from threading import Lock, Thread
from typing import Final

from confluent_kafka import KafkaException

from catseye.contract.alert_kinds import TOPICS_MISMATCH
from catseye.contract.topics import full_name, misfits
from catseye.kafka.topics_now import TopicNow, TopicsNow, is_another
from catseye.runtime.heartbeats import Problems
from catseye.settings import Settings

EVERY_S: Final = 2.0
SHOWN_S: Final = 60.0
"""For how long a topic that was made again is reported by a process that goes on with it."""


class TopicWatch:
    """Reports topics that are missing, were made again, or do not fit together, and withdraws them when all is well.

    Args:
        service: Name of the service.
        reads: Topics that it reads, without prefix.
        names: Topics that it reads, writes, or keeps its state on, without prefix.
        settings: Common settings.
        topics: Asks for them.
        problems: Gets what is found.
        log: Gets an event name and fields for what an operator should see.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        service: str,
        reads: Collection[str],
        names: Collection[str],
        settings: Settings,
        topics: TopicsNow,
        problems: Problems,
        log: Callable[..., object],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._names = tuple(names)
        self._settings = settings
        self._topics = topics
        self._problems = problems
        self._log = log
        self._monotonic = monotonic
        self._reads = {full_name(name, settings.topic_prefix) for name in reads}
        self._state = f"{settings.topic_prefix}{service}.state"
        self._ids: dict[str, str] = {}
        self._lock = Lock()
        self._again: dict[str, float] = {}  # topics that were made again, and until when that is shown
        self._found: dict[str, str] = {}

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        Thread(target=self._run, name="topics", daemon=True).start()

    def made_anew(self, topic: str) -> None:
        """A topic that is read was deleted and made again, while this process ran or before it began."""
        with self._lock:
            self._again[topic] = self._monotonic() + SHOWN_S

    def look(self) -> None:
        """Ask once. Raises KafkaException when the broker does not answer."""
        there = self._topics.ask()
        for topic, now in there.items():
            if is_another(self._ids.setdefault(topic, now.id), now.id):
                self._ids[topic] = now.id
                self.made_anew(topic)
        found = {**self._made_again(), **self._misfits(there)}
        for topic, detail in found.items():
            if self._found.get(topic) != detail:
                self._log("topics_mismatch", what=detail)
            self._problems.report(TOPICS_MISMATCH, topic, detail)
        for topic in self._found.keys() - found.keys():
            self._log("topics_fit", topic=topic)
            self._problems.withdraw(TOPICS_MISMATCH, topic)
        self._found = found

    def _misfits(self, there: Mapping[str, TopicNow]) -> dict[str, str]:
        counts = {name: topic.partitions for name, topic in there.items()}
        settings = self._settings
        wanted = [full_name(name, settings.topic_prefix) for name in self._names]
        return misfits(counts, self._names, settings.topic_prefix, settings.partitions) | {
            name: f"topic {name} is not there: `catseye topics create` makes it; services that have ended meanwhile "
            "are started by `infra/stack up`"
            for name in wanted
            if name not in there
        }

    def _made_again(self) -> dict[str, str]:
        with self._lock:
            now_s = self._monotonic()
            self._again = {
                topic: until for topic, until in self._again.items() if topic == self._state or until > now_s
            }
            return {topic: self._what_follows(topic) for topic in self._again}

    def _what_follows(self, topic: str) -> str:
        service = self._service
        if topic == self._state:
            return (
                f"topic {topic} was deleted and made again: what {service} remembers is in its memory alone, so leave "
                f"it running; after its next start it knows only what changed since"
            )
        if topic in self._reads:
            return (
                f"topic {topic} was deleted and made again: {service} reads it from its start, by itself; what lay on "
                "the old one and was not read yet is gone, so send it again where you have it"
            )
        return f"topic {topic} was deleted and made again: what {service} wrote there before is gone, and it goes on"

    def _run(self) -> None:
        while True:
            with suppress(KafkaException):  # the worker says that the broker is away
                self.look()
            time.sleep(EVERY_S)
