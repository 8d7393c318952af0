"""Signing in and out in a browser: by a token, or at an OpenID provider. What fails is said on the page."""

from http import HTTPStatus
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.gateway.bodies import body_of
from services.gateway.door import Gateway
from services.gateway.oidc import CALLBACK, START, Oidc, own_path
from services.gateway.pages import shown_page
from services.gateway.problem import Problem
from services.gateway.rights import COOKIE

_UNKNOWN = "That token is not known, or it has expired or was revoked."


def sign_in_routes(gateway: Gateway) -> list[BaseRoute]:
    """`/login`, `/logout`, and where browsers go to the provider and come back."""

    def shown(request: Request, fault: str = "", status: int = HTTPStatus.OK) -> Response:
        query = "?next=" + quote(request.query_params.get("next", "/"))
        provider = "" if gateway.oidc is None else START + query
        return shown_page(
            "login.html", "Sign in", None, status, fault=fault, provider=provider, by_token="/login" + query
        )

    async def page(request: Request) -> Response:
        return shown(request)

    async def by_token(request: Request) -> Response:
        form = parse_qs((await body_of(request, 4_096)).decode("ascii", "replace"))
        token = form.get("token", [""])[0].strip()
        if gateway.rights.principal_of(token) is None:
            return shown(request, _UNKNOWN, HTTPStatus.UNAUTHORIZED)
        answer = RedirectResponse(own_path(request.query_params.get("next")), HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    def at_provider(oidc: Oidc) -> list[BaseRoute]:
        async def start(request: Request) -> Response:
            try:
                return await oidc.start(request)
            except Problem as problem:
                return shown(request, problem.detail, problem.status)

        async def back(request: Request) -> Response:
            try:
                return await oidc.back(request, COOKIE)
            except Problem as problem:
                return shown(request, problem.detail, problem.status)

        return [Route(START, start, methods=["GET"]), Route(CALLBACK, back, methods=["GET"])]

    return [
        Route("/login", page, methods=["GET"]),
        Route("/login", by_token, methods=["POST"]),
        Route("/logout", _logout, methods=["POST"]),
        *(at_provider(gateway.oidc) if gateway.oidc is not None else ()),
    ]


async def _logout(_: Request) -> Response:
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE)
    return answer
