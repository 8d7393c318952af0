"""The Faust app: an agent a topic, the table of label counts, and the timer that decides.

Every instance counts labels of the partitions that it has, into a table whose changelog all may read. One of them has
the one partition of alerts, models, requests and retraining: it is the leader, adds the counts up and decides.

Faust delivers at least once and fences nobody off. Counting again changes nothing, since the table knows up to which
offset it counted, and its changelog is written before an offset is committed; of two values the one that counted
further holds, whoever wrote it last. Decisions are written by the leader's own fenced producer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import faust
from aiokafka.errors import ProducerFenced
from mode.supervisors import CrashingSupervisor  # type: ignore[import-not-found]

from catseye import clock
from catseye.client.aio_config import aio_config
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.records import Outcome
from catseye.contract.topics import full_name, state_topic
from catseye.runtime.health import Health
from catseye.runtime.router import refused
from services.retrain_trigger import NAME, READS
from services.retrain_trigger.committed import CommittedTransport, FlowControl
from services.retrain_trigger.labels import Held, counted, newer, packed, unpacked
from services.retrain_trigger.leader import Leader
from services.retrain_trigger.settings import RetrainTriggerSettings


class Counts(faust.Table):  # type: ignore[misc]
    """Label counts by camera. Recovers the value that counted furthest, where Faust would take the last one.

    Attributes:
        unreadable: Why the app ends, when a newer version wrote its changelog.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unwritten: set[asyncio.Future[Any]] = set()
        self.unreadable: Misconfigured | None = None
        self._end: asyncio.Future[Any] | None = None  # held, else it may be gone before it is done

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        change = super().send_changelog(*args, **kwargs)
        self._unwritten.add(change)
        change.add_done_callback(self._forget)
        return change

    async def written(self) -> None:
        """Wait until the broker has every change so far. Raises what a change failed with, now and ever after."""
        if self._unwritten:
            await asyncio.wait(list(self._unwritten))
        for change in self._unwritten:
            if change.done():
                change.result()

    def _forget(self, change: asyncio.Future[Any]) -> None:
        if not change.cancelled() and change.exception() is None:
            self._unwritten.discard(change)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        try:
            chosen = self._furthest(batch)
        except Misconfigured as fault:  # Faust alone would try again for ever
            self.unreadable = fault
            self._end = asyncio.ensure_future(self.app.crash(fault))
            raise
        super().apply_changelog_batch(chosen)

    def _furthest(self, batch: Iterable[Any]) -> Iterable[Any]:
        """Of each camera the event whose value holds, where it is not the one that is here."""
        best: dict[bytes, Held] = {}
        chosen: dict[bytes, Any] = {}
        for event in batch:
            key, value = event.message.key, event.message.value
            if value is None:
                continue
            here = self.data.get(key)
            before = best.get(key) or (unpacked(here) if here is not None else None)
            held = unpacked(value)
            best[key] = newer(before, held)
            if best[key] is held:
                chosen[key] = event
        return chosen.values()


def build(settings: RetrainTriggerSettings, codec: Codec, leader: Leader, health: Health) -> Any:
    """Declare the app; it connects when a worker starts it."""
    app = faust.App(f"{settings.topic_prefix}{NAME}", **app_config(settings))
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    app.flow_control = FlowControl()
    counts = app.Table(
        "counts",
        partitions=settings.partitions,
        changelog_topic=_topic(app, state_topic(NAME, settings.topic_prefix), acks=False, internal=True),
        key_type=bytes,
        value_type=bytes,
    )
    letters = _topic(app, full_name("dead-letters", settings.topic_prefix))
    _Tasks(app, settings, codec, leader, health, counts, letters).declare()
    return app


def app_config(settings: RetrainTriggerSettings) -> dict[str, Any]:
    """How Faust is set up."""
    session_s = settings.session_timeout_ms / 1_000
    return {
        "broker": [f"kafka://{server}" for server in settings.kafka_bootstrap_servers.split(",")],
        "broker_credentials": _credentials(settings),
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": session_s / 3,
        "broker_rebalance_timeout": max(10.0, 2 * session_s),
        "broker_commit_interval": 1.0,
        "consumer_auto_offset_reset": "earliest",
        "Table": Counts,
        "store": "memory://",
        "datadir": settings.data_dir / "faust",
        "processing_guarantee": "at_least_once",
        "table_standby_replicas": 0,
        "topic_allow_declare": False,  # `catseye topics create` makes topics, so that rights can stay small
        "topic_disable_leader": True,
        "stream_wait_empty": False,
        "web_enabled": False,
        "agent_supervisor": CrashingSupervisor,  # any fault that is not foreseen is a bug: end, and start anew
    }


def _credentials(settings: RetrainTriggerSettings) -> Any:
    context = aio_config(settings).get("ssl_context")
    if "SASL" in settings.kafka_security_protocol:
        return faust.SASLCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None


def _topic(app: Any, name: str, **options: Any) -> Any:
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    return app.topic(name, **raw, **options)


class _Record:
    """A Faust event as `catseye.runtime.stream.Message` has it, for dead letters."""

    def __init__(self, event: Any) -> None:
        self._message = event.message

    def topic(self) -> str:
        return str(self._message.topic)

    def partition(self) -> int:
        return int(self._message.partition)

    def offset(self) -> int:
        return int(self._message.offset)

    def key(self) -> bytes | None:
        key: bytes | None = self._message.key
        return key

    def value(self) -> bytes | None:
        value: bytes | None = self._message.value
        return value

    def timestamp(self) -> tuple[int, int]:
        return int(self._message.timestamp_type), round(self._message.timestamp * 1_000)

    def headers(self) -> None:
        return None


class _Tasks:
    """What runs in the app."""

    def __init__(
        self,
        app: Any,
        settings: RetrainTriggerSettings,
        codec: Codec,
        leader: Leader,
        health: Health,
        counts: Any,
        letters: Any,
    ) -> None:
        self._app = app
        self._settings = settings
        self._codec = codec
        self._leader = leader
        self._health = health
        self._counts = counts
        self._letters = letters
        self._recovered = False
        self._records = 0

    def declare(self) -> None:
        prefix = self._settings.topic_prefix
        self._app.agent(_topic(self._app, full_name("outcomes", prefix)), name="outcomes")(self.count)
        for name in (name for name in READS if name != "outcomes"):
            self._app.agent(_topic(self._app, full_name(name, prefix)), name=name)(self.on_record)
        self._app.timer(self._settings.retrain_trigger_look_every_s, name="evaluate")(self.evaluate)
        # Weakly held, as Faust does by itself, they would be gone at once.
        self._app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self._app.on_rebalance_complete.connect(self._on_recovered, weak=False)

    # -- agents

    async def count(self, stream: Any) -> None:
        """Count labels by camera. A table may be changed only here, in the middle of an event."""
        async for event in stream.events():
            self._records += 1
            try:
                outcome = self._codec.decode(event.message.value, Outcome)
            except BadRecord as fault:
                await self._refuse(event, fault)
                continue
            camera = outcome.camera.encode()
            value = self._counts.get(camera)
            before = unpacked(value) if value is not None else Held()
            after = counted(before, outcome, event.message.partition, event.message.offset)
            if after is not before:
                self._counts[camera] = packed(after)

    async def on_record(self, stream: Any) -> None:
        """Hand an alert, a model event, a request or a decision to the leader."""
        async for event in stream.events():
            self._records += 1
            self._leader.take(event.message)

    async def _refuse(self, event: Any, fault: BadRecord) -> None:
        record = _Record(event)
        self._leader.events[f"dead_{fault.reason}"] += 1
        partitions = self._settings.partitions
        home, key, letter = refused(NAME, self._codec, Outcome, record, fault, clock.now_ms(), partitions)
        await self._letters.send(key=key, value=letter, partition=home)

    # -- the timer

    async def evaluate(self) -> None:
        """Give a sign of life; take over or step down; decide."""
        began = time.monotonic()
        self._health.beat()
        if self._may_lead():
            if not self._leader.is_leader:
                await self._leader.take_over()
            try:
                await self._leader.evaluate()
            except ProducerFenced:
                if self._may_lead():  # else a rebalance is under way already, and the lead with it
                    raise
        elif self._leader.is_leader:
            await self._leader.step_down()
        if not self._recovered:
            self._leader.forget_early()
        events, records = self._leader.events, self._records
        if events or records:
            self._leader.events, self._records = Counter(), 0
            self._health.committed(records, events, time.monotonic() - began, 0.0)

    def _may_lead(self) -> bool:
        if not self._recovered or self._app.rebalancing:
            return False
        assigned = {place.topic for place in self._app.consumer.assignment()}
        return self._leader.topics <= assigned

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self._recovered = False
        self._health.assigned(0, ready=False)  # it steps down at the next evaluation, never in the middle of one

    async def _on_recovered(self, *_: Any, **__: Any) -> None:
        self._recovered = True
        self._health.assigned(len(self._app.consumer.assignment()), ready=True)
