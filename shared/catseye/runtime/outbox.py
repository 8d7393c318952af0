"""What a worker writes: its producer, and one transaction after another."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from catseye.runtime.connection import Connection
from catseye.runtime.probe import Probe
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.stream import Output, Row
from catseye.runtime.worker_clients import ANSWER_S, producer_config
from catseye.settings import Settings


class Aborted(Exception):
    """The transaction is gone, the worker is not."""


class Outbox:
    """Writes records and offsets, with transactions or without, as *settings* have it delivered.

    Args:
        settings: Common settings.
        identity: Name of the worker and of its transactions.
        reads: Full name of a topic that a broker is asked for when it was away.
        probe: Observes what happens.
        logged: What else the client is set to.
    """

    def __init__(
        self, settings: Settings, identity: str, reads: str, probe: Probe, logged: Mapping[str, object]
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._probe = probe
        self._connection = Connection(probe, reads)
        self._undelivered: list[KafkaError] = []
        self.transactional = settings.delivery == "exactly_once"
        callbacks: dict[str, object] = {"error_cb": self._connection.on_client_error}
        if not self.transactional:
            callbacks["on_delivery"] = self._on_undelivered
        self.producer = Producer({**producer_config(settings, identity), **logged, **callbacks})

    def init(self) -> None:
        """End what a worker of this name left open. Raises `WorkerFailed`."""
        if self.transactional:
            self.until_done(lambda: self.producer.init_transactions(ANSWER_S), "init_transactions")

    def begin(self) -> None:
        """Begin a transaction, where there are any. Raises `WorkerFailed`."""
        if self.transactional:
            self.until_done(self.producer.begin_transaction, "begin_transaction")

    def write(self, outputs: Sequence[Row | Output]) -> None:
        """Hand records to the client. Raises `Aborted` or `WorkerFailed`."""
        produce = self.producer.produce
        for row in outputs:
            while True:
                try:
                    if len(row) == 4:
                        topic, partition, key, value = row
                        produce(topic, value, key, partition)
                    else:
                        topic, partition, key, value, headers = row
                        produce(topic, value, key, partition, headers=headers)
                except BufferError:
                    self.producer.poll(0.05)
                except KafkaException as fault:
                    self._refused(fault)
                else:
                    break

    def delivered(self) -> float:
        """Wait until the broker has, or has not, whatever was written. Returns how long that took, seconds.

        Raises `Aborted` where it has not.
        """
        began = time.perf_counter()
        self.producer.flush()
        if self._undelivered:
            fault = self._undelivered[0]
            self._undelivered.clear()
            raise Aborted(f"deliver: {fault}")
        return time.perf_counter() - began

    def commit(self, positions: list[TopicPartition], member: object) -> None:
        """End the transaction, with where the group goes on. Raises `Aborted` or `WorkerFailed`.

        Args:
            positions: Where to go on.
            member: Metadata of the group: who we are there, and of which generation.
        """
        try:
            self.until_done(
                lambda: self.producer.send_offsets_to_transaction(positions, member, ANSWER_S), "send_offsets"
            )
            self.until_done(lambda: self.producer.commit_transaction(ANSWER_S), "commit_transaction")
        except Aborted:
            self._abort()
            raise

    def until_done(self, call: Callable[[], object], what: str) -> None:
        """Repeat *call* until it is done. Raises `Aborted` or `WorkerFailed` by the type of error."""
        deadline = time.monotonic() + max(30.0, 3 * self._settings.transaction_timeout_ms / 1_000)
        while True:
            self._probe.beat()
            try:
                call()
            except KafkaException as fault:
                self.serve_callbacks()
                error = fault.args[0]
                if error.txn_requires_abort() or (not self.transactional and not error.fatal()):
                    raise Aborted(f"{what}: {error}") from fault
                if error.fatal() or not error.retriable() or time.monotonic() > deadline:
                    raise WorkerFailed(f"{self._identity} cannot go on after {what}: {error}") from fault
                self._connection.lost()
            else:
                return

    def serve(self) -> None:
        """What each turn of the loop owes the client, and a broker that was away."""
        self.serve_callbacks()
        self._connection.ask_again(self.producer)

    def serve_callbacks(self) -> None:
        """Serve the producer's callbacks, its log lines among them; those of the consumer come with the records."""
        for _ in range(2):  # a fatal error comes out too, before the rest; the next call raises it again by type
            with suppress(KafkaException):
                self.producer.poll(0)

    def _abort(self) -> None:
        self.until_done(lambda: self.producer.abort_transaction(ANSWER_S), "abort_transaction")

    def _refused(self, fault: KafkaException) -> NoReturn:
        """The client takes no record: its transaction has failed meanwhile, or it cannot go on at all."""
        error = fault.args[0]
        if not self.transactional or error.code() != KafkaError._STATE:
            raise WorkerFailed(f"{self._identity} cannot write: {error}") from fault
        self._abort()
        raise Aborted(f"produce: {error}") from fault

    def _on_undelivered(self, error: KafkaError | None, _: object) -> None:
        """A record was not delivered; with transactions their commit fails."""
        if error is not None:
            self._undelivered.append(error)
