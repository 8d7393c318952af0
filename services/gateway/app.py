"""The application: routes of the table behind one check of rights, pages, and errors as problem details."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from services.gateway.describe import openapi
from services.gateway.door import Gateway
from services.gateway.links import link_routes
from services.gateway.pages import page_routes
from services.gateway.problem import Problem
from services.gateway.routes import ROUTES, Route
from services.gateway.sign_in import sign_in_routes

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def application(gateway: Gateway) -> Starlette:
    """Everything that *gateway* answers."""
    described = msgspec.json.encode(openapi(ROUTES))

    async def description(_: Request) -> Response:
        return Response(described, media_type="application/json")

    routes: list[BaseRoute] = [_http(gateway, route) for route in ROUTES]
    routes.append(HttpRoute("/openapi.json", description, methods=["GET"]))
    routes += page_routes(gateway)
    routes += sign_in_routes(gateway)
    routes += link_routes(gateway)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (gateway.answers.run(), gateway.live.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    handlers: dict[Any, Any] = {Problem: _problem, HTTPException: _http_problem}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    app.add_middleware(Headers)
    return app


class Headers:
    """Puts what browsers must keep to on every answer.

    Args:
        app: Answers.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in self._headers if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, with_headers)


def _http(gateway: Gateway, route: Route) -> HttpRoute:
    async def endpoint(request: Request) -> Response:
        return await route.handle(gateway, request, gateway.rights.authorise(request, route.scope))

    return HttpRoute(route.path, endpoint, methods=[route.method])


async def _problem(_: Request, fault: Problem) -> Response:
    return fault.answer()


async def _http_problem(_: Request, fault: HTTPException) -> Response:
    """What Starlette itself refuses: no such path, no such method."""
    status = HTTPStatus(fault.status_code)
    problem = Problem(status, status.name.lower(), fault.detail or status.phrase, headers=dict(fault.headers or {}))
    return problem.answer()
