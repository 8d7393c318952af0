"""Matrix: a message event, replaced by later ones (m.replace). The transaction id is the idempotency key."""

from html import escape
from urllib.parse import quote

import msgspec

from services.notifier.known import Attempt, Result
from services.notifier.routes import Matrix
from services.notifier.senders.http import Http
from services.notifier.senders.parcel import Surroundings, plain, title


class MatrixSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Matrix, around: Surroundings) -> None:
        self._route = route
        self._around = around
        self._http = Http(around.timeout_s, {"Authorization": f"Bearer {route.token}"})

    def send(self, attempt: Attempt) -> Result:
        event_content = _event_content(title(attempt), plain(attempt, self._around))
        body: dict[str, object] = dict(event_content)
        if attempt.ref:
            body = {
                **event_content,
                "body": f"* {event_content['body']}",
                "m.new_content": event_content,
                "m.relates_to": {"rel_type": "m.replace", "event_id": attempt.ref},
            }
        room, key = quote(self._route.room, safe=""), attempt.notification_id
        path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{key}"
        answer = self._http.ask("PUT", self._route.server.rstrip("/") + path, msgspec.json.encode(body))
        outcome, detail = answer.outcome, answer.detail
        if "errcode" in answer.body:
            detail = f"Matrix answered {answer.body['errcode']}: {answer.body.get('error', '')}"
        wait_ms = answer.body.get("retry_after_ms", answer.retry_after_ms)
        ref = attempt.ref or str(answer.body.get("event_id", ""))
        return Result(attempt.key, outcome, detail, ref, wait_ms if isinstance(wait_ms, int) else 0)  # type: ignore[arg-type]


def _event_content(first: str, text: str) -> dict[str, str]:
    shown = "<br>".join(escape(text).split("\n"))
    return {
        "msgtype": "m.text",
        "body": f"{first}\n\n{text}",
        "format": "org.matrix.custom.html",
        "formatted_body": f"<strong>{escape(first)}</strong><br><br>{shown}",
    }
