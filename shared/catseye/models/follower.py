"""Follows the `models` topic and holds the loaded models that serve."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from catseye.backoff import Backoff
from catseye.contract.alert_kinds import MODEL_REFUSED
from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Unavailable
from catseye.contract.records import ModelEvent
from catseye.contract.topics import full_name
from catseye.kafka.clients import SILENT, log_bounds, reader_config
from catseye.models import signing
from catseye.models.check import check_file
from catseye.models.net import MICRO_BATCH, Net
from catseye.models.register import store_of
from catseye.models.signing import key_folder
from catseye.models.stages import Serves, Serving, Stages, Version
from catseye.runtime.heartbeats import Problems
from catseye.settings import Settings

POLL_S = 2.0  # how long one read waits for an event; a period: an event that comes ends it
FIRST_PAUSE_S = 1.0  # before a store or a registry that was away is asked again,
LONGEST_PAUSE_S = 15.0  # and after many times

Loaded = tuple[ModelEvent, Net]


class Follower:
    """Follows the `models` topic and holds the loaded models of one stage.

    A new one is fetched, checked (hash, signature, contract, golden crops) and warmed up on this thread of its own,
    while the one before serves; then `current` gives the new one from the next batch on.

    Args:
        settings: Common settings.
        codec: Reads model events.
        log: Gets an event name and fields.
        threads: Threads of one run of a net.
        stage: Whose models.
        micro_batch: Most crops of one run of a net.
        problems: Gets what is not served though it should be.
    """

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        log: Callable[..., None],
        threads: int,
        stage: Serves = "champion",
        micro_batch: int = MICRO_BATCH,
        *,
        problems: Problems,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._log = log
        self._threads = threads
        self._micro_batch = micro_batch
        self._stage: Serves = stage
        self._stages = Stages()
        self._told = Stages()  # the same, whatever is refused
        self._problems = problems
        self._not_served: dict[Version, str] = {}  # subjects of the problems that were reported
        self._wanted: Serving[ModelEvent] = Serving()  # what is served now, by its events
        self._served: Serving[Loaded] = Serving()
        self._failed: str = ""
        self._found_bad: SimpleQueue[tuple[ModelEvent, str]] = SimpleQueue()
        self._caught_up = Event()

    def follow(self) -> None:
        """Start the thread; returns when the events so far are read and what serves by them, if any, is loaded.

        Raises:
            Unavailable: the broker does not answer.
        """
        topic = full_name("models", self._settings.topic_prefix)
        first, _ = log_bounds(self._settings, topic, [0])[0]
        Thread(target=self._follow, args=(topic, first), name="models", daemon=True).start()
        self._caught_up.wait()

    def current(self) -> Serving[Loaded]:
        """Who serves now. Raises `Unavailable` while there is no champion; without a shadow nobody serves."""
        if self._stage == "champion" and self._served.everywhere is None:
            raise Unavailable(
                f"no champion to predict with{self._failed}: `catseye models register FILE --stage champion` names one"
            )
        return self._served

    def refuse(self, event: ModelEvent, because: str) -> None:
        """A version failed while it served: the one before goes on, as soon as it is loaded."""
        self._found_bad.put((event, because))

    def _follow(self, topic: str, first: int) -> None:
        reader = Consumer(reader_config(self._settings, f"{topic}.follow") | SILENT | {"enable.partition.eof": True})
        reader.assign([TopicPartition(topic, 0, first)])
        due = at_end = False
        reported = set[int]()  # a broker that is away is an error each second: one line a code until it reads again
        backoff, pause_s = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S), POLL_S
        while True:
            # An event that comes ends the pause: it may name another model, whose file can be had.
            message: Any = reader.poll(pause_s)
            if message is not None and not message.error():
                reported.clear()
                event = self._event_in(message)
                if event is not None:
                    self._stages.on_event(event)
                    self._told.on_event(event)
                    due = True
                at_end = False
                continue
            if message is not None:
                fault = message.error()
                if fault.code() == KafkaError._PARTITION_EOF:
                    at_end = True
                    reported.clear()
                elif fault.code() not in reported:
                    reported.add(fault.code())
                    self._log("models_unreadable", what=fault.str())
            while not self._found_bad.empty():
                self._refused(*self._found_bad.get())
                due = True
            # Only what serves in the end is loaded: all before is history. What could not be fetched is tried again.
            if at_end:
                due = due and not self._serve()
                if not due:
                    backoff.reset()
                pause_s = backoff.pause_s() if due else POLL_S
                self._caught_up.set()

    def _event_in(self, message: Any) -> ModelEvent | None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                return self._codec.decode(message.value(), ModelEvent)
            except BadRecord as fault:
                self._log("model_event_unreadable", offset=message.offset(), what=str(fault))
                return None
            except Unavailable as fault:
                self._log("model_event_not_read", offset=message.offset(), what=str(fault))
                time.sleep(backoff.pause_s())

    def _serve(self) -> bool:
        """Load who should serve. False when it should be tried again; until then those before go on."""
        while (wanted := self._stages.serving(self._stage)) != self._wanted:
            started = time.monotonic()
            nets = {_signed(event): net for event, net in self._served.each()}
            for event in wanted.each():
                if _signed(event) in nets:
                    continue
                try:
                    nets[_signed(event)] = self._load(event)
                except (BadModel, Misconfigured) as fault:
                    self._refused(event, str(fault))
                    break
                except Unavailable as fault:
                    self._failed = f" ({fault})"
                    self._log(f"{self._stage}_not_loaded", model=event.model, version=event.version, what=str(fault))
                    self._has_problem(event, f"its file cannot be had now, and is tried again: {fault}")
                    return False
            else:
                self._wanted, self._served = wanted, wanted.map(partial(_with_net, nets))
                self._report(time.monotonic() - started)
        self._end_problems()
        return True

    def _refused(self, event: ModelEvent, because: str) -> None:
        self._failed = f" ({because})"
        self._log(f"{self._stage}_refused", model=event.model, version=event.version, what=because)
        self._has_problem(event, because)
        self._stages.refuse(event)

    def _has_problem(self, event: ModelEvent, because: str) -> None:
        """It should serve and does not, until it does or another one should instead."""
        subject = self._not_served[event.model, event.version] = f"{event.model} {event.version}"
        self._problems.report(MODEL_REFUSED, subject, because, model=event.model, version=event.version)

    def _end_problems(self) -> None:
        missing = _versions(self._told.serving(self._stage)) - _versions(self._wanted)
        for version in self._not_served.keys() - missing:
            self._problems.withdraw(MODEL_REFUSED, self._not_served.pop(version))

    def _load(self, event: ModelEvent) -> Net:
        content = store_of(self._settings).get(event.sha256)
        signing.verify(event.sha256, event.signature, key_folder(self._settings))
        check_file(content)
        return Net(content, self._threads, self._micro_batch)

    def _report(self, load_s: float) -> None:
        event = self._wanted.everywhere
        fields = {} if event is None else {"model": event.model, "version": event.version}
        canaries = sorted({event.version for event in self._wanted.cameras.values()})
        more = {"canaries": canaries, "cameras": len(self._wanted.cameras)} if canaries else {}
        self._log(self._stage if fields or more else f"no_{self._stage}", **fields, **more, load_s=round(load_s, 3))


def _versions(serving: Serving[ModelEvent]) -> set[Version]:
    return {(event.model, event.version) for event in serving.each()}


def _signed(event: ModelEvent) -> tuple[str, bytes]:
    """What was checked of a net that is loaded: another event with the same need not load it again."""
    return event.sha256, event.signature


def _with_net(nets: Mapping[tuple[str, bytes], Net], event: ModelEvent) -> Loaded:
    return event, nets[_signed(event)]
