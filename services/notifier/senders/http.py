"""One request to a server of somebody else: no redirect is followed, no answer is read for longer than it may take.

What an answer means is the same for all channels: 2xx it has the message; 400, 413, 415 and 422 it never will; any
other is a fault of the route, which somebody mends. After the request went out, silence means that nobody knows.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx2
import msgspec

ANSWER_MOST: Final = 65_536
"""Bytes of an answer that are read."""
_NEVER: Final = frozenset({400, 413, 415, 422})
_SECONDS_MOST: Final = 10**6


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        outcome: As `Result.outcome`.
        detail: Why, in a sentence.
        body: JSON of the answer where it is an object, else empty.
        retry_after_ms: What the server asks for.
        status: Of HTTP; 0 where none came.
    """

    outcome: str
    detail: str
    body: Mapping[str, Any]
    retry_after_ms: int = 0
    status: int = 0


class Http:
    """Requests to one server.

    Args:
        timeout_s: How long one request may take in all, seconds.
        headers: Of every request.
    """

    def __init__(self, timeout_s: float, headers: Mapping[str, str] | None = None) -> None:
        self._timeout_s = timeout_s
        # Proxies and .netrc of the environment are not asked: an address means what notify.yaml says.
        self._client = httpx2.Client(
            follow_redirects=False, timeout=timeout_s, headers=dict(headers or {}), trust_env=False
        )

    def ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send *body*, which is JSON, and wait for the answer."""
        until = time.monotonic() + self._timeout_s
        sent = {"Content-Type": "application/json", "User-Agent": "catseye", **(headers or {})}
        try:
            with self._client.stream(method, url, content=body, headers=sent) as answer:
                return _meaning(answer, _body(answer, until))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as fault:
            return Answer("failed", f"no connection: {fault or type(fault).__name__}", {})
        except (httpx2.TimeoutException, _TooLongError):
            return Answer("uncertain", f"no answer within {self._timeout_s:g} s", {})
        except httpx2.TransportError as fault:
            return Answer("uncertain", f"the connection broke: {fault or type(fault).__name__}", {})

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()


class _TooLongError(Exception):
    """The answer comes too slowly, or is too long to be one."""


def _body(answer: httpx2.Response, until: float) -> bytes:
    found = bytearray()
    for chunk in answer.iter_bytes():
        found += chunk
        if len(found) > ANSWER_MOST:
            break  # whatever it is, it is no answer that is looked into
        if time.monotonic() > until:
            raise _TooLongError
    return bytes(found)


def _meaning(answer: httpx2.Response, body: bytes) -> Answer:
    status = answer.status_code
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content = None
    asked = answer.headers.get("retry-after", "")
    wait_ms = min(int(asked), _SECONDS_MOST) * 1_000 if asked.isdecimal() and asked.isascii() else 0
    named = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    detail = f"the server answered {status} {named}".rstrip()
    if 200 <= status < 300:
        outcome = "delivered"
    elif status in _NEVER:
        outcome = "refused"
    else:
        outcome = "failed"
    if 300 <= status < 400:
        detail += ", a redirect, which is not followed: name the address that it leads to in notify.yaml"
    return Answer(outcome, detail, content if isinstance(content, dict) else {}, wait_ms, status)
