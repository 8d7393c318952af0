"""Errors as answers: problem details (RFC 9457), with the stable reason codes of dead letters where there is one."""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from catseye.contract.errors import BadRecord, Reason


class Problem(Exception):
    """A request is refused.

    Args:
        status: HTTP status.
        detail: One sentence: what was found, and what to do.
        reason: Stable code, as dead letters have it, or one of the gateway's own.
        headers: More headers of the answer.
        more: More members of the answer.
    """

    def __init__(
        self, status: HTTPStatus, reason: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def answer(self) -> Response:
        """As HTTP."""
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "reason": self.reason,
            **self.more,
        }
        return Response(msgspec.json.encode(body), self.status, self.headers, media_type="application/problem+json")


def not_found(what: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"There is no {what}.")


def unavailable(detail: str, retry_after_s: int = 2) -> Problem:
    """A server behind the gateway does not answer; the same request later is right."""
    headers = {"Retry-After": str(retry_after_s)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def refused(fault: BadRecord) -> Problem:
    """What no ingest would accept."""
    too_large = fault.reason in (Reason.RECORD_TOO_LARGE, Reason.JPEG_TOO_LARGE)
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.UNPROCESSABLE_ENTITY
    return Problem(status, fault.reason, fault.detail)
