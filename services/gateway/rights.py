"""Who sends a request, and whether he may. One place: every route names its scope, and nothing runs before this."""

import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address

from starlette.requests import Request

from catseye import clock
from catseye.contract.errors import Misconfigured
from catseye.rights.scopes import EVERYTHING, Principal, Scope
from catseye.rights.tokens import Tokens
from services.gateway.oidc import Sessions
from services.gateway.problem import Problem

COOKIE = "catseye_token"
LOCAL = Principal("local", EVERYTHING)
"""Who comes from this machine while the gateway listens on nothing else and there is no token."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Rights:
    """Authorises requests.

    Args:
        tokens: Those that are known.
        host: Address that the gateway listens on.
        sessions: Of people who signed in at a provider; None where that is not set.
        requests_per_s: Requests a second of one principal, on average; ten seconds' worth at once.
        monotonic: Seconds that only grow.

    Raises:
        Misconfigured: others could come in, and there is no token.
    """

    def __init__(
        self,
        tokens: Tokens,
        host: str,
        requests_per_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        sessions: Sessions | None = None,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._loopback = is_loopback(host)
        if not self._loopback and not tokens.any and sessions is None:
            raise Misconfigured(
                f"CATSEYE_GATEWAY_HOST {host} can be reached from other machines, and there is no token: make one with "
                "`catseye tokens create NAME --scope admin`, or listen on 127.0.0.1"
            )
        self._rate = requests_per_s
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def authorise(self, request: Request, scope: Scope) -> Principal:
        """Who sends *request*.

        Raises:
            Problem: 401, nobody who is known; 403, no such right, or another site sent the request; 429, too many.
        """
        found, by_cookie = self._principal(request)
        if found is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "unauthorised",
                "A token is needed: send `Authorization: Bearer TOKEN`, or sign in at /login. "
                "`catseye tokens create` makes one.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if request.method not in _SAFE and by_cookie and not _same_site(request):
            raise Problem(HTTPStatus.FORBIDDEN, "other_site", "Another site sent this request.")
        self._slow_down(found.name)
        if not found.may(scope):
            has = ", ".join(sorted(found.scopes)) or "none"
            raise Problem(
                HTTPStatus.FORBIDDEN, "no_right", f"This needs the scope {scope}; the token of {found.name} has {has}."
            )
        return found

    def principal_of(self, token: str) -> Principal | None:
        """Who comes in with *token*, or with the session of a sign-in; None for nobody."""
        found = self._tokens.principal(token, clock.now_ms())
        return self._sessions.principal(token) if found is None and self._sessions is not None else found

    def _principal(self, request: Request) -> tuple[Principal | None, bool]:
        """Who it is, and whether a browser says so by itself."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind:
            return self.principal_of(token.strip()) if kind.lower() == "bearer" else None, False
        if (cookie := request.cookies.get(COOKIE)) is not None:
            return self.principal_of(cookie), True
        if self._loopback and self._sessions is None and not self._tokens.any and _local_name(request):
            return LOCAL, True
        return None, False

    def _slow_down(self, name: str) -> None:
        """A bucket that fills at the rate; raises `Problem` 429 when it is empty."""
        now_s, most = self._monotonic(), 10 * self._rate
        left, at_s = self._left.get(name, (most, now_s))
        left = min(most, left + (now_s - at_s) * self._rate)
        if left < 1:
            wait_s = max(1, round((1 - left) / self._rate))
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_requests",
                f"{name} sends more than {self._rate:g} requests a second.",
                headers={"Retry-After": str(wait_s)},
            )
        self._left[name] = left - 1, now_s


def _local_name(request: Request) -> bool:
    """Whether the request names this machine: a page of another site whose name was bent to 127.0.0.1 does not."""
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in _LOCAL_HOSTS


def _same_site(request: Request) -> bool:
    """Whether the page that sends it is ours: browsers say so themselves (Fetch Metadata), older ones by Origin.

    A program that is no browser sends neither.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
