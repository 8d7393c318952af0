"""The notifier in virtual time: its core, a log that outlives its process, senders that lead to servers of the test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from catseye.contract.records import Alert, ModelEvent, Notification
from services.notifier.core import NotifierCore
from services.notifier.known import Attempt, Result
from services.notifier.policy import Patience
from services.notifier.routes import Config, config_of

NOON_MS = 1_795_780_800_000  # 2026-11-27 12:00 UTC, a Friday
TICK_MS = 200
IDLE_TICK_MS = 1_000
"""Time passes in larger steps while nothing happens."""


def alert(**fields: Any) -> Alert:
    """An alert that opened at noon."""
    base: dict[str, Any] = {
        "alert_id": "a1",
        "revision": 0,
        "state": "opened",
        "kind": "camera_black",
        "severity": "critical",
        "camera": "gate-7",
        "signal": "brightness",
        "phase": "all",
        "detector": "rule",
        "estimate": 1.0,
        "reference": 0.0,
        "evidence": 1.0,
        "threshold": 1.0,
        "model": "vehicles",
        "version": "1",
        "since_ms": NOON_MS,
        "opened_at_ms": NOON_MS,
        "updated_at_ms": NOON_MS,
        "explanation": "Camera gate-7 sends black pictures.",
        "by": "incidents",
        "incident_id": "i1",
    }
    return Alert(**{**base, **fields})


def step(**fields: Any) -> ModelEvent:
    """A version became champion at noon."""
    base: dict[str, Any] = {
        "event_id": "e1",
        "model": "vehicles",
        "version": "2",
        "stage": "champion",
        "sha256": "0" * 64,
        "signature": b"",
        "because": "better: on 800 labels",
        "by": "rollout",
        "at_ms": NOON_MS,
    }
    return ModelEvent(**{**base, **fields})


@dataclass(frozen=True)
class Arrived:
    """A message that a server took.

    Attributes:
        at_ms: When.
        attempt: As it was sent.
    """

    at_ms: int
    attempt: Attempt


class Killed(Exception):
    """The process is no more."""


Server = Callable[[Attempt, int], Result | None]


@dataclass
class Servers:
    """What the routes lead to: each takes what comes unless told otherwise.

    Attributes:
        answer: By route: what it answers; a server that answers delivered has the message.
        arrived: What was taken, in order.
        asked: All attempts.
    """

    answer: dict[str, Server] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    asked: list[Arrived] = field(default_factory=list)

    def take(self, attempt: Attempt, now_ms: int) -> Result | None:
        """Be asked; None: the sender still waits."""
        self.asked.append(Arrived(now_ms, attempt))
        result = self.answer.get(attempt.route, took)(attempt, now_ms)
        if result is not None and result.outcome == "delivered":
            self.arrived.append(Arrived(now_ms, attempt))
        return result

    def of(self, route: str) -> list[Attempt]:
        """What arrived on *route*."""
        return [each.attempt for each in self.arrived if each.attempt.route == route]


def took(attempt: Attempt, now_ms: int) -> Result:
    """The server takes it."""
    return Result(attempt.key, "delivered", ref=attempt.ref or f"ref-{attempt.notification_id}")


def away(from_ms: int, to_ms: int) -> Server:
    """A server that cannot be reached for a while."""
    return lambda attempt, now_ms: (
        Result(attempt.key, "failed", "connection refused") if from_ms <= now_ms < to_ms else took(attempt, now_ms)
    )


class VirtualDesk:
    """A desk whose senders answer at once; gone with its process."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._results: dict[tuple[str, int], Result | None] = {}
        self.failing: Mapping[str, str] = {}

    def results(self) -> Sequence[Result]:
        return [result for result in self._results.values() if result is not None]

    def knows(self, key: tuple[str, int]) -> bool:
        return key in self._results

    def committed(
        self, started: Sequence[Attempt], settled: Iterable[tuple[str, int]], failing: Mapping[str, str]
    ) -> None:
        for key in settled:
            self._results.pop(key, None)
        self.failing = failing
        for attempt in started:
            self._world.step("before sending")
            self._results[attempt.key] = self._world.servers.take(attempt, self._world.now_ms)
            self._world.step("after sending")


class World:
    """A notifier that can be killed, and the log that it leaves.

    Args:
        content: Of notify.yaml.
        patience: Of the notifier.
    """

    def __init__(self, content: Any, patience: Patience | None = None) -> None:
        self.config: Config = config_of(content)
        self.patience = patience or Patience()
        self.now_ms = NOON_MS - 2_000
        self.servers = Servers()
        self.log: dict[bytes, bytes] = {}
        self.written: list[Notification] = []
        self.steps = 0
        self.kill_at = -1
        self.kills = 0
        self.waiting: list[Alert | ModelEvent] = []
        self.start()
        self.run(2)  # nothing was written before

    def start(self) -> None:
        """A new process: what it knows is what the log has."""
        self.desk = VirtualDesk(self)
        self.busy = 10
        self.core = NotifierCore(self.config, self.patience, self.desk)
        self.state = self.core.new_state()
        for key, value in self.log.items():
            self.state.restore(key, value)
        self.state.commit()

    def step(self, _: str) -> None:
        """A place at which the process may die."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def put(self, *records: Alert | ModelEvent) -> None:
        """They are on the topics."""
        self.waiting += records
        self.busy = 10

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_ms = self.now_ms + round(seconds * 1_000)
        while self.now_ms < until_ms:
            self.now_ms += TICK_MS if self.busy else IDLE_TICK_MS
            self.busy = max(0, self.busy - 1)
            try:
                self._transact()
            except Killed:
                self.kills += 1
                self.start()

    def titles(self, route: str) -> list[str]:
        """What arrived on *route*, in lines."""
        return [attempt.contents[0].title for attempt in self.servers.of(route)]

    def _transact(self) -> None:
        """Records, state and offsets become true together."""
        batch = list(self.waiting)
        outputs: list[Notification] = []
        if batch:
            self.step("before a batch")
        for record in batch:
            if isinstance(record, Alert):
                outputs += self.core.on_alert(record, None, self.state, self.now_ms)
            else:
                outputs += self.core.on_model_event(record, None, self.state, self.now_ms)
        outputs += self.core.on_time({0: self.state}, self.now_ms)
        changes = self.state.changes()
        if changes:
            self.step("before the commit")
        for key, value in changes:
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value
        self.written += outputs
        self.busy = 10 if outputs else self.busy
        self.waiting = self.waiting[len(batch) :]
        if changes:
            self.step("after the commit")
        self.state.commit()


def opened_on(cameras: int, records: int, every_ms: int) -> list[tuple[int, Alert]]:
    """Records of one incident and when they come: cameras open one after another, then all are updated in turn."""
    found = []
    for number in range(records):
        camera = f"gate-{number % cameras}"
        state = "opened" if number < cameras else "updated"
        at_ms = NOON_MS + number * every_ms
        record = alert(
            alert_id=f"a-{camera}", camera=camera, state=state, revision=number // cameras, updated_at_ms=at_ms
        )
        found.append((at_ms, record))
    return found


def over(record: Alert, at_ms: int) -> Alert:
    """The end of an alert."""
    return replace(record, state="resolved", revision=record.revision + 1, updated_at_ms=at_ms, resolved_at_ms=at_ms)
