"""What a route sends next: the message that has been due longest, or a digest. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.records import NotificationAction
from services.notifier.content import Content, content_of
from services.notifier.facts import Incident, Shown
from services.notifier.hours import is_open
from services.notifier.known import Attempt, Message
from services.notifier.notifier_state import Key, NotifierState
from services.notifier.policy import HOUR_MS, Patience, edit_due_ms
from services.notifier.routes import AnyRoute, Config


class Selection(msgspec.Struct, frozen=True):
    """What a route is to send.

    Attributes:
        messages: Those that are due, in the order in which they became so; more than one is a digest.
        due_ms: When the first one became due.
        is_edit: Whether the incident's first message was delivered before.
        is_digest: Whether it is a digest, of however many.
        settled: Messages of which nothing is due until their incident changes.
    """

    messages: tuple[Message, ...] = ()
    due_ms: int = 0
    is_edit: bool = False
    is_digest: bool = False
    settled: tuple[Key, ...] = ()


def selected(
    known: NotifierState, config: Config, route: AnyRoute, keys: Iterable[Key], patience: Patience, now_ms: int
) -> Selection:
    """What *route* sends next, of the messages *keys*.

    Args:
        known: The state.
        config: The file.
        route: One that is free.
        keys: Messages that something may be due of.
        patience: How long what is waited for.
        now_ms: Unix milliseconds.
    """
    firsts: list[Message] = []
    edits: list[tuple[int, Message]] = []
    settled: list[Key] = []
    for key in keys:
        message, incident = known.message(*key), known.incident(key[0])
        if message is None or incident is None:
            settled.append(key)
        elif message.shown is None:
            if incident.shown.state in ("open", "news"):
                firsts.append(message)
            elif not _may_escalate(route, message):
                settled.append(key)  # it was over, seen or quiet before anybody was told: it waits for its next change
        else:
            due_ms = _edit_due_ms(route, message, incident)
            if due_ms is not None:
                edits.append((due_ms, message))
            elif not _may_escalate(route, message) or incident.shown.state != "open":
                settled.append(key)
    chosen = _next(config, route, known.route(route.name).firsts_ms, firsts, edits, patience, now_ms)
    return replace(chosen, settled=tuple(settled))


def begun(known: NotifierState, route: AnyRoute, found: Selection, now_ms: int) -> Attempt:
    """The first attempt to send *found*."""
    first = found.messages[0]
    action: NotificationAction = "digest" if found.is_digest else "edit" if found.is_edit else "message"
    parts = [f"{message.incident_id}/{message.count}" for message in found.messages]
    contents, shown = _contents_of(known, found.messages, now_ms)
    return Attempt(
        notification_id=digest("notification", route.name, action, *parts),
        route=route.name,
        action=action,
        contents=contents,
        shown=shown,
        ref=first.ref if found.is_edit else "",
        first_id=first.first_id if found.is_edit else "",
        due_ms=found.due_ms,
        first_at_ms=now_ms,
        at_ms=now_ms,
    )


def refreshed(known: NotifierState, attempt: Attempt, now_ms: int) -> Attempt:
    """The next try of *attempt*: with what is so now where the server surely does not have it, else as it was."""
    again = replace(attempt, number=attempt.number + 1, at_ms=now_ms, is_running=True)
    messages = [known.message(content.incident_id, attempt.route) for content in attempt.contents]
    there = [message for message in messages if message is not None]
    if attempt.is_uncertain or len(there) < len(messages):
        return again
    contents, shown = _contents_of(known, there, now_ms)
    return replace(again, contents=contents, shown=shown)


def _contents_of(
    known: NotifierState, messages: Sequence[Message], now_ms: int
) -> tuple[tuple[Content, ...], tuple[Shown, ...]]:
    contents, shown = [], []
    for message in messages:
        incident = known.incident(message.incident_id)
        assert incident is not None, "an incident is not forgotten while a message is due"
        contents.append(content_of(incident, message.count, now_ms, escalated_from=message.by_escalation))
        shown.append(incident.shown)
    return tuple(contents), tuple(shown)


def _next(
    config: Config,
    route: AnyRoute,
    firsts_ms: tuple[int, ...],
    firsts: list[Message],
    edits: list[tuple[int, Message]],
    patience: Patience,
    now_ms: int,
) -> Selection:
    if not firsts and not edits:
        return Selection()
    urgent = [message for message in firsts if message.by_escalation]
    if not is_open(route.spans, config.zone, now_ms):
        firsts, edits = urgent, []
    digest_of = [message for message in firsts if not message.by_escalation]
    full = len(firsts_ms) >= route.most_per_h and now_ms - firsts_ms[0] < HOUR_MS
    if digest_of and (route.digest_m or full):
        due_ms = min(message.due_ms for message in digest_of) + round(route.digest_m * 60_000)
        if full:
            due_ms = max(due_ms, firsts_ms[-1] + patience.overflow_ms)
        firsts = urgent
        if due_ms <= now_ms:
            return Selection(tuple(sorted(digest_of, key=_order)), due_ms, is_digest=True)
    due = [(message.due_ms, False, message) for message in firsts]
    due = [(due_ms + patience.settle_ms, is_edit, message) for due_ms, is_edit, message in due]
    due += [(due_ms, True, message) for due_ms, message in edits]
    ready = [each for each in due if each[0] <= now_ms]
    if not ready:
        return Selection()
    due_ms, is_edit, message = min(ready, key=lambda each: (each[0], each[2].incident_id))
    return Selection((message,), due_ms, is_edit)


def _edit_due_ms(route: AnyRoute, message: Message, incident: Incident) -> int | None:
    return edit_due_ms(message, incident.shown, edits=route.edits and bool(message.ref)) if message.first_id else None


def _may_escalate(route: AnyRoute, message: Message) -> bool:
    return route.escalate is not None and not message.escalated


def _order(message: Message) -> tuple[int, str]:
    return message.due_ms, message.incident_id
