"""Sign-in at an OpenID provider: authorisation code with PKCE (RFC 7636), an ID token that the provider's keys verify.

Law: nothing is kept here. Who has signed in carries a session that the gateway signed, in a cookie; any replica with
the same client secret believes it until it ends. What somebody may do follows from the groups that the provider names.
"""

import hashlib
import re
import secrets
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OctKey
from joserfc.jwt import JWTClaimsRegistry
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from catseye import clock
from catseye.contract.errors import Misconfigured
from catseye.rights.scopes import Principal, Scope
from services.gateway.problem import Problem, unavailable
from services.gateway.settings import GatewaySettings

START: Final = "/oidc/start"
CALLBACK: Final = "/oidc/callback"
_UNDER_WAY: Final = "catseye_sign_in"
_SIGN_IN_S: Final = 600
_LEEWAY_S: Final = 60
_TIMEOUT_S: Final = 10.0
_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Of ID tokens: the provider's own key signs; a shared secret would let others who have it sign too."""
_CLAIMS: Final = {
    "iss": "is from another provider than CATSEYE_OIDC_ISSUER names",
    "aud": "is for another client than CATSEYE_OIDC_CLIENT_ID",
    "nonce": "belongs to another sign-in",
    "exp": "never expires",
    "sub": "names nobody",
    "iat": "is from the future; check the clocks of the provider and of this machine",
    "nbf": "is not valid yet; check the clocks of the provider and of this machine",
}
"""What is wrong where a claim is missing or is another than expected."""
_ERROR: Final = re.compile(r"[a-z_]{1,40}\Z")
"""Of RFC 6749: a code. Who makes up a link to the callback must not write a sentence on the page."""
# A page of ours, not a redirect: on a redirect from another site browsers withhold a strict cookie.
_ARRIVED: Final = '<!doctype html><meta http-equiv="refresh" content="0;url={to}"><title>Signed in</title>'


class Right(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people of a group may do.

    Attributes:
        group: As the provider names it; ``*``: everybody who signs in.
        scopes: What they may do.
        cameras: Patterns of cameras that they are limited to; none: all.
    """

    group: str
    scopes: tuple[Scope, ...]
    cameras: tuple[str, ...] = ()


class Sessions:
    """Makes and reads what the gateway signs for browsers.

    Args:
        secret: Shared by all replicas.
    """

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(hashlib.sha256(b"catseye session " + secret.encode()).digest())

    def made(self, kind: str, lives_s: int, **claims: Any) -> str:
        """A token of a *kind* that ends after *lives_s*."""
        ends_s = clock.now_ms() // 1_000 + lives_s
        return jwt.encode({"alg": "HS256"}, {"kind": kind, "exp": ends_s, **claims}, self._key, ["HS256"])

    def read(self, kind: str, token: str) -> dict[str, Any] | None:
        """What is in a token of that *kind*; None where it is none of ours, or has ended."""
        try:
            claims = jwt.decode(token, self._key, ["HS256"]).claims
            rules: dict[str, Any] = {"exp": {"essential": True}, "kind": {"essential": True, "value": kind}}
            JWTClaimsRegistry(now=clock.now_ms() // 1_000, **rules).validate(claims)
        except (JoseError, ValueError):
            return None
        return claims

    def principal(self, token: str) -> Principal | None:
        """Whose session it is; None for nobody's."""
        found = self.read("session", token)
        if found is None:
            return None
        return Principal(found["sub"], frozenset(map(Scope, found["scopes"])), tuple(found["cameras"]))


class Oidc:
    """One provider.

    Args:
        settings: Of the gateway; the issuer is set.
        transport: Other than the network.

    Raises:
        Misconfigured: something that sign-in needs is not set.
    """

    def __init__(self, settings: GatewaySettings, transport: Any = None) -> None:
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value()
        self._claim = settings.oidc_groups_claim
        self._session_s = settings.oidc_session_s
        self._public_url = settings.gateway_public_url.rstrip("/")
        self._transport = transport
        self._known: dict[str, Any] = {}
        if not self._client_id or not self._secret:
            raise Misconfigured("CATSEYE_OIDC_ISSUER needs CATSEYE_OIDC_CLIENT_ID and CATSEYE_OIDC_CLIENT_SECRET too")
        if urlsplit(self._issuer).scheme != "https" and urlsplit(self._issuer).hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            raise Misconfigured(f"CATSEYE_OIDC_ISSUER {self._issuer} is no https address")
        try:
            self._rights = msgspec.json.decode(settings.oidc_rights, type=list[Right])
        except msgspec.DecodeError as fault:
            raise Misconfigured(
                'CATSEYE_OIDC_RIGHTS is a list such as [{"group": "road-ops", "scopes": ["view", "operate"], '
                f'"cameras": ["gate-*"]}}]: {fault}'
            ) from fault
        self.sessions = Sessions(self._secret)

    async def start(self, request: Request) -> Response:
        """Send a browser to the provider. Raises `Problem`."""
        provider = await self._provider()
        under_way = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        async with self._client(request) as client:
            url, _ = client.create_authorization_url(
                provider["authorization_endpoint"],
                state=under_way["state"],
                nonce=under_way["nonce"],
                code_verifier=under_way["verifier"],
            )
        answer = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        token = self.sessions.made("sign-in", _SIGN_IN_S, to=own_path(request.query_params.get("next")), **under_way)
        secure = request.url.scheme == "https"
        answer.set_cookie(_UNDER_WAY, token, _SIGN_IN_S, path="/oidc", secure=secure, httponly=True, samesite="lax")
        return answer

    async def back(self, request: Request, cookie: str) -> Response:
        """Take a browser that comes back from the provider; *cookie* is that of sessions. Raises `Problem`."""
        under_way = self.sessions.read("sign-in", request.cookies.get(_UNDER_WAY, ""))
        code, state = request.query_params.get("code"), request.query_params.get("state", "")
        if code is None:  # not every provider sends the state beside an error
            error = request.query_params.get("error", "")
            raise _failed(
                f"The provider refuses the sign-in: {error if _ERROR.match(error) else 'it names no reason'}."
            )
        if under_way is None or not secrets.compare_digest(state.encode(), under_way["state"].encode()):
            raise _failed("The sign-in was not begun in this browser, or took longer than ten minutes.")
        claims = await self._claims(request, code, under_way)
        principal = self._principal(claims)
        token = self.sessions.made(
            "session",
            self._session_s,
            sub=principal.name,
            scopes=sorted(principal.scopes),
            cameras=list(principal.cameras),
        )
        answer = HTMLResponse(_ARRIVED.format(to=own_path(under_way["to"])), headers={"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        answer.set_cookie(cookie, token, self._session_s, secure=secure, httponly=True, samesite="strict")
        answer.delete_cookie(_UNDER_WAY, path="/oidc")
        return answer

    async def _claims(self, request: Request, code: str, under_way: dict[str, Any]) -> dict[str, Any]:
        """What the provider says of who signed in. Raises `Problem`."""
        provider = await self._provider()
        try:
            async with self._client(request) as client:
                token = await client.fetch_token(
                    provider["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=under_way["verifier"],
                )
            keys = KeySet.import_key_set(await self._got(provider["jwks_uri"]))
            claims = jwt.decode(token.get("id_token", ""), keys, _ALGORITHMS).claims
            rules: dict[str, Any] = {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": self._client_id},
                "nonce": {"essential": True, "value": under_way["nonce"]},
                "exp": {"essential": True},
                "sub": {"essential": True},
            }
            JWTClaimsRegistry(now=clock.now_ms() // 1_000, leeway=_LEEWAY_S, **rules).validate(claims)
        except httpx2.HTTPError as fault:
            raise _away(fault) from fault
        except AuthlibBaseError as fault:
            raise _failed(
                f"The provider gives no ID token: {fault.error}. Check CATSEYE_OIDC_CLIENT_ID and its secret."
            ) from fault
        except (JoseError, ValueError) as fault:
            raise _failed(f"The provider's ID token {_why(fault)}.") from fault
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal:
        """Rights of the first entry that names one of his groups: those of several are not added up, since a scope of
        one would reach the cameras of another. Raises `Problem` for who has none."""
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])[:200]
        found = claims.get(self._claim, ())
        groups = {"*", *(found if isinstance(found, list) else [found])}
        for right in self._rights:
            if right.group in groups:
                return Principal(name, frozenset(right.scopes), right.cameras)
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "no_right",
            f"{name} has signed in and has no right here: CATSEYE_OIDC_RIGHTS names none of the groups in the claim "
            f"{self._claim}.",
        )

    def _client(self, request: Request) -> Any:
        base = self._public_url or str(request.base_url).rstrip("/")
        return AsyncOAuth2Client(
            self._client_id,
            self._secret,
            scope="openid profile email",
            redirect_uri=base + CALLBACK,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
            transport=self._transport,
        )

    async def _provider(self) -> dict[str, Any]:
        """Where the provider has what (OpenID Connect Discovery); asked once."""
        if not self._known:
            found = await self._got(f"{self._issuer}/.well-known/openid-configuration")
            if found.get("issuer", "").rstrip("/") != self._issuer:
                raise _failed(f"The provider calls itself {found.get('issuer')}, not {self._issuer}.")
            self._known = found
        return self._known

    async def _got(self, url: str) -> Any:
        try:
            async with httpx2.AsyncClient(transport=self._transport, timeout=_TIMEOUT_S) as client:
                answer = await client.get(url)
                return answer.raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as fault:
            raise _away(fault) from fault


def own_path(wanted: str | None) -> str:
    """*wanted* where it is a path of these pages, quoted, so that it is one in HTML too; else the first page."""
    if wanted is None or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    return quote(wanted, safe="/")


def _why(fault: Exception) -> str:
    """What is wrong with an ID token."""
    if isinstance(fault, ExpiredTokenError):
        return "has expired; check the clocks of the provider and of this machine"
    if isinstance(fault, ClaimError):
        return _CLAIMS.get(fault.claim, f"has a wrong {fault.claim}")
    if isinstance(fault, BadSignatureError | InvalidKeyIdError):
        return "is not signed with a key that the provider publishes"
    return f"is not accepted: {fault}"


def _failed(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, "sign_in_failed", detail)


def _away(fault: Exception) -> Problem:
    return unavailable(f"The provider of CATSEYE_OIDC_ISSUER does not answer: {fault or type(fault).__name__}.")
