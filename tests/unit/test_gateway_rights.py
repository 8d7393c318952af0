"""Who may do what through the gateway: every route, every scope, every refusal, from the router's own table."""

import inspect
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.rights.scopes import Principal, Scope
from catseye.rights.tokens import TokenFile, Tokens
from services.gateway.problem import Problem
from services.gateway.rights import COOKIE, LOCAL, Rights
from services.gateway.routes import ROUTES, Route

NOW_MS = 1_790_000_000_000
YEAR_MS = 365 * 24 * 3_600_000


def request(method: str = "GET", *, cookie: str | None = None, host: str = "127.0.0.1:8080", **headers: str) -> Request:
    """A request with these headers, underscores for hyphens."""
    given = {"host": host, **({"cookie": f"{COOKIE}={cookie}"} if cookie else {}), **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": raw, "query_string": b""})


def bearer(token: str, method: str = "GET") -> Request:
    """A request with a token."""
    return request(method, authorization=f"Bearer {token}")


class Clock:
    """Seconds that are set by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def made(
    path: Path, *scopes: Scope, name: str = "ann", cameras: tuple[str, ...] = (), expires: int | None = None
) -> str:
    return TokenFile(path).create(name, scopes, cameras, NOW_MS, expires)


def rights(path: Path, host: str = "127.0.0.1", rate: float = 1_000, clock: Clock | None = None) -> Rights:
    return Rights(Tokens(path), host, rate, clock or Clock())


def refused(rights: Rights, request: Request, scope: Scope = Scope.VIEW) -> Problem:
    """How a request is refused."""
    with pytest.raises(Problem) as found:
        rights.authorise(request, scope)
    return found.value


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_lets_in_who_has_its_scope_and_nobody_else(path: Path, route: Route) -> None:
    """With each scope alone; `admin` has them all."""
    tokens = {scope: made(path, scope, name=scope) for scope in Scope}
    known = rights(path)
    for scope, token in tokens.items():
        if scope in (route.scope, Scope.ADMIN):
            assert known.authorise(bearer(token, route.method), route.scope).name == scope
        else:
            problem = refused(known, bearer(token, route.method), route.scope)
            assert (problem.status, problem.reason) == (HTTPStatus.FORBIDDEN, "no_right")
            assert route.scope in problem.detail


def test_a_route_without_a_scope_cannot_be_declared() -> None:
    """It has no default; and every handler says what it does."""
    assert inspect.signature(Route).parameters["scope"].default is inspect.Parameter.empty
    with pytest.raises(TypeError, match="scope"):
        Route("GET", "/v1/secret", handle=ROUTES[0].handle)  # type: ignore[call-arg]
    assert [route.path for route in ROUTES if not route.summary] == []


def test_nobody_comes_in_without_a_token_once_there_is_one(path: Path) -> None:
    """Wrong, revoked and expired ones are as none; a token that is made or revoked meanwhile counts at once."""
    known = rights(path)
    assert known.authorise(request(), Scope.ADMIN) == LOCAL
    token = made(path, Scope.VIEW)
    old = made(path, Scope.VIEW, expires=NOW_MS + 1)
    assert known.authorise(bearer(token), Scope.VIEW).name == "ann"
    for wrong in (token[:-1] + ("0" if token[-1] != "0" else "1"), "catseye_0_0", "", "x" * 5_000, old):
        assert refused(known, bearer(wrong)).status == HTTPStatus.UNAUTHORIZED
    assert refused(known, request()).status == HTTPStatus.UNAUTHORIZED
    assert refused(known, request(authorization=f"Basic {token}")).status == HTTPStatus.UNAUTHORIZED
    revoked = TokenFile(path).revoke(token.split("_")[1])
    assert revoked is not None
    assert refused(known, bearer(token)).status == HTTPStatus.UNAUTHORIZED


def test_other_machines_need_a_token(path: Path) -> None:
    """A gateway that they reach refuses to start without one, and names the remedy; the remedy works."""
    for host in ("0.0.0.0", "10.0.0.7", "::", "example.org"):
        with pytest.raises(Misconfigured, match="catseye tokens create"):
            rights(path, host)
    for host in ("127.0.0.1", "::1", "localhost"):
        rights(path, host)
    token = made(path, Scope.ADMIN)
    assert rights(path, "0.0.0.0").authorise(bearer(token), Scope.ADMIN).name == "ann"


def test_another_site_sends_nothing_in_ones_name(path: Path) -> None:
    """A browser that is signed in, or on the gateway's own machine: requests of other pages change nothing."""
    known = rights(path)
    assert refused(known, request("POST", sec_fetch_site="cross-site")).reason == "other_site"
    assert refused(known, request("POST", origin="http://evil.example")).reason == "other_site"
    assert refused(known, request(host="evil.example:8080")).status == HTTPStatus.UNAUTHORIZED  # a name that was bent
    for fine in ({"sec_fetch_site": "same-origin"}, {"origin": "http://127.0.0.1:8080"}, {}):
        assert known.authorise(request("POST", **fine), Scope.OPERATE) == LOCAL
    token = made(path, Scope.OPERATE)
    assert (
        refused(known, request("POST", cookie=token, sec_fetch_site="cross-site"), Scope.OPERATE).reason == "other_site"
    )
    assert known.authorise(request("POST", cookie=token, sec_fetch_site="same-origin"), Scope.OPERATE).name == "ann"


def test_who_sends_too_much_is_told_when_to_send_again(path: Path) -> None:
    """Ten seconds' worth at once, then the rate; another token is not slowed down by it."""
    fast, slow = made(path, Scope.VIEW, name="fast"), made(path, Scope.VIEW, name="slow")
    clock = Clock()
    known = rights(path, rate=2, clock=clock)
    for _ in range(20):
        known.authorise(bearer(fast), Scope.VIEW)
    problem = refused(known, bearer(fast))
    assert (problem.status, problem.headers) == (HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"})
    known.authorise(bearer(slow), Scope.VIEW)
    clock.s += 1
    for _ in range(2):
        known.authorise(bearer(fast), Scope.VIEW)
    assert refused(known, bearer(fast)).status == HTTPStatus.TOO_MANY_REQUESTS


def test_a_token_is_for_the_cameras_that_it_names() -> None:
    """By pattern; what concerns the whole fleet is of who has all cameras."""
    some = Principal("ann", frozenset({Scope.VIEW}), ("gate-*", "north"))
    assert some.seen(["gate-1", "gate", "north", "north-2", "south"]) == ["gate-1", "north"]
    assert not some.sees(None)
    assert Principal("all", frozenset({Scope.VIEW})).sees(None)


def test_only_a_hash_is_kept(path: Path) -> None:
    """In a file for the owner alone; a name that garbles logs is refused, a file of something else named."""
    token = made(path, Scope.VIEW, cameras=("gate-*",))
    text = path.read_text()
    assert token.split("_")[2] not in text
    assert path.stat().st_mode & 0o077 == 0
    (entry,) = TokenFile(path).entries()
    assert (entry.name, entry.scopes, entry.cameras) == ("ann", (Scope.VIEW,), ("gate-*",))
    with pytest.raises(BadRecord):
        made(path, Scope.VIEW, name="a\nb")
    assert TokenFile(path).revoke("nobody") is None
    path.write_text("{}")
    with pytest.raises(Misconfigured, match="cannot be read"):
        TokenFile(path).entries()


def test_the_description_has_every_route_and_its_scope() -> None:
    """OpenAPI is written from the same table."""
    from services.gateway.describe import openapi

    paths: dict[str, Any] = openapi(ROUTES)["paths"]
    described = {
        (method.upper(), operation["description"]) for each in paths.values() for method, operation in each.items()
    }
    assert len([1 for each in paths.values() for _ in each]) == len(ROUTES)
    assert described == {(route.method, f"Needs the scope `{route.scope}`.") for route in ROUTES}
