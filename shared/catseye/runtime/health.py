"""Whether a process lives and is ready, and its metrics, over HTTP: /live, /ready, /metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from catseye.contract.errors import Unavailable
from catseye.contract.records import Backlog
from catseye.runtime.health_server import StartResponse, answer, serve
from catseye.runtime.metrics import Metrics

STILL_S = 60.0  # a worker that gave no sign for so long is taken for dead; as long as its poll interval
LOGGED_EVERY_S = 10.0  # faults that repeat are logged at most so often,
CAUSES_MOST = 10  # and at most so many of them in that time: a cause that names an offset is another one each time


class Health:
    """Listens to a worker: keeps its metrics, knows whether it lives and is ready.

    Args:
        metrics: Of this process.
        log: Gets an event name and fields for what an operator should see.
        monotonic: Seconds that only grow.
        quiet_s: A worker that gave no sign for so long is not ready.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: Callable[..., None],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        quiet_s: float = STILL_S,
    ) -> None:
        self._quiet_s = quiet_s
        self._metrics = metrics
        self._log = log
        self._monotonic = monotonic
        self._beat_at = monotonic()
        self._logged_at: dict[str, float] = {}
        self._assigned = False
        self._connected = True
        self.backlogs: list[Backlog] = []
        """What waits for it, by topic, as it was last looked at; empty while nothing is known."""
        metrics.ready.set_function(lambda: self.ready)

    def beat(self) -> None:
        self._beat_at = self._monotonic()

    def assigned(self, partitions: int, *, ready: bool) -> None:
        self._assigned = ready
        self._metrics.partitions.set(partitions)
        self._log("assigned", partitions=partitions, ready=ready)

    def connected(self, *, connected: bool) -> None:
        self._connected = connected
        self._log("connected" if connected else "disconnected")

    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None:
        self._metrics.records.inc(records)
        for event, count in events.items():
            self._metrics.events.labels(event).inc(count)
        self._metrics.transaction_records.observe(records)
        self._metrics.work_seconds.observe(work_s)
        self._metrics.commit_seconds.observe(commit_s)

    def aborted(self, cause: str) -> None:
        self._metrics.aborts.inc()
        now_s = self._monotonic()
        recent = {known: at_s for known, at_s in self._logged_at.items() if now_s - at_s <= LOGGED_EVERY_S}
        if cause not in recent and len(recent) < CAUSES_MOST:
            recent[cause] = now_s
            self._log("aborted", cause=cause)
        self._logged_at = recent

    def waiting(self, backlogs: list[Backlog] | None) -> None:
        """What waits for it; None when that cannot be known. Heartbeats carry it to doctor and to pages."""
        self.backlogs = backlogs or []
        lag, oldest = self._metrics.lag_records, self._metrics.oldest_record_seconds
        lag.clear()
        oldest.clear()
        for backlog in self.backlogs:
            lag.labels(backlog.topic).set(backlog.records)
            oldest.labels(backlog.topic).set(backlog.oldest_ms / 1_000)

    @property
    def ready(self) -> bool:
        """Whether it works on its partitions: they are assigned and restored, a broker answers, the worker moves."""
        return self._assigned and self._connected and self._monotonic() - self._beat_at < self._quiet_s

    @property
    def live(self) -> bool:
        return self._monotonic() - self._beat_at < STILL_S

    @property
    def beat_at(self) -> float:
        """When the worker last gave a sign, seconds of the monotonic clock."""
        return self._beat_at

    def application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI: 200 when true, 503 when not."""
        return answer(environ, start_response, self._metrics.registry, live=self.live, ready=self.ready)

    def serve(self, host: str, port: int) -> int:
        """Answer from a thread of its own.

        Returns:
            The port, which is chosen when *port* is 0.

        Raises:
            Unavailable: somebody else has the port.
        """
        try:
            return serve(self.application, host, port)
        except OSError as fault:
            raise Unavailable(f"CATSEYE_HEALTH_PORT {port} of {host} cannot be had: {fault.strerror}") from fault


class Watchdog:
    """Tells a worker that will never come back from one that is slow.

    It counts checks, not time: a process that was stopped from outside and goes on was not stuck.

    Args:
        checks: How many checks in a row without a heartbeat make it stuck.
    """

    def __init__(self, checks: int) -> None:
        self._checks = checks
        self._missed = 0
        self._beat_at = float("-inf")

    def check(self, beat_at: float) -> bool:
        """Whether the worker is stuck, given when it last gave a sign."""
        self._missed = self._missed + 1 if beat_at == self._beat_at else 0
        self._beat_at = beat_at
        return self._missed >= self._checks
