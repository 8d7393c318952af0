"""Which processes are there, by their heartbeats: what is down, ends again and again, or refuses what it is told. Pure.

Law: a service that was asked to end, or that is back within the limit, is no fault; one that is gone otherwise is one,
wherever it ran. Silence counts only while heartbeats could be heard: a broker that was away silences nobody.

Times are the broker's, on which all agree. Time in which nobody's heartbeat reached the log counts as no more than two
periods. Heartbeats that the broker has compacted away were heard: their offsets are missing.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from catseye.contract.alert_kinds import SERVICE_DOWN
from catseye.contract.records import Heartbeat

STARTS_MOST: Final = 100
"""Starts that are remembered, a process."""
_PROCESSES_MOST: Final = 8
"""Of one instance that are told apart: one that was suspended may go on after its successor began."""
_PERIODS: Final = 3
"""Heartbeats that may be missed in any case."""
_FORGOTTEN_MS: Final = 24 * 3_600_000
"""A worker that is gone for so long while others of its service work is not missed any more."""
_KILLED: Final = (
    ": it wrote nothing at its end, so it was killed, or hangs, or its machine is off or cannot reach the broker"
)


class Patience(NamedTuple):
    """When absence is a fault.

    Attributes:
        down_ms: How long a process may be gone.
        loop_starts: So many starts after ends that nobody asked for
        loop_ms: within so long are a crash loop. A process that has run for the share of one start of it is in none.
    """

    down_ms: int = 30_000
    loop_starts: int = 4
    loop_ms: int = 300_000


class ServiceFault(NamedTuple):
    """What is wrong with a service.

    Attributes:
        service: Its name.
        kind: Kind of the alert that it is.
        subject: What it is about; empty for the service itself.
        since_ms: By the broker's clock, or the process's own where that found it.
        sentence: What is so.
        model: Name of the model that is refused; empty where it is about none.
        version: Its version.
    """

    service: str
    kind: str
    subject: str
    since_ms: int
    sentence: str
    model: str = ""
    version: str = ""


class Faults(NamedTuple):
    """What is wrong at a moment.

    Attributes:
        at_ms: The broker's clock.
        by_service: Faults of each service that has any.
    """

    at_ms: int
    by_service: Mapping[str, tuple[ServiceFault, ...]]


class _Instance(msgspec.Struct):
    """One instance of a service: its newest process, and those before.

    Attributes:
        beat: Newest heartbeat.
        at_ms: When the broker had it.
        heard_ms: The same, in time in which heartbeats could be heard.
        began_ms: When the broker had the first one of that process.
        processes: Starts of the newest processes, by their own clock.
        restarts: When processes came after an end that nobody asked for.
        last_end: How the one before the newest ended, where it did so by itself and said why.
    """

    beat: Heartbeat
    at_ms: int
    heard_ms: int
    began_ms: int
    processes: list[int]
    restarts: list[int] = []
    last_end: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.beat.service}-{self.beat.instance} on {self.beat.host}"


class Presence:
    """Takes heartbeats in the order of the topic."""

    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], _Instance] = {}
        self._offset = -1
        self._heard_ms = 0
        self.at_ms = 0
        """The broker's clock at the newest heartbeat."""

    def on_heartbeat(self, beat: Heartbeat, at_ms: int, offset: int) -> None:
        """Take the next one.

        Args:
            beat: The record.
            at_ms: When the broker had it, Unix milliseconds.
            offset: Where it lies.
        """
        passed_ms = max(0, at_ms - self.at_ms) if self.at_ms else 0
        was_heard = offset != self._offset + 1
        self._pass(passed_ms if was_heard else min(passed_ms, 2 * beat.every_ms), max(at_ms, self.at_ms))
        self._offset = offset
        key = beat.service, beat.instance
        known = self._instances.get(key)
        if known is None:
            self._instances[key] = _Instance(beat, at_ms, self._heard_ms, at_ms, [beat.started_at_ms])
        elif beat.started_at_ms == known.processes[-1]:
            known.beat, known.at_ms, known.heard_ms = beat, at_ms, self._heard_ms
        elif beat.started_at_ms not in known.processes:  # else it was suspended, and has a successor
            self._instances[key] = self._succeeded(known, beat, at_ms)

    def nobody_until(self, now_ms: int) -> None:
        """It was listened until *now_ms*, and nobody was heard."""
        self._pass(max(0, now_ms - self.at_ms), max(now_ms, self.at_ms))

    def faults(self, patience: Patience) -> Faults:
        """What is wrong now."""
        services: dict[str, list[_Instance]] = {}
        for (service, _), instance in sorted(self._instances.items()):
            if instance.beat.state != "stopped":
                services.setdefault(service, []).append(instance)
        found = {service: self._faults_of(service, own, patience) for service, own in services.items()}
        return Faults(self.at_ms, {service: faults for service, faults in found.items() if faults})

    def instances(self) -> list[Heartbeat]:
        """The newest heartbeat of each instance, by name."""
        return [instance.beat for _, instance in sorted(self._instances.items())]

    # -- within

    def _pass(self, heard_ms: int, at_ms: int) -> None:
        self._heard_ms += heard_ms
        self.at_ms = at_ms

    def _succeeded(self, before: _Instance, beat: Heartbeat, at_ms: int) -> _Instance:
        is_restart = before.beat.state != "stopped"
        return _Instance(
            beat,
            at_ms,
            self._heard_ms,
            at_ms,
            [*before.processes[1 - _PROCESSES_MOST :], beat.started_at_ms],
            [*before.restarts[1 - STARTS_MOST :], at_ms] if is_restart else before.restarts,
            before.beat.detail if is_restart else "",
        )

    def _faults_of(self, service: str, own: list[_Instance], patience: Patience) -> tuple[ServiceFault, ...]:
        gone = [each for each in own if self._is_gone(each, patience)]
        if len(gone) < len(own):
            gone = [each for each in gone if self._heard_ms - each.heard_ms < _FORGOTTEN_MS]
        looping = [each for each in own if self._is_looping(each, patience)]
        problems: dict[tuple[str, str], ServiceFault] = {}
        for each in own:
            for problem in each.beat.problems:
                fault = ServiceFault(
                    service,
                    problem.kind,
                    problem.subject,
                    problem.since_ms,
                    f"{problem.subject}: {problem.detail}" if problem.subject else problem.detail,
                    problem.model,
                    problem.version,
                )
                problems.setdefault((problem.kind, problem.subject), fault)
        down = [_down(service, own, gone, looping, patience)] if gone or looping else []
        return (*down, *problems.values())

    def _is_gone(self, each: _Instance, patience: Patience) -> bool:
        return self._heard_ms - each.heard_ms > max(patience.down_ms, _PERIODS * each.beat.every_ms)

    def _is_looping(self, each: _Instance, patience: Patience) -> bool:
        recent = [at_ms for at_ms in each.restarts if self.at_ms - at_ms <= patience.loop_ms]
        steady_ms = patience.loop_ms / patience.loop_starts
        is_steady = each.beat.state != "failed" and each.at_ms - each.began_ms > steady_ms
        return len(recent) >= patience.loop_starts and not is_steady


def _down(
    service: str, own: list[_Instance], gone: list[_Instance], looping: list[_Instance], patience: Patience
) -> ServiceFault:
    sentences = [f"{each.name} is in a crash loop{_because(each.beat.detail or each.last_end)}" for each in looping]
    if lost := [each for each in gone if each not in looping]:
        whom = service if len(lost) == len(own) else f"{len(lost)} of {len(own)} workers of {service}"
        failed = next((each.beat.detail for each in lost if each.beat.state == "failed"), "")
        names = ", ".join(each.name for each in lost)
        sentences.append(f"No sign of life from {whom} ({names}){_because(failed) or _KILLED}")
    began_ms = [each.restarts[-patience.loop_starts] for each in looping] + [each.at_ms for each in lost]
    return ServiceFault(service, SERVICE_DOWN, "", min(began_ms), ". ".join(sentences))


def _because(words: str) -> str:
    return f": {words.rstrip('.')}" if words else ""
