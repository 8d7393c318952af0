"""Between the core and the senders: attempts that are on the log go out, each route on a thread of its own, and what
became of them waits until the core has it on the log.

A route has one attempt at a time, so a thread has nothing to put in order. A sender that does not come back stops its
route and nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from catseye.contract.alert_kinds import ROUTE_FAILING
from services.notifier.known import Attempt, Result
from services.notifier.senders.parcel import Sender

Key = tuple[str, int]


class Post:
    """Satisfies `services.notifier.notifier_state.Desk`.

    Args:
        senders: By name of the route; what is secret is in none of their results.
        problems: Is told of routes that fail: `catseye.runtime.heartbeats.Problems`.
        log: Gets an event name and fields.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        problems: Any,
        log: Callable[..., object],
    ) -> None:
        self._senders = senders
        self._problems = problems
        self._log = log
        self._lock = Lock()
        self._under_way: set[Key] = set()
        self._results: dict[Key, Result] = {}
        self._failing: dict[str, str] = {}
        self._queues: dict[str, SimpleQueue[Attempt]] = {}
        for name, sender in senders.items():
            queue = self._queues[name] = SimpleQueue()
            Thread(target=self._run, args=(name, sender, queue), name=f"route {name}", daemon=True).start()

    def results(self) -> Sequence[Result]:
        """As `Desk.results`."""
        with self._lock:
            return list(self._results.values())

    def knows(self, key: Key) -> bool:
        """As `Desk.knows`."""
        with self._lock:
            return key in self._under_way or key in self._results

    def committed(self, started: Sequence[Attempt], settled: Iterable[Key], failing: Mapping[str, str]) -> None:
        """As `Desk.committed`."""
        with self._lock:
            for key in settled:
                self._results.pop(key, None)
            self._under_way.update(attempt.key for attempt in started)
        for attempt in started:
            self._queues[attempt.route].put(attempt)
        self._report(failing)

    def _run(self, name: str, sender: Sender, queue: "SimpleQueue[Attempt]") -> None:
        while True:
            attempt = queue.get()
            result = sender.send(attempt)
            with self._lock:
                self._under_way.discard(attempt.key)
                self._results[attempt.key] = result
            if result.outcome != "delivered":
                self._log("not_delivered", route=name, outcome=result.outcome, what=result.detail)

    def _report(self, failing: Mapping[str, str]) -> None:
        for name in self._failing.keys() - failing.keys():
            self._problems.withdraw(ROUTE_FAILING, name)
        for name, detail in failing.items():
            if self._failing.get(name) != detail:
                self._problems.report(ROUTE_FAILING, name, detail)
        self._failing = dict(failing)
