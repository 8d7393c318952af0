"""Watches whether the topics that a process reads and writes still fit together: anybody may widen one."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException

from catseye.contract.alert_kinds import TOPICS_MISMATCH
from catseye.contract.topics import misfits
from catseye.kafka.clients import SILENT, reader_config
from catseye.runtime.heartbeats import Problems
from catseye.settings import Settings

EVERY_S: Final = 2.0
ANSWER_S: Final = 5.0


class TopicWatch:
    """Reports topics that do not fit together, and withdraws them when they do.

    Args:
        names: Topics, without prefix.
        settings: Where the brokers are.
        problems: Gets what is found.
        log: Gets an event name and fields for what an operator should see.
    """

    def __init__(
        self, names: Iterable[str], settings: Settings, problems: Problems, log: Callable[..., object]
    ) -> None:
        self._names = tuple(names)
        self._settings = settings
        self._problems = problems
        self._log = log
        self._found: dict[str, str] = {}

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        # A consumer that joins no group: an AdminClient may end the process when the broker dies (`observer`).
        client = Consumer(reader_config(self._settings, f"{self._settings.topic_prefix}topics") | SILENT)
        Thread(target=self._run, args=(client,), name="topics", daemon=True).start()

    def look(self, client: Any) -> None:
        """Ask once. Raises KafkaException when the broker does not answer."""
        there = client.list_topics(timeout=ANSWER_S).topics
        counts = {name: len(topic.partitions) for name, topic in there.items()}
        found = misfits(counts, self._names, self._settings.topic_prefix, self._settings.partitions)
        for topic, detail in found.items():
            if self._found.get(topic) != detail:
                self._log("topics_mismatch", what=detail)
            self._problems.report(TOPICS_MISMATCH, topic, detail)
        for topic in self._found.keys() - found.keys():
            self._log("topics_fit", topic=topic)
            self._problems.withdraw(TOPICS_MISMATCH, topic)
        self._found = found

    def _run(self, client: Consumer) -> None:
        while True:
            with suppress(KafkaException):  # the worker says that the broker is away
                self.look(client)
            time.sleep(EVERY_S)
