"""The service: follows `retraining`, has one training at a time done, and answers each decision once.

Law: the answer and the place in `retraining` are written in one transaction, with the group's metadata (KIP-447): a
trainer that was paused past its session, or killed and started again, cannot answer a second time. Until then nobody
sees anything of a training, so that after a crash it is simply done again. Who has the one partition has the lease.
"""

import time
from collections import Counter
from collections.abc import Sequence
from threading import Event
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from catseye import clock
from catseye.backoff import Backoff
from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Unavailable
from catseye.contract.limits import RECORD_MAX_BYTES
from catseye.contract.records import LabelSuspect, ModelCommand, RetrainDecision
from catseye.contract.topics import full_name
from catseye.kafka.clients import IDEMPOTENT, client_config, reader_config
from catseye.models import signing
from catseye.models.check import check_file
from catseye.models.register import store_of
from catseye.models.signing import key_folder
from catseye.runtime.health import Health
from catseye.runtime.log import client_lines
from services.trainer import NAME
from services.trainer.archive import Archive
from services.trainer.child import Child, late
from services.trainer.core import Pass, Refuse, Register, answer
from services.trainer.job import Job, Result
from services.trainer.settings import TrainerSettings

POLL_S = 0.2
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0
"""Before a training is tried again for which a server was away, and after many times."""
TRANSACTION_S = 30.0
UNAVAILABLE = 3
MISCONFIGURED = 2


class Trainer:
    """Runs until asked to stop.

    Args:
        settings: What an operator has turned.
        codec: Reads and writes records.
        health: Gets signs of life.
        log: A structlog logger.
    """

    def __init__(self, settings: TrainerSettings, codec: Codec, health: Health, log: Any) -> None:
        self._settings = settings
        self._codec = codec
        self._health = health
        self._log = log
        self._archive = Archive(settings, codec)
        self._topic = full_name("retraining", settings.topic_prefix)
        self._commands = full_name("model.commands", settings.topic_prefix)
        self._in_doubt = full_name("labels.suspects", settings.topic_prefix)
        self._place = TopicPartition(self._topic, 0, 0)
        self._child: Child | None = None
        self._job: Job | None = None
        self._tries = 0
        self._began_s = 0.0
        self._again_s: float | None = None
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        identity = f"{settings.topic_prefix}{NAME}.{settings.instance}"
        lines = client_lines(log)
        self._consumer = Consumer(
            reader_config(settings, f"{settings.topic_prefix}{NAME}")
            | {
                # Decisions are kept for ever, so the first start begins with the first one: what is answered stands
                # on `models`, what is superseded is refused.
                "auto.offset.reset": "earliest",
                "group.instance.id": identity,
                "client.id": identity,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.heartbeat_ms,
            },
            logger=lines,
        )
        self._producer = Producer(
            client_config(settings)
            | IDEMPOTENT
            | {
                "client.id": identity,
                "transactional.id": identity,
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                "message.max.bytes": RECORD_MAX_BYTES,
            },
            logger=lines,
        )

    def run(self, stop: Event) -> None:
        """Work until *stop* is set.

        Raises:
            Unavailable: the clients cannot go on; a new process can.
        """
        try:
            self._producer.init_transactions(TRANSACTION_S)
            self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
            self._health.assigned(0, ready=True)  # one that waits for the lease is as ready as can be
            while not stop.is_set():
                self._health.beat()
                self._take(self._consumer.poll(POLL_S))
                self._producer.poll(0)  # serves its log lines
                self._poll()
        except KafkaException as fault:
            raise Unavailable(f"the broker does not let the trainer go on: {fault}") from fault
        finally:
            self._drop()
            self._end_child()
            self._consumer.close()

    # -- the partition, and what lies on it

    def _on_assign(self, _: Consumer, places: Sequence[TopicPartition]) -> None:
        self._health.assigned(len(places), ready=True)

    def _on_revoke(self, _: Consumer, places: Sequence[TopicPartition]) -> None:
        self._drop()
        self._health.assigned(0, ready=True)

    def _take(self, message: Any) -> None:
        if message is None:
            return
        if message.error():
            if message.error().fatal():
                raise Unavailable(f"the broker does not let the trainer go on: {message.error().str()}")
            self._log.warning("broker", what=message.error().str())
            return
        self._place = TopicPartition(self._topic, message.partition(), message.offset() + 1)
        try:
            decision = self._codec.decode(message.value(), RetrainDecision)
        except BadRecord as fault:
            self._log.warning("decision_unreadable", offset=message.offset(), what=str(fault))
            self._pass_by("unreadable")
            return
        register = Register()
        for event in self._archive.model_events():
            register.on_event(event)
        verdict = register.on_decision(decision)
        if isinstance(verdict, Pass):
            self._log.info("passed_by", decision_id=decision.decision_id, why=verdict.why)
            self._pass_by("passed_by")
        elif isinstance(verdict, Refuse):
            self._answer(answer(decision, "rejected", verdict.because, clock.now_ms()))
        else:
            self._tries = 0
            self._backoff.reset()
            self._consumer.pause([TopicPartition(self._topic, message.partition())])
            self._start(
                Job(
                    decision=decision,
                    champion=verdict.champion,
                    cut_off_ms=message.timestamp()[1],
                    lessons=verdict.lessons,
                )
            )

    def _pass_by(self, event: str) -> None:
        self._consumer.commit(offsets=[self._place], asynchronous=False)
        self._health.committed(1, Counter({event: 1}), 0.0, 0.0)

    # -- the training

    def _start(self, job: Job) -> None:
        self._tries += 1
        self._began_s = time.monotonic()
        self._log.info(
            "training",
            decision_id=job.decision.decision_id,
            because=job.decision.because,
            base_version=job.champion.version,
            attempt=self._tries,
        )
        self._job = job
        self._child = self._child or Child(self._settings)
        self._child.begin(job)

    def _poll(self) -> None:
        """Hear the child, and answer when it has ended; have one ready that waits for the next decision."""
        if self._child is None:
            self._child = Child(self._settings)
        child, job = self._child, self._job
        # Also with a job: it ends so before it has read one, and the decision must wait for the person who mends it.
        if child.status == MISCONFIGURED:
            raise Misconfigured("the process that trains refuses to start; its log says why")
        if job is None:
            if child.status is not None:
                raise Unavailable("the process that waits for a training ended by itself")
            return
        status = child.status  # before its reports: the last one is then there
        result: Result | None = None
        for report in child.progress():
            result = report.result or result
            self._log.info("training_at", phase=report.phase, decision_id=job.decision.decision_id, **report.numbers)
        if result is not None:
            self._finish(job, result)
        elif child.is_late:
            self._finish(job, Result(stage="rejected", because=late(self._settings.trainer_longest_s)))
        elif status is not None:
            self._failed(job, status)

    def _failed(self, job: Job, status: int) -> None:
        """It ended without a word: a server was away, or it fell."""
        if self._again_s is None:
            self._log.warning("training_ended", status=status, attempt=self._tries)
            self._again_s = time.monotonic() + self._backoff.pause_s()
        if status != UNAVAILABLE and self._tries >= self._settings.trainer_tries:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            because = f"failed: the training ended {self._tries} times, last with {how}"
            self._finish(job, Result(stage="rejected", because=because))
        elif time.monotonic() > self._again_s:
            self._tries -= status == UNAVAILABLE
            self._end_child()
            self._start(job)

    def _finish(self, job: Job, result: Result) -> None:
        self._end_child()
        took_s = round(time.monotonic() - self._began_s, 3)
        self._answer(self._command(job.decision, result, took_s), took_s, result.suspects)
        self._job = None
        self._consumer.resume([TopicPartition(self._topic, 0)])

    def _end_child(self) -> None:
        child, self._child, self._again_s = self._child, None, None
        if child is not None:
            child.end()

    def _drop(self) -> None:
        """End what runs, unanswered: whoever has the partition next does it again."""
        job, self._job = self._job, None
        if job is not None:
            self._end_child()
            self._log.info("training_dropped", decision_id=job.decision.decision_id)

    # -- the answer

    def _command(self, decision: RetrainDecision, result: Result, took_s: float) -> ModelCommand:
        stage, because, signature = result.stage, result.because, None
        if result.sha256 is not None:
            try:
                check_file(store_of(self._settings).get(result.sha256))
                signature = signing.sign(result.sha256, key_folder(self._settings))
            except BadModel as fault:
                stage, because = "rejected", f"bad_model: {fault}"
        return answer(
            decision,
            stage,
            because,
            clock.now_ms(),
            sha256=result.sha256,
            signature=signature,
            dataset_sha256=result.dataset_sha256,
            metrics={**result.metrics, "seconds": took_s},
        )

    def _answer(self, command: ModelCommand, took_s: float = 0.0, suspects: Sequence[LabelSuspect] = ()) -> None:
        """Write *command*, *suspects* and the place behind the decision, all or nothing."""
        began_s = time.monotonic()
        self._producer.begin_transaction()
        key = f"{command.model}/{command.version}".encode()
        self._producer.produce(self._commands, self._codec.encode(command), key)
        for suspect in suspects:
            self._producer.produce(self._in_doubt, self._codec.encode(suspect), suspect.camera.encode())
        self._producer.send_offsets_to_transaction(
            [self._place], self._consumer.consumer_group_metadata(), TRANSACTION_S
        )
        until_s = time.monotonic() + TRANSACTION_S
        while True:
            try:
                self._producer.commit_transaction(TRANSACTION_S)
            except KafkaException as fault:
                error: KafkaError = fault.args[0]
                if not error.retriable() or time.monotonic() > until_s:
                    raise
            else:
                break
        self._health.committed(1, Counter({str(command.stage): 1}), took_s, time.monotonic() - began_s)
        self._log.info("answered", **_reported(command))


def _reported(command: ModelCommand) -> dict[str, Any]:
    return {
        "decision_id": command.decision_id,
        "stage": command.stage,
        "version": command.version,
        "because": command.reason,
        "dataset_sha256": command.dataset_sha256,
    }
