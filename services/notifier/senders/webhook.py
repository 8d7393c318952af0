"""Webhooks: JSON, signed as Standard Webhooks has it (standardwebhooks.com): `webhook-id` is the idempotency key,
`webhook-signature` is ``v1,`` and the Base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

import msgspec

from catseye import clock
from services.notifier.known import Attempt, Result
from services.notifier.routes import Webhook
from services.notifier.senders.http import Http
from services.notifier.senders.parcel import Surroundings, acknowledge, page, title

_PREFIX = "whsec_"


class WebhookSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
        now_ms: Unix milliseconds.
    """

    def __init__(self, route: Webhook, around: Surroundings, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._route = route
        self._around = around
        self._now_ms = now_ms
        self._http = Http(around.timeout_s)

    def send(self, attempt: Attempt) -> Result:
        body = msgspec.json.encode(body_of(attempt, self._around))
        seconds = self._now_ms() // 1_000
        headers = {"webhook-id": attempt.notification_id, "webhook-timestamp": str(seconds)}
        if self._route.secret:
            headers["webhook-signature"] = signature(self._route.secret, attempt.notification_id, seconds, body)
        answer = self._http.ask("POST", self._route.url, body, headers)
        ref = attempt.ref or attempt.notification_id
        return Result(attempt.key, answer.outcome, answer.detail, ref, answer.retry_after_ms)  # type: ignore[arg-type]


def body_of(attempt: Attempt, around: Surroundings) -> dict[str, object]:
    """What is sent: the same bytes for each attempt that says the same."""
    return {
        "type": f"catseye.{attempt.action}",
        "notification_id": attempt.notification_id,
        "first_notification_id": attempt.first_id or attempt.notification_id,
        "route": attempt.route,
        "title": title(attempt),
        "incidents": [
            {
                **{
                    name: value
                    for name, value in msgspec.to_builtins(content).items()
                    if name not in ("before", "after", "may_acknowledge")
                },
                "page": page(content, around),
                "acknowledge": acknowledge(content, attempt.route, around),
            }
            for content in attempt.contents
        ],
    }


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Value of the header that proves who sent *body*."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    """``whsec_`` begins a secret in Base64; any other is taken as it is."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
