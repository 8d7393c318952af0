"""State of the notifier: alerts, messages, routes, owners. Handed over to the senders only once it is on the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from catseye.runtime.state_format import Format
from services.notifier.facts import Fact, Incident, incident_of
from services.notifier.known import FACTS, MESSAGES, OWNERS, ROUTES, Attempt, Message, Result, RouteState

_FACT, _MESSAGE, _ROUTE, _OWNER = b"f", b"m", b"r", b"o"
_FORMATS: Final[Mapping[bytes, Format[Any]]] = {_FACT: FACTS, _MESSAGE: MESSAGES, _ROUTE: ROUTES, _OWNER: OWNERS}
_UNUSED: Final = RouteState()
Key = tuple[str, str]
"""Incident and route."""


class Desk(Protocol):
    """Where attempts lie for the senders, and their results for the core."""

    def results(self) -> Sequence[Result]:
        """Those that no commit has settled."""

    def knows(self, key: tuple[str, int]) -> bool:
        """Whether an attempt was handed over in the life of this process, and is not settled."""

    def committed(
        self, started: Sequence[Attempt], settled: Iterable[tuple[str, int]], failing: Mapping[str, str]
    ) -> None:
        """It is on the log that these attempts started, those are settled, and which routes fail and why."""


class NotifierState:
    """Satisfies `catseye.runtime.stream.State`.

    Args:
        desk: Gets what is committed.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._values: dict[bytes, object] = {}
        self._before: dict[bytes, object | None] = {}
        self._facts: dict[str, dict[str, Fact]] = {}  # by incident
        self._incidents: dict[str, Incident] = {}  # as computed since the last change
        self._messages: dict[str, dict[str, Message]] = {}  # by incident, by route
        self._routes: dict[str, RouteState] = {}
        self._started: list[Attempt] = []
        self._settled: list[tuple[str, int]] = []
        self.failing: dict[str, str] = {}
        """Routes that fail, and why: as of the transaction under way."""
        self.active: set[Key] = set()
        """Messages that something may be due of."""

    # -- what is known

    def incident(self, incident_id: str) -> Incident | None:
        """An incident; None where nothing is known of it any more."""
        if incident_id not in self._incidents and (facts := self._facts.get(incident_id)):
            self._incidents[incident_id] = incident_of(facts)
        return self._incidents.get(incident_id)

    def incidents(self) -> list[str]:
        """Ids of all."""
        return list(self._facts)

    def facts(self, incident_id: str) -> list[Fact]:
        """All of an incident."""
        return list(self._facts.get(incident_id, {}).values())

    def fact(self, incident_id: str, fact_id: str) -> Fact | None:
        """One of an incident."""
        return self._facts.get(incident_id, {}).get(fact_id)

    def put_fact(self, fact: Fact) -> None:
        """Remember *fact*; each message of its incident is looked at."""
        self._put(_FACT + f"{fact.incident_id}\0{fact.fact_id}".encode(), fact)
        self.active.update((fact.incident_id, route) for route in self._messages.get(fact.incident_id, ()))

    def message(self, incident_id: str, route: str) -> Message | None:
        """An incident on a route; None where the route has nothing to do with it."""
        return self._messages.get(incident_id, {}).get(route)

    def messages(self, incident_id: str) -> list[Message]:
        """An incident on all its routes."""
        return list(self._messages.get(incident_id, {}).values())

    def put_message(self, message: Message) -> None:
        """Remember it."""
        self._put(_message_key(message), message)
        self.active.add((message.incident_id, message.route))

    def route(self, name: str) -> RouteState:
        """A route; of one that nothing was sent by, nothing."""
        return self._routes.get(name, _UNUSED)

    def routes(self) -> list[str]:
        """Names of all that something is known of."""
        return list(self._routes)

    def put_route(self, name: str, route: RouteState | None) -> None:
        """Remember it; None forgets it."""
        self._put(_ROUTE + name.encode(), route)

    def owner(self, model: str) -> str:
        """Whom a model names; empty: nobody."""
        found = self._values.get(_OWNER + model.encode())
        return found if isinstance(found, str) else ""

    def put_owner(self, model: str, owner: str) -> None:
        """Remember it."""
        self._put(_OWNER + model.encode(), owner)

    def forget(self, incident_id: str) -> None:
        """Nothing of an incident is of interest any more."""
        for fact in self.facts(incident_id):
            self._put(_FACT + f"{incident_id}\0{fact.fact_id}".encode(), None)
        for message in self.messages(incident_id):
            self._put(_message_key(message), None)
            self.active.discard((incident_id, message.route))

    # -- attempts

    def start(self, attempt: Attempt) -> None:
        """It is sent as soon as this is on the log."""
        self._started.append(attempt)

    def settle(self, key: tuple[str, int]) -> None:
        """Its result is known to the state from this transaction on."""
        self._settled.append(key)

    # -- for the worker

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._set(key, None if value is None else _FORMATS[key[:1]].read(value))

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        now = {key: self._values.get(key) for key in self._before}
        return [(key, None if value is None else _FORMATS[key[:1]].write(value)) for key, value in now.items()]

    def commit(self) -> None:
        self._before.clear()
        self._desk.committed(self._started, self._settled, self.failing)
        self._started, self._settled = [], []

    def rollback(self) -> None:
        for key, value in self._before.items():
            self._set(key, value)
        self._before.clear()
        self._started, self._settled = [], []
        self.active = {(incident_id, route) for incident_id, own in self._messages.items() for route in own}

    # -- within

    def _put(self, key: bytes, value: object | None) -> None:
        now = self._values.get(key)
        if now != value:
            self._before.setdefault(key, now)
            self._set(key, value)

    def _set(self, key: bytes, value: object | None) -> None:
        gone = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        one = value if value is not None else gone
        if isinstance(one, Fact):
            self._incidents.pop(one.incident_id, None)
            _kept(self._facts, one.incident_id, one.fact_id, value)
        elif isinstance(one, Message):
            _kept(self._messages, one.incident_id, one.route, value)
            self.active.add((one.incident_id, one.route))
        elif isinstance(value, RouteState):
            self._routes[key[1:].decode()] = value
        elif isinstance(one, RouteState):
            del self._routes[key[1:].decode()]


def _message_key(message: Message) -> bytes:
    return _MESSAGE + f"{message.incident_id}\0{message.route}".encode()


def _kept(index: dict[str, dict[str, Any]], group: str, name: str, value: object | None) -> None:
    """Put *value* into an index of two levels; None takes it out, and an empty level with it."""
    own = index.setdefault(group, {})
    if value is None:
        own.pop(name, None)
    else:
        own[name] = value
    if not own:
        del index[group]
