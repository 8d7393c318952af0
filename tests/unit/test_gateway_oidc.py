"""Sign-in at an OpenID provider: who comes back with what, and what is not believed.

The provider here checks PKCE, and can lie in each part of what it says; `tests/system/test_sign_in.py` has a real one.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from catseye.contract.errors import Misconfigured
from catseye.rights.scopes import Principal, Scope
from catseye.rights.tokens import Tokens
from services.gateway.app import application
from services.gateway.oidc import Oidc, Sessions, own_path
from services.gateway.rights import COOKIE, Rights
from tests.unit.gateway_fakes import SETTINGS, Door

ISSUER = "https://id.example"
RIGHTS = (
    '[{"group": "ops", "scopes": ["view", "operate"], "cameras": ["gate-*"]}, {"group": "all", "scopes": ["view"]}]'
)
SET = SETTINGS.model_copy(
    update={
        "oidc_issuer": ISSUER,
        "oidc_client_id": "catseye",
        "oidc_client_secret": SecretStr("s3cret"),
        "oidc_rights": RIGHTS,
    }
)


class Provider:
    """An OpenID provider with one user, who agrees to everything."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2_048, {"kid": "1", "use": "sig"})
        self.claims: dict[str, Any] = {"sub": "u1", "preferred_username": "ann", "groups": ["all", "ops"]}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.challenges: dict[str, dict[str, str]] = {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    def agreed(self, address: str) -> dict[str, str]:
        """What the browser is sent back with, after it was sent to *address*."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["redirect_uri"] == "http://127.0.0.1/oidc/callback"
        assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
        self.challenges["code-1"] = asked
        return {"code": "code-1", "state": asked["state"]}

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)

    async def _discovery(self, _: Request) -> Response:
        ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return JSONResponse({"issuer": ISSUER, **{name: ISSUER + path for name, path in ends.items()}})

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        asked = self.challenges.pop(form["code"][0], None)
        challenge = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        proven = asked and base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() == asked["code_challenge"]
        basic = "Basic " + base64.b64encode(b"catseye:s3cret").decode()
        if asked is None or not proven or request.headers["authorization"] != basic:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now_s = int(time.time())
        claims = {"iss": ISSUER, "aud": "catseye", "iat": now_s, "exp": now_s + 60, "nonce": asked["nonce"]}
        token = self.sign({**claims, **self.claims})
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def browser(provider: Provider, tmp_path: Path) -> TestClient:
    """A browser before a gateway at which one signs in."""
    from dataclasses import replace

    oidc = Oidc(SET, httpx2.ASGITransport(app=provider.app))
    tokens = Tokens(tmp_path / "tokens.json")
    rights = Rights(tokens, "0.0.0.0", 1e6, sessions=oidc.sessions)
    gateway = replace(Door(tmp_path).gateway, rights=rights, oidc=oidc)
    return TestClient(application(gateway), "http://127.0.0.1", follow_redirects=False)


def signed_in(browser: TestClient, provider: Provider, to: str = "/alerts") -> Any:
    """The answer to who comes back from the provider."""
    sent = browser.get("/oidc/start", params={"next": to})
    assert sent.status_code == 303
    return browser.get("/oidc/callback", params=provider.agreed(sent.headers["location"]))


def test_who_signs_in_has_the_rights_of_the_first_group_that_fits(browser: TestClient, provider: Provider) -> None:
    """With his name, and back where he wanted to go; another cookie than the signed one is nobody."""
    assert browser.get("/alerts").headers["location"] == "/login?next=/alerts"
    assert 'href="/oidc/start?next=/alerts"' in browser.get("/login?next=/alerts").text
    answer = signed_in(browser, provider)
    assert (answer.status_code, 'url=/alerts"' in answer.text) == (200, True)
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert browser.get("/alerts").status_code == 200
    cameras = browser.get("/v1/cameras").json()["cameras"]
    assert [each["camera"] for each in cameras] == ["gate-1"]
    assert browser.post("/v1/labels", json={"frame": "gate-1/b/1", "label": "car"}).status_code == 403
    browser.cookies.clear()
    browser.cookies.set(COOKIE, Sessions("another").made("session", 60, sub="eve", scopes=["admin"], cameras=[]))
    assert browser.get("/v1/cameras").status_code == 401


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"iss": "https://evil.example"}, "is from another provider than CATSEYE_OIDC_ISSUER names"),
        ({"aud": "another"}, "is for another client than CATSEYE_OIDC_CLIENT_ID"),
        ({"nonce": "another"}, "belongs to another sign-in"),
        ({"exp": 1_000}, "has expired; check the clocks"),
        ({"exp": None}, "never expires"),
        ({"sub": None}, "names nobody"),
        ({"iat": 9_000_000_000}, "is from the future"),
        ({"nbf": 9_000_000_000}, "is not valid yet"),
    ],
)
def test_a_token_that_is_for_somebody_else_is_not_believed(
    browser: TestClient, provider: Provider, claims: dict[str, Any], says: str
) -> None:
    """Another issuer, client, sign-in or time: the page says which."""
    provider.claims |= claims
    refused(signed_in(browser, provider), f"The provider&#39;s ID token {says}")
    assert COOKIE not in browser.cookies


def refused(answer: Any, says: str, status: int = 401) -> None:
    """It is the page of signing in, with a sentence."""
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert "/oidc/start" in answer.text


def test_a_token_that_the_provider_did_not_sign_is_not_believed(browser: TestClient, provider: Provider) -> None:
    """Another key, no key, or the secret that clients share."""
    from joserfc.jwk import OctKey

    other = RSAKey.generate_key(2_048, {"kid": "1"})
    shared = OctKey.import_key(b"s3cret" * 8)
    unknown = "is not signed with a key that the provider publishes"
    signs: list[tuple[Callable[[dict[str, Any]], str], str]] = [
        (lambda claims: jwt.encode({"alg": "RS256", "kid": "1"}, claims, other), unknown),
        (lambda claims: jwt.encode({"alg": "RS256", "kid": "2"}, claims, other), unknown),
        (lambda claims: jwt.encode({"alg": "HS256"}, claims, shared, ["HS256"]), "is not accepted"),
        (lambda claims: ".".join((_part({"alg": "none"}), _part(claims), "")), "is not accepted"),
        (lambda _: "no token", "is not accepted"),
    ]
    for sign, says in signs:
        provider.sign = sign
        refused(signed_in(browser, provider), says)


def _part(content: dict[str, Any]) -> str:
    """Of a token that nobody signed."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_sign_in_that_another_began_is_refused(browser: TestClient, provider: Provider) -> None:
    """Its state is in the cookie of the browser that began it; a code is good once."""
    sent = browser.get("/oidc/start")
    back = provider.agreed(sent.headers["location"])
    assert browser.get("/oidc/callback", params={**back, "state": "other"}).status_code == 401
    cookies = dict(browser.cookies)
    browser.cookies.clear()
    assert browser.get("/oidc/callback", params=back).status_code == 401
    browser.cookies.update(cookies)
    for error, says in (("access_denied", "access_denied"), ("Call 555 0100", "it names no reason")):
        refused(browser.get("/oidc/callback", params={"error": error}), f"refuses the sign-in: {says}.")
    assert browser.get("/oidc/callback", params=back).status_code == 200
    browser.cookies.update(cookies)
    assert browser.get("/oidc/callback", params=back).status_code == 401


def test_who_has_no_right_is_told_so(browser: TestClient, provider: Provider) -> None:
    """He is known, and in none of the groups that count."""
    provider.claims["groups"] = ["cleaners"]
    refused(signed_in(browser, provider), "ann has signed in and has no right here", 403)
    assert COOKIE not in browser.cookies


def test_a_session_ends(browser: TestClient) -> None:
    """By its own time; and what is signed for a sign-in is no session."""
    sessions = Sessions("s3cret")
    named: dict[str, Any] = {"sub": "ann", "scopes": ["view"], "cameras": []}
    assert sessions.principal(sessions.made("session", 60, **named)) == Principal("ann", frozenset({Scope.VIEW}))
    assert sessions.principal(sessions.made("session", -1, **named)) is None
    assert sessions.principal(sessions.made("sign-in", 60, **named)) is None
    for wrong in ("", "x", "a.b.c", "catseye_1_2"):
        assert sessions.principal(wrong) is None


def test_a_provider_that_is_away_is_named(tmp_path: Path) -> None:
    """Pages go on for who is signed in; who signs in is told to wait."""
    from dataclasses import replace

    def away(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    gateway = replace(Door(tmp_path).gateway, oidc=Oidc(SET, httpx2.MockTransport(away)))
    answer = TestClient(application(gateway), "http://127.0.0.1").get("/oidc/start")
    refused(answer, "The provider of CATSEYE_OIDC_ISSUER does not answer: refused.", 503)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"oidc_client_id": ""}, "CATSEYE_OIDC_CLIENT_ID"),
        ({"oidc_client_secret": SecretStr("")}, "CATSEYE_OIDC_CLIENT_SECRET"),
        ({"oidc_issuer": "http://id.example"}, "no https"),
        ({"oidc_rights": "{}"}, "CATSEYE_OIDC_RIGHTS"),
        ({"oidc_rights": '[{"group": "a", "scopes": ["fly"]}]'}, "CATSEYE_OIDC_RIGHTS"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], names: str) -> None:
    """Before anybody signs in."""
    with pytest.raises(Misconfigured, match=names):
        Oidc(SET.model_copy(update=wrong))


def test_one_is_sent_back_to_these_pages_only() -> None:
    """Whatever the link said."""
    assert own_path("/cameras/gate 1") == "/cameras/gate%201"
    for elsewhere in (None, "", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert own_path(elsewhere) == "/"
    assert '"' not in own_path('/"><script>')
