"""Processes that write heartbeats, in virtual time: they start, end and refuse things when a test says so."""

from msgspec.structs import replace

from catseye.contract.records import Heartbeat, Problem, ProcessState
from catseye.runtime.presence import Faults, Patience, Presence, ServiceFault

START_MS = 1_800_000_000_000
EVERY_S = 3


class Processes:
    """A few services and the topic `heartbeats`.

    Args:
        patience: When absence is a fault.
        names: Processes that run from the start, ``SERVICE-INSTANCE``.
    """

    def __init__(self, *names: str, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.now_s = 0
        self.log: list[tuple[Heartbeat, int, int]] = []
        self.presence = Presence()
        self.broker_is_away = False
        self._running: dict[str, Heartbeat] = {}
        self._starts = 0
        for name in names:
            self.start(name)

    @property
    def now_ms(self) -> int:
        return START_MS + self.now_s * 1_000

    def start(self, name: str, state: ProcessState = "ready") -> None:
        """A new process."""
        service, _, instance = name.rpartition("-")
        self._starts += 1
        beat = Heartbeat(
            service=service,
            instance=instance,
            host="here",
            pid=self._starts,
            started_at_ms=self.now_ms + self._starts,
            at_ms=self.now_ms,
            every_ms=EVERY_S * 1_000,
            state=state,
        )
        self._running[name] = beat
        self.write(beat)

    def kill(self, name: str) -> Heartbeat:
        """It is gone, without a word."""
        return self._running.pop(name)

    def end(self, name: str, state: ProcessState = "stopped", detail: str = "") -> None:
        """It is gone, with a last heartbeat."""
        self.write(replace(self.kill(name), state=state, detail=detail))

    def has(self, name: str, *problems: Problem) -> None:
        """From now on it has these problems."""
        self._running[name] = replace(self._running[name], problems=list(problems))
        self.write(self._running[name])

    def write(self, beat: Heartbeat) -> None:
        """Put a heartbeat on the topic, if that can be had."""
        if not self.broker_is_away:
            self.log.append((beat, self.now_ms, len(self.log)))
            self.presence.on_heartbeat(*self.log[-1])

    def wait(self, seconds: int) -> None:
        """Let time pass; whatever runs writes its heartbeats."""
        for _ in range(seconds):
            self.now_s += 1
            if self.now_s % EVERY_S == 0:
                for beat in self._running.values():
                    self.write(beat)

    def read_again(self, *, compacted: bool = False) -> None:
        """A new reader; where the topic is *compacted*, of the heartbeats before the last minute only the newest of
        each process is there."""
        old = [row for row in self.log if row[1] < self.now_ms - 60_000]
        newest = {(beat.service, beat.instance): offset for beat, _, offset in old}
        self.presence = Presence()
        for beat, at_ms, offset in self.log:
            if not compacted or offset >= len(old) or newest[beat.service, beat.instance] == offset:
                self.presence.on_heartbeat(beat, at_ms, offset)

    @property
    def found(self) -> Faults:
        """What is wrong now."""
        return self.presence.faults(self.patience)

    @property
    def faults(self) -> list[ServiceFault]:
        """The same, in one list."""
        return [fault for faults in self.found.by_service.values() for fault in faults]


def refused(version: str, why: str = "its signature is not ours") -> Problem:
    """A model that is not served."""
    return Problem(
        kind="model_refused",
        subject=f"road {version}",
        detail=why,
        since_ms=START_MS,
        model="road",
        version=version,
    )
