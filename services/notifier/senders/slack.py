"""Slack: a bot posts a message and edits it (chat.postMessage, chat.update). Slack knows no idempotency key."""

from typing import Final

import msgspec

from services.notifier.known import Attempt, Result
from services.notifier.routes import Slack
from services.notifier.senders.http import Http
from services.notifier.senders.parcel import Surroundings, plain, title

_NEVER: Final = ("message_not_found", "cant_update_message", "edit_window_closed", "msg_too_long", "no_text")
_TEXT_MOST: Final = 3_500


class SlackSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Slack, around: Surroundings) -> None:
        self._route = route
        self._around = around
        self._http = Http(around.timeout_s, {"Authorization": f"Bearer {route.token}"})

    def send(self, attempt: Attempt) -> Result:
        text = f"*{escaped(title(attempt))}*\n{escaped(plain(attempt, self._around))}"[:_TEXT_MOST]
        body = {"channel": self._route.conversation, "text": text, "unfurl_links": False}
        method = "chat.postMessage"
        if attempt.ref:
            body["ts"], method = attempt.ref, "chat.update"
        answer = self._http.ask("POST", f"{self._route.server.rstrip('/')}/{method}", msgspec.json.encode(body))
        outcome, detail = answer.outcome, answer.detail
        if outcome == "delivered" and answer.body.get("ok") is not True:
            said = str(answer.body.get("error", "something that is not of Slack"))
            outcome, detail = "refused" if said in _NEVER else "failed", f"Slack answered {said}"
        ref = attempt.ref or str(answer.body.get("ts", ""))
        return Result(attempt.key, outcome, detail, ref, answer.retry_after_ms)  # type: ignore[arg-type]


def escaped(text: str) -> str:
    """*text* as Slack shows it: no mention, no link that it does not name itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
