"""Prometheus Alertmanager: alerts by their labels (POST /api/v2/alerts); posted again they are the same alert."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from services.notifier.content import Content
from services.notifier.known import Attempt, Result
from services.notifier.routes import Alertmanager
from services.notifier.senders.http import Http
from services.notifier.senders.parcel import Surroundings, page

OPEN_FOR_MS: Final = 7 * 24 * 3_600_000
"""Alertmanager ends by itself what nobody repeats; the end of an incident is posted anyhow."""


class AlertmanagerSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Alertmanager, around: Surroundings) -> None:
        self._route = route
        self._around = around
        self._http = Http(around.timeout_s)

    def send(self, attempt: Attempt) -> Result:
        body = msgspec.json.encode([self._alert(content) for content in attempt.contents])
        answer = self._http.ask("POST", f"{self._route.url.rstrip('/')}/api/v2/alerts", body)
        ref = attempt.ref or attempt.notification_id
        return Result(attempt.key, answer.outcome, answer.detail, ref, answer.retry_after_ms)  # type: ignore[arg-type]

    def _alert(self, content: Content) -> dict[str, object]:
        # What changes within an incident is an annotation: other labels would be another alert.
        labels = {"alertname": f"catseye_{content.kind}", "incident": content.incident_id, "job": "catseye"}
        over = content.state in ("resolved", "example", "news")
        return {
            "labels": labels,
            "annotations": {
                "summary": content.title,
                "description": "\n\n".join(content.text),
                "severity": content.severity,
            },
            "startsAt": _at(content.since_ms or content.at_ms),
            "endsAt": _at(content.at_ms if over else content.at_ms + OPEN_FOR_MS),
            "generatorURL": page(content, self._around),
        }


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
