"""Alerts and steps of models in; decisions which message goes out on which route, and when. Law: an incident has one
message a route; what was due is sent however often the process dies, by the same key each time; one that waits is tried
with growing pauses, and whatever comes meanwhile waits behind it, so that nothing comes out of order or all at once.

An attempt is in the state before it is sent, and its result is in the state before the next one: a process that died
in between finds an attempt that nobody knows the end of. That may have arrived; it is sent again as it was.

Time is our clock. A start waits with first messages until what was written meanwhile is read: much of it is over.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from catseye.contract.records import Alert, ModelEvent, Notification, NotificationResult
from catseye.runtime.stream import Tally
from services.notifier.facts import Fact, fact_of_alert, fact_of_step
from services.notifier.known import Attempt, Message, Result
from services.notifier.notifier_state import Desk, Key, NotifierState
from services.notifier.policy import Patience, retry_ms
from services.notifier.routes import AnyRoute, Config, chosen
from services.notifier.selection import begun, refreshed, selected

QUIET_MS: Final = 1_000
"""Nothing came for so long: all that was written meanwhile is read."""
SWEEP_MS: Final = 60_000
LOST: Final = "the notifier ended before it knew what became of it"


class NotifierCore(Tally):
    """Decides what is sent.

    Args:
        config: The routes.
        patience: How long what is waited for.
        desk: Where results come from.
    """

    def __init__(self, config: Config, patience: Patience, desk: Desk) -> None:
        super().__init__()
        self._config = config
        self._patience = patience
        self._desk = desk
        self._routes = config.by_name
        self._began_ms = 0  # our clock at the first record or tick, at the last record,
        self._record_ms = 0
        self._is_current = False  # and whether all that was written before the start is read
        self._swept_ms = 0

    def new_state(self) -> NotifierState:
        self._began_ms, self._is_current, self._swept_ms = 0, False, 0
        return NotifierState(self._desk)

    # -- records

    def on_alert(self, alert: Alert, _: object, known: NotifierState, now_ms: int) -> list[Notification]:
        """An alert is otherwise than before."""
        self._record_ms = now_ms
        self._take(fact_of_alert(alert), known, now_ms)
        self.events["alert"] += 1
        return []

    def on_model_event(self, event: ModelEvent, _: object, known: NotifierState, now_ms: int) -> list[Notification]:
        """A version of a model is another thing than before."""
        self._record_ms = now_ms
        if event.owner is not None:
            known.put_owner(event.model, event.owner)
        fact = fact_of_step(event)
        if fact is not None and now_ms - fact.at_ms < self._patience.news_ms:
            self._take(fact, known, now_ms)
            self.events["step"] += 1
        return []

    # -- time

    def on_time(self, states: Mapping[int, NotifierState], now_ms: int) -> list[Notification]:
        """Take results, and begin what is due."""
        self._began_ms = self._began_ms or now_ms
        quiet = now_ms - max(self._record_ms, self._began_ms) >= QUIET_MS
        self._is_current |= quiet or now_ms - self._began_ms >= self._patience.catch_up_ms
        written: list[Notification] = []
        for known in states.values():
            written += self._results_taken(known, now_ms)
            self._escalated(known, now_ms)
            self._begin(known, now_ms)
            if now_ms - self._swept_ms >= SWEEP_MS:
                self._swept(known, now_ms)
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
        return written

    # -- within

    def _take(self, fact: Fact, known: NotifierState, now_ms: int) -> None:
        before = known.incident(fact.incident_id)
        was = known.fact(fact.incident_id, fact.fact_id)
        if was is not None and was.at_ms > fact.at_ms:
            return
        known.put_fact(fact)
        if fact.state in ("open", "news"):
            owner = known.owner(fact.model) if fact.model else ""
            for name in chosen(self._config, fact, owner, known.failing):
                if known.message(fact.incident_id, name) is None:
                    known.put_message(Message(incident_id=fact.incident_id, route=name, due_ms=now_ms))
        if fact.state == "open" and (before is None or before.shown.state != "open"):
            for message in known.messages(fact.incident_id):
                due_ms = now_ms if message.shown is None else message.due_ms
                known.put_message(replace(message, due_ms=due_ms, open_since_ms=now_ms, escalated=False))

    def _results_taken(self, known: NotifierState, now_ms: int) -> list[Notification]:
        """What the senders brought, and what nobody will bring any more."""
        results = {result.key: result for result in self._desk.results()}
        written = []
        for name in known.routes():
            attempt = known.route(name).attempt
            if name not in self._routes:
                known.put_route(name, None)  # it was taken out of the file
                continue
            if attempt is None or not attempt.is_running:
                continue
            result = results.get(attempt.key)
            of_ms = now_ms
            if result is None and not self._desk.knows(attempt.key):
                result, of_ms = Result(attempt.key, "uncertain", LOST), attempt.at_ms
            if result is not None:
                known.settle(attempt.key)
                written.append(self._ended(known, self._routes[name], attempt, result, of_ms, now_ms))
        known.failing = {
            name: route.detail
            for name in known.routes()
            if (route := known.route(name)).failing_since_ms
            and now_ms - route.failing_since_ms >= self._patience.failing_ms
        }
        return written

    def _ended(
        self, known: NotifierState, route: AnyRoute, attempt: Attempt, result: Result, of_ms: int, now_ms: int
    ) -> Notification:
        """An attempt has come to an end at *of_ms*."""
        state = known.route(route.name)
        ended: NotificationResult = "failed"
        if result.outcome in ("delivered", "refused"):
            ended = "delivered" if result.outcome == "delivered" else "refused"
            firsts = state.firsts_ms if attempt.action == "edit" else (*state.firsts_ms, now_ms)
            state = replace(state, attempt=None, failing_since_ms=0, detail="", next_ms=0)
            known.put_route(route.name, replace(state, firsts_ms=firsts[-route.most_per_h :]))
            self._noted(known, attempt, result.ref, now_ms)
        elif of_ms - attempt.first_at_ms >= self._patience.give_up_ms:
            ended = "given_up"
            known.put_route(route.name, replace(state, attempt=None, detail=result.detail))
            self._noted(known, attempt, "", now_ms)
        else:
            waits_ms = retry_ms(self._patience, attempt.number, result.retry_after_ms)
            is_uncertain = attempt.is_uncertain or result.outcome == "uncertain"
            attempt = replace(attempt, is_running=False, is_uncertain=is_uncertain)
            state = replace(state, attempt=attempt, next_ms=of_ms + waits_ms, detail=result.detail)
            known.put_route(route.name, replace(state, failing_since_ms=state.failing_since_ms or of_ms))
        self.events[f"{attempt.action}_{ended}"] += 1
        return notification(route, attempt, ended, result.detail, now_ms)

    def _noted(self, known: NotifierState, attempt: Attempt, ref: str, now_ms: int) -> None:
        """The messages that an attempt was about show what it said: nothing of it is due any more."""
        for content, shown in zip(attempt.contents, attempt.shown, strict=True):
            message = known.message(content.incident_id, attempt.route)
            assert message is not None, "an incident is not forgotten while an attempt is about it"
            known.put_message(
                replace(
                    message,
                    count=message.count + 1,
                    edits=message.edits + (attempt.action == "edit"),
                    shown=shown,
                    shown_at_ms=now_ms,
                    ref=ref if attempt.action == "message" else message.ref,
                    first_id=attempt.notification_id if attempt.action == "message" else message.first_id,
                )
            )

    def _escalated(self, known: NotifierState, now_ms: int) -> None:
        """Where nobody acknowledged in time, the next one is told."""
        for incident_id, name in sorted(known.active):
            message = known.message(incident_id, name)
            escalation = self._routes[name].escalate if name in self._routes else None
            if message is None or escalation is None or message.escalated:
                continue
            incident = known.incident(incident_id)
            due_ms = message.open_since_ms + round(escalation.after_m * 60_000)
            if incident is None or incident.shown.state != "open" or now_ms < due_ms:
                continue
            known.put_message(replace(message, escalated=True))
            if known.message(incident_id, escalation.to) is None:
                known.put_message(
                    Message(
                        incident_id=incident_id,
                        route=escalation.to,
                        due_ms=now_ms,
                        open_since_ms=now_ms,
                        by_escalation=name,
                    )
                )
            self.events["escalated"] += 1

    def _begin(self, known: NotifierState, now_ms: int) -> None:
        """Begin on each route that is free what is due there."""
        waiting: dict[str, list[Key]] = {}
        for key in known.active:
            waiting.setdefault(key[1], []).append(key)
        for name in sorted({*waiting, *known.routes()}):
            route, state = self._routes.get(name), known.route(name)
            if route is None:  # it was taken out of the file
                known.active.difference_update(waiting.get(name, ()))
                continue
            if (state.attempt is not None and state.attempt.is_running) or now_ms < state.next_ms:
                continue
            if state.attempt is not None:
                attempt = refreshed(known, state.attempt, now_ms)
            else:
                found = selected(known, self._config, route, waiting.get(name, ()), self._patience, now_ms)
                known.active.difference_update(found.settled)
                if not found.messages or not (self._is_current or found.is_edit):
                    continue
                attempt = begun(known, route, found, now_ms)
            known.put_route(name, replace(state, attempt=attempt, next_ms=0))
            known.start(attempt)

    def _swept(self, known: NotifierState, now_ms: int) -> None:
        """Forget incidents that are over for long, and messages of routes that are no more."""
        busy = {
            content.incident_id
            for name in known.routes()
            if (attempt := known.route(name).attempt)
            for content in attempt.contents
        }
        for incident_id in known.incidents():
            incident = known.incident(incident_id)
            assert incident is not None
            newest_ms = max(
                [fact.at_ms for fact in known.facts(incident_id)]
                + [message.shown_at_ms for message in known.messages(incident_id)]
            )
            over = incident.shown.state in ("resolved", "news")
            if over and incident_id not in busy and now_ms - newest_ms >= self._patience.forget_ms:
                known.forget(incident_id)


def notification(
    route: AnyRoute, attempt: Attempt, ended: NotificationResult, detail: str, now_ms: int
) -> Notification:
    """The record of an attempt that has ended."""
    return Notification(
        notification_id=attempt.notification_id,
        incident_id=attempt.contents[0].incident_id,
        route=route.name,
        channel=route.channel,
        action=attempt.action,
        result=ended,
        attempt=attempt.number,
        detail=detail,
        title=attempt.contents[0].title,
        incidents=len(attempt.contents),
        due_at_ms=attempt.due_ms,
        at_ms=now_ms,
    )
