"""What the notifier remembers; every value is immutable. Formats of its state topic."""

from typing import Any, Final, Literal

import msgspec

from catseye.contract.records import NotificationAction
from catseye.runtime.state_format import Format
from services.notifier import NAME
from services.notifier.content import Content
from services.notifier.facts import Fact, Shown


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An incident on one route.

    Attributes:
        incident_id: The incident.
        route: Name of the route.
        due_ms: When the first message became due, Unix milliseconds.
        open_since_ms: Since when the incident is open; what escalation counts from.
        by_escalation: Name of the route that led here because nobody acknowledged; it does not wait for hours.
        escalated: Whether it has led to another route since it is open.
        count: Messages and edits that have ended; numbers the next one.
        edits: Those of them that were edits.
        shown: What the last one showed; None before the first.
        shown_at_ms: When that was.
        ref: What the channel calls the first message; empty where it cannot be edited.
        first_id: `notification_id` of the first message.
    """

    incident_id: str
    route: str
    due_ms: int
    open_since_ms: int = 0
    by_escalation: str = ""
    escalated: bool = False
    count: int = 0
    edits: int = 0
    shown: Shown | None = None
    shown_at_ms: int = 0
    ref: str = ""
    first_id: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way, or that is to be tried again.

    Attributes:
        notification_id: The same however often it is tried.
        route: Name of the route.
        action: What it is.
        contents: What it says, of each incident.
        shown: What that shows, of each.
        ref: What the channel calls the message that is edited; empty for a new one.
        first_id: `notification_id` of the incident's first message.
        number: Counts attempts from 1.
        due_ms: When it became due.
        first_at_ms: When it was first tried.
        at_ms: When it was last tried.
        is_running: Whether an end of this attempt is awaited; after a crash nobody will hear of it.
        is_uncertain: Whether the server may have it from one of the attempts: it is sent again as it was.
    """

    notification_id: str
    route: str
    action: NotificationAction
    contents: tuple[Content, ...]
    shown: tuple[Shown, ...]
    ref: str = ""
    first_id: str = ""
    number: int = 1
    due_ms: int
    first_at_ms: int
    at_ms: int
    is_running: bool = True
    is_uncertain: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Names this attempt among all."""
        return self.notification_id, self.number


class Result(msgspec.Struct, frozen=True):
    """How an attempt ended.

    Attributes:
        key: Of the attempt.
        outcome: delivered; failed, the server surely does not have it; uncertain, it may; refused, it never will.
        detail: Why, or what the server said; without secrets.
        ref: What the channel calls the message.
        retry_after_ms: What the server asks for; 0 for nothing.
    """

    key: tuple[str, int]
    outcome: Literal["delivered", "failed", "uncertain", "refused"]
    detail: str = ""
    ref: str = ""
    retry_after_ms: int = 0


class RouteState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A route.

    Attributes:
        attempt: The message on its way; each route has one at a time, so they come in order.
        next_ms: When it may be tried again.
        failing_since_ms: First fault since the last delivery; 0 while it works.
        detail: The newest fault.
        firsts_ms: When the newest first messages went out.
    """

    attempt: Attempt | None = None
    next_ms: int = 0
    failing_since_ms: int = 0
    detail: str = ""
    firsts_ms: tuple[int, ...] = ()


def _format(what: str, kind: Any) -> Format[Any]:
    decode = msgspec.msgpack.Decoder(kind).decode
    return Format(NAME, what, write=msgspec.msgpack.Encoder().encode, readers={1: decode})


FACTS: Final[Format[Fact]] = _format("what is known of an alert", Fact)
MESSAGES: Final[Format[Message]] = _format("a message", Message)
ROUTES: Final[Format[RouteState]] = _format("a route", RouteState)
OWNERS: Final[Format[str]] = _format("the owner of a model", str)
