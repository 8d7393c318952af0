"""Reads the topic `heartbeats`: all the while for a service, once for a command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from catseye import clock
from catseye.backoff import Backoff
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.records import Heartbeat
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, log_bounds, reader_config
from catseye.kafka.reading import ENDS_SHOWN
from catseye.runtime.heartbeats import TOPIC
from catseye.runtime.presence import Faults, Patience, Presence
from catseye.settings import Settings

CODEC: Final = Codec()
POLL_S: Final = 0.5
_SHORT_POLL_S: Final = 0.1
_ANSWER_S: Final = 15.0
_CHUNK: Final = 10_000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
_LIVE_S: Final = 1.0
"""Longer than a heartbeat that is due takes to come."""


class Listener:
    """Knows what is wrong with services; what is new is taken by `news`.

    Args:
        settings: Where the brokers are, and when absence is a fault.
        log: Gets an event name and fields.
    """

    def __init__(self, settings: Settings, log: Callable[..., object]) -> None:
        self._settings = settings
        self._log = log
        self._lock = Lock()
        self._news: Faults | None = None

    def start(self) -> None:
        """Listen from now on, until the process ends."""
        Thread(target=self._run, name="listener", daemon=True).start()

    def news(self) -> Faults | None:
        """What is wrong now, once; None when it was taken already, or while not all heartbeats so far are read."""
        with self._lock:
            news, self._news = self._news, None
            return news

    def _run(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                with _reader(self._settings) as reader:
                    self._follow(reader)
            except (Unavailable, KafkaException) as fault:
                self._log("heartbeats_not_read", what=str(fault))
                time.sleep(backoff.pause_s())

    def _follow(self, reader: Consumer) -> None:
        presence, patience, is_whole = Presence(), patience_of(self._settings), False
        while True:
            is_whole = _take(presence, reader.consume(_CHUNK, POLL_S)) or is_whole
            if is_whole:
                faults = presence.faults(patience)
                with self._lock:
                    self._news = faults


def listen(settings: Settings) -> Presence:
    """Who is there: all heartbeats so far, and the next one, by which it is known how old the others are.

    Raises:
        Unavailable: the broker does not answer, or has no such topic.
    """
    presence = Presence()
    with _reader(settings) as reader:
        until_s = time.monotonic() + _ANSWER_S
        while not _take(presence, reader.consume(_CHUNK, _SHORT_POLL_S)):
            if time.monotonic() > until_s:
                raise Unavailable(f"the heartbeats were not read within {_ANSWER_S:.0f} s: the broker does not answer")
        periods_s = [beat.every_ms / 1_000 for beat in presence.instances() if beat.state not in ("stopped", "failed")]
        newest_ms, until_s = presence.at_ms, time.monotonic() + max(periods_s, default=0) + _LIVE_S
        while periods_s and presence.at_ms == newest_ms:
            if time.monotonic() > until_s:
                presence.nobody_until(clock.now_ms())
                break
            _take(presence, reader.consume(_CHUNK, _SHORT_POLL_S))
    return presence


def patience_of(settings: Settings) -> Patience:
    """The settings, in milliseconds."""
    return Patience(
        round(settings.service_down_s * 1_000), settings.crash_loop_starts, round(settings.crash_loop_s * 1_000)
    )


@contextmanager
def _reader(settings: Settings) -> Iterator[Consumer]:
    """A consumer at the beginning of the topic."""
    topic = full_name(TOPIC, settings.topic_prefix)
    first, _ = log_bounds(settings, topic, [0])[0]
    config = reader_config(settings, f"{topic}.listen") | ENDS_SHOWN | SILENT | {"fetch.wait.max.ms": 100}
    reader = Consumer(config)
    try:
        reader.assign([TopicPartition(topic, 0, first)])
        yield reader
    finally:
        reader.close()


def _take(presence: Presence, messages: list[Any]) -> bool:
    """Take heartbeats; whether the end of the topic was reached.

    Raises:
        Unavailable: the topic is not there any more, or was made anew.
    """
    is_end = False
    for message in messages:
        error = message.error()
        if error is None:
            try:
                beat = CODEC.decode(message.value(), Heartbeat)
            except BadRecord:  # of a build that is newer than this
                continue
            presence.on_heartbeat(beat, message.timestamp()[1], message.offset())
        elif error.code() == KafkaError._PARTITION_EOF:
            is_end = True
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise Unavailable(f"heartbeats cannot be read: {error.str()}")
    return is_end
