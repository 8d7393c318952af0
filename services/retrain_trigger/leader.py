"""The one instance that decides, the leader: reads back what was decided, then writes what follows, once.

Law: a decision stands on `retraining` once. Whoever takes over first fences off whoever decided before (a producer with
the same transactional id), and then reads back to the end all that was decided. So nothing is written by an instance
that has not seen all before it, however long it was paused and wherever it was killed.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from catseye.client.aio_config import aio_config
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import Alert, ModelEvent, RetrainDecision, TrainingRequest
from catseye.contract.topics import full_name, state_topic
from catseye.settings import Settings
from services.retrain_trigger import NAME
from services.retrain_trigger.labels import Held, newer, unpacked
from services.retrain_trigger.policy import Rules, decide
from services.retrain_trigger.trigger_state import TriggerState

POLL_MS: Final = 200


class Place(Protocol):
    """A record as aiokafka or Faust gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Leader:
    """Knows what is known, and decides while it leads.

    Args:
        settings: Of this process.
        codec: Reads and writes records.
        rules: Of the policy.
        clock: Unix milliseconds.
        log: Gets an event name and fields.
    """

    def __init__(
        self, settings: Settings, codec: Codec, rules: Rules, clock: Callable[[], int], log: Callable[..., None]
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._rules = rules
        self._clock = clock
        self._log = log
        prefix = settings.topic_prefix
        self._retraining = full_name("retraining", prefix)
        self._kinds: Mapping[str, Any] = {
            full_name("models", prefix): ModelEvent,
            self._retraining: RetrainDecision,
            full_name("training.requests", prefix): TrainingRequest,
            full_name("alerts", prefix): Alert,
        }
        self._counts_topic = state_topic(NAME, prefix)
        self._state = TriggerState()
        self._labels: dict[str, Held] = {}
        self._read: dict[str, int] = {}
        self._early: list[Place] = []
        self._is_leader = False
        self._writer: AIOKafkaProducer | None = None
        self._counts: AIOKafkaConsumer | None = None
        self.events: Counter[str] = Counter()

    @property
    def topics(self) -> frozenset[str]:
        """Full names of the topics whose one partition leading comes with."""
        return frozenset(self._kinds)

    async def take_over(self) -> None:
        """Fence off whoever decided before, and learn all that was decided and asked."""
        began = time.monotonic()
        await self.step_down()
        self._state, self._labels, self._read = TriggerState(), {}, {}
        self._writer = AIOKafkaProducer(
            **aio_config(self._settings),
            transactional_id=f"{self._settings.topic_prefix}{NAME}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
        )
        await self._writer.start()
        self._counts = self._reader()
        await self._counts.start()
        self._counts.assign([TopicPartition(self._counts_topic, number) for number in range(self._settings.partitions)])
        await self._counts.seek_to_beginning()
        await self._read_back()
        await self._read_counts()
        early, self._early = self._early, []
        self._is_leader = True
        for record in early:
            self.take(record)
        self._log(
            "took_over",
            champion=self._state.champion.version if self._state.champion else "",
            open_alerts=len(self._state.alerts),
            trainings=len(self._state.trainings),
            cameras=len(self._labels),
            seconds=round(time.monotonic() - began, 3),
        )

    async def step_down(self) -> None:
        """Decide nothing more until it takes over again."""
        self._is_leader = False
        writer, self._writer = self._writer, None
        counts, self._counts = self._counts, None
        if writer is not None:
            await writer.stop()
        if counts is not None:
            await counts.stop()

    @property
    def is_leader(self) -> bool:
        """Whether this instance decides now."""
        return self._is_leader

    def take(self, record: Place) -> None:
        """Take what has just come; what was read back already changes nothing."""
        if not self._is_leader:
            self._early.append(record)
        elif record.offset >= self._read.get(record.topic, 0):
            self._fold(record)

    def forget_early(self) -> None:
        """Let go of what came while nobody here led: whoever takes it reads it back."""
        self._early = []

    async def evaluate(self) -> int:
        """Decide on all that is known now, and write it. Returns how many decisions were written.

        Raises:
            ProducerFenced: another instance has taken over: this one must end.
        """
        assert self._writer is not None
        await self._read_counts()
        decisions = decide(self._rules, self._state, self._labels, self._clock())
        if not decisions:
            return 0
        async with self._writer.transaction():
            for decision in decisions:
                value = self._codec.encode(decision)
                await self._writer.send(self._retraining, value, key=decision.model.encode(), partition=0)
        for decision in decisions:
            self._state.on_decision(decision)
            self.events["accepted" if decision.accepted else f"no_{decision.because}"] += 1
            self._log(
                "decided",
                accepted=decision.accepted,
                because=decision.because,
                detail=decision.detail,
                decision_id=decision.decision_id,
                causes=decision.causes,
            )
        return len(decisions)

    # -- reading

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **aio_config(self._settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # compaction may take the first records away while they are read
            fetch_max_wait_ms=POLL_MS,
        )

    async def _read_back(self) -> None:
        """Read the logs whole: model events and decisions first, since alerts and requests are weighed by them."""
        reader = self._reader()
        await reader.start()
        try:
            for topic in self._kinds:
                place = TopicPartition(topic, 0)
                reader.assign([place])
                end = (await reader.end_offsets([place]))[place]
                await reader.seek_to_beginning(place)
                # A position counts markers of transactions too, the last record's offset does not.
                while await reader.position(place) < end:
                    for record in (await reader.getmany(place, timeout_ms=POLL_MS)).get(place, []):
                        self._fold(record)
                self._read[topic] = max(end, self._read.get(topic, 0))
        finally:
            await reader.stop()

    async def _read_counts(self) -> None:
        """Follow the table that all instances count labels in, to its end as of now."""
        assert self._counts is not None
        places = list(self._counts.assignment())
        ends = await self._counts.end_offsets(places)
        while any([await self._counts.position(place) < end for place, end in ends.items()]):
            for records in (await self._counts.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    if record.value is not None:
                        camera = record.key.decode()
                        self._labels[camera] = newer(self._labels.get(camera), unpacked(record.value))

    def _fold(self, record: Place) -> None:
        try:
            self._on_record(self._codec.decode(record.value, self._kinds[record.topic]))
        except BadRecord as fault:
            # Only our own services and people's tools write here; nobody is waiting for such a record to be mended.
            self.events["unreadable"] += 1
            self._log("unreadable", topic=record.topic, offset=record.offset, what=str(fault))
        self._read[record.topic] = record.offset + 1

    def _on_record(self, record: Alert | ModelEvent | RetrainDecision | TrainingRequest) -> None:
        if isinstance(record, Alert):
            self._state.on_alert(record)
        elif isinstance(record, ModelEvent):
            self._state.on_model(record)
        elif isinstance(record, TrainingRequest):
            self._state.on_request(record)
        else:
            self._state.on_decision(record)
