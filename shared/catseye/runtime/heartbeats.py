"""Writes to the topic `heartbeats` that a process is there, what it does, and what it refuses to do.

Law: whoever reads the topic knows of each process that ever ran whether it is there, whether it ended because it was
asked to, and what it does not do though it was told to; the machine that it runs on needs nothing of ours.

Heartbeats come from a thread and a producer of their own, outside of the worker's transactions: a worker that hangs, or
waits for a broker to commit, must not seem to be gone. A process that is killed writes no last one: that is the news.
"""

import os
import socket
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Protocol, Self

from confluent_kafka import KafkaError, KafkaException, Producer
from msgspec.structs import replace

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.errors import Fault, Misconfigured
from catseye.contract.masking import masked
from catseye.contract.records import Backlog, Heartbeat, Problem, ProcessState
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import SILENT, client_config
from catseye.settings import Settings, load

TOPIC: Final = "heartbeats"
CHANGE_S: Final = 0.5
"""What has changed is written within so long."""
LAST_S: Final = 1.0
"""How long the end of a process may wait for the broker to have its last heartbeat."""
_DETAIL_MOST: Final = 2_000


class Problems:
    """What a process was told to do and does not do, while it goes on with the rest. Any thread may report.

    Each is shown in the process's heartbeats until it is withdrawn, and incidents makes an alert of it: its kind must
    have a row in `catseye.contract.alert_kinds`.

    Args:
        now_ms: Unix milliseconds.
    """

    def __init__(self, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._now_ms = now_ms
        self._lock = Lock()
        self._found: dict[tuple[str, str], Problem] = {}

    def report(self, kind: str, subject: str, detail: str, *, model: str = "", version: str = "") -> None:
        """Something is wrong. Reported again with another detail it is still the same problem.

        Args:
            kind: Kind of its alert, for example ``model_refused``.
            subject: What it is about; two problems of one kind differ in it.
            detail: Why, in a sentence for whoever must act; addresses in it lose their passwords.
            model: Name of the model that is refused.
            version: Its version.
        """
        with self._lock:
            before = self._found.get((kind, subject))
            self._found[kind, subject] = Problem(
                kind=kind,
                subject=subject,
                detail=masked(detail)[:_DETAIL_MOST],
                since_ms=before.since_ms if before else self._now_ms(),
                model=model,
                version=version,
            )

    def withdraw(self, kind: str, subject: str) -> None:
        """It is so no more; nothing where it was not reported."""
        with self._lock:
            self._found.pop((kind, subject), None)

    def found(self) -> list[Problem]:
        """All that are so now, oldest first."""
        with self._lock:
            return list(self._found.values())


class Readiness(Protocol):
    """What is asked whether the process works, and what waits for it; `catseye.runtime.health.Health` is one."""

    @property
    def ready(self) -> bool: ...

    backlogs: list[Backlog]


class Heartbeats:
    """The heartbeats of this process, from ``with`` to its end.

    The last one says ``failed`` where the block ends by an exception, ``stopped`` where it does not, or by
    ``sys.exit(0)``.

    Args:
        service: Its name.
        settings: Where the brokers are, and how often.
        health: Whether it works, and what waits for it.
        problems: What it refuses.
        log: Gets an event name and fields for what an operator should see.
    """

    def __init__(
        self, service: str, settings: Settings, health: Readiness, problems: Problems, log: Callable[..., object]
    ) -> None:
        self._health = health
        self._problems = problems
        self._log = log
        self._topic = full_name(TOPIC, settings.topic_prefix)
        self._every_s = settings.heartbeat_every_s
        # Never in the registry's format: a registry that is away must not make a process seem to be gone.
        self._codec = Codec()
        self._first = Heartbeat(
            service=service,
            instance=settings.instance,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at_ms=clock.now_ms(),
            at_ms=0,
            every_ms=round(self._every_s * 1_000),
            state="starting",
        )
        self._producer = Producer(
            client_config(settings)
            | SILENT
            | {
                "client.id": f"{settings.topic_prefix}{service}.{settings.instance}.heartbeats",
                "linger.ms": 0,
                # Of what could not be sent for long only the newest is worth sending.
                "message.timeout.ms": round(max(5.0, 2 * self._every_s) * 1_000),
                "on_delivery": self._on_delivery,
            }
        )
        self._lock = Lock()
        self._ended = Event()
        self._was_ready = False
        self._faults: set[int] = set()

    def __enter__(self) -> Self:
        now = self._now()
        self._write(*now)  # before all that may fail
        Thread(target=self._run, args=now, name="heartbeats", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None or (isinstance(fault, SystemExit) and not fault.code):
            self.end("stopped")
        else:
            self.end("failed", _cause(fault))

    def end(self, state: ProcessState, detail: str = "") -> None:
        """Write the last heartbeat; a second call does nothing."""
        with self._lock:
            if self._ended.is_set():
                return
            self._ended.set()
            self._write(state, self._problems.found(), detail)
        self._producer.flush(LAST_S)

    def _run(self, state: ProcessState, problems: list[Problem]) -> None:
        written, due_s = (state, problems), time.monotonic() + self._every_s - CHANGE_S
        while not self._ended.wait(CHANGE_S):
            self._producer.poll(0)
            now, now_s = self._now(), time.monotonic()
            if now == written and now_s < due_s:
                continue
            with self._lock:
                if self._ended.is_set():
                    return
                self._write(*now)
            written, due_s = now, now_s + self._every_s - CHANGE_S

    def _now(self) -> tuple[ProcessState, list[Problem]]:
        ready = self._health.ready
        self._was_ready = self._was_ready or ready
        return "ready" if ready else "not_ready" if self._was_ready else "starting", self._problems.found()

    def _write(self, state: ProcessState, problems: list[Problem], detail: str = "") -> None:
        detail = masked(detail)[:_DETAIL_MOST]
        beat = replace(self._first, at_ms=clock.now_ms(), state=state, detail=detail, problems=problems)
        beat = replace(beat, backlogs=self._health.backlogs)
        try:
            self._producer.produce(self._topic, self._codec.encode(beat), BY_NAME[TOPIC].key_of(beat), 0)
        except (BufferError, KafkaException) as fault:
            self._log("heartbeat_not_written", what=str(fault))

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        """Each cause is logged once until a heartbeat is on the log again."""
        if error is None:
            self._faults.clear()
        elif error.code() not in self._faults:
            self._faults.add(error.code())
            self._log("heartbeat_not_written", what=error.str())


class _Never:
    """Of a process that cannot begin."""

    ready = False

    def __init__(self) -> None:
        self.backlogs: list[Backlog] = []


def report_refused_settings(service: str, fault: Misconfigured) -> None:
    """Write one heartbeat of a process whose own settings are refused, where the common ones say where to."""
    try:
        settings = load(Settings)
    except Misconfigured:
        return
    Heartbeats(service, settings, _Never(), Problems(), lambda *_, **__: None).end("failed", str(fault))


def _cause(fault: BaseException) -> str:
    if isinstance(fault, Fault):
        return str(fault)
    if isinstance(fault, SystemExit):
        return f"it ended with exit status {fault.code}"
    return f"{type(fault).__name__}: {fault}"
