"""Telegram: a bot posts a message and edits it (sendMessage, editMessageText). Telegram knows no idempotency key."""

from typing import Final

import msgspec

from services.notifier.known import Attempt, Result
from services.notifier.routes import Telegram
from services.notifier.senders.http import Http
from services.notifier.senders.parcel import Surroundings, plain, title

_TEXT_MOST: Final = 4_000
_SAME: Final = "message is not modified"
_ROUTE_FAULTS: Final = ("chat not found", "bot was", "not enough rights", "need administrator")


class TelegramSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Telegram, around: Surroundings) -> None:
        self._route = route
        self._around = around
        self._http = Http(around.timeout_s)

    def send(self, attempt: Attempt) -> Result:
        # No parse_mode: what cameras and people call things is no markup.
        text = f"{title(attempt)}\n\n{plain(attempt, self._around)}"[:_TEXT_MOST]
        body: dict[str, object] = {"chat_id": self._route.chat, "text": text}
        method = "sendMessage"
        if attempt.ref:
            body["message_id"], method = int(attempt.ref), "editMessageText"
        url = f"{self._route.server.rstrip('/')}/bot{self._route.token}/{method}"
        answer = self._http.ask("POST", url, msgspec.json.encode(body))
        outcome, detail, wait_ms = answer.outcome, answer.detail, answer.retry_after_ms
        if answer.body.get("ok") is not True and answer.status:
            said = str(answer.body.get("description", "something that is not of Telegram"))
            outcome, detail = _meaning(answer.outcome, said), f"Telegram answered: {said}"
            asked = answer.body.get("parameters")
            if isinstance(asked, dict) and isinstance(asked.get("retry_after"), int):
                wait_ms = asked["retry_after"] * 1_000
        found = answer.body.get("result")
        number = found.get("message_id", "") if isinstance(found, dict) else ""
        return Result(attempt.key, outcome, detail, attempt.ref or str(number), wait_ms)  # type: ignore[arg-type]


def _meaning(outcome: str, said: str) -> str:
    """Telegram answers 400 also to what is a fault of the route."""
    if _SAME in said:
        return "delivered"
    if outcome == "delivered" or any(each in said for each in _ROUTE_FAULTS):
        return "failed"
    return outcome
