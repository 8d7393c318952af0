"""The pages: each is whole without a script; with one it follows the live events."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as HttpRoute
from starlette.staticfiles import StaticFiles

from catseye import clock
from catseye.contract.alert_kinds import KINDS
from catseye.contract.records import ModelEvent
from catseye.models.commands import known_models
from catseye.rights.scopes import Principal, Scope
from services.gateway.bodies import body_of
from services.gateway.door import Gateway
from services.gateway.labelling import progress_of
from services.gateway.problem import Problem
from services.gateway.reading import known_camera, system_facts
from services.gateway.rights import COOKIE
from services.gateway.show import FILTERS

_HERE: Final = Path(__file__).parent
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_TEMPLATES.filters |= FILTERS
Facts = Callable[[Gateway, Request, Principal], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        path: As Starlette writes it.
        template: Its file.
        title: What it is called.
        facts: What the template is given.
    """

    path: str
    template: str
    title: str
    facts: Facts


async def fleet(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """All cameras: those that have an open alert first, then by name."""
    names = await gateway.model.camera_names(principal, most=10_000)
    cameras = await gateway.model.cameras(names)
    alerts = await gateway.model.alerts(resolved=False)
    worst: dict[str, str] = {}
    for alert in alerts:
        for camera in {alert.get("camera"), *alert.get("cameras", [])} - {None}:
            if alert["state"] not in ("suppressed", "resolved") and worst.get(camera) != "critical":
                worst[camera] = alert["severity"]
    order = {"critical": 0, "warning": 1, "info": 2}
    for camera in cameras:
        camera["severity"] = worst.get(camera["camera"], "")
    cameras.sort(key=lambda camera: (order.get(camera["severity"], 3), camera["camera"]))
    return {"cameras": cameras, "progress": await gateway.model.progress()}


async def camera(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """One camera with what is wrong with it."""
    found = await known_camera(gateway, request, principal)
    name = found["camera"]
    alerts = await gateway.model.alerts(resolved=False)
    concerning = [alert for alert in alerts if name == alert.get("camera") or name in alert.get("cameras", [])]
    signals = sorted(found["signals"].values(), key=lambda signal: (-signal["share"], signal["signal"]))
    return {"camera": found, "alerts": concerning, "signals": signals, "kinds": KINDS}


async def alerts(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Open alerts, and the latest that are over."""
    found = [
        [alert for alert in await gateway.model.alerts(resolved=resolved) if principal.sees(alert.get("camera"))]
        for resolved in (False, True)
    ]
    return {"open": found[0], "over": found[1][:50], "kinds": KINDS}


async def models(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Versions as they stand, the race, decisions."""
    events = await gateway.model.model_events()
    known = known_models([msgspec.convert({**event, "signature": b""}, ModelEvent) for event in events])
    newest = [msgspec.structs.asdict(event) for event in known.newest.values()]
    champion = next((event for event in newest if (event["model"], event["version"]) == known.champion), None)
    return {
        "champion": champion,
        "versions": list(reversed(newest)),
        "races": await gateway.model.races(),
        "decisions": await gateway.model.decisions(20),
        "may_operate": principal.may(Scope.OPERATE) and not principal.cameras,
    }


async def dead_letters(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """What was refused."""
    found = await gateway.model.dead_letters(100)
    reasons = await gateway.model.dead_reasons()
    ranked = sorted(
        ((key.rpartition("/")[2], key.rpartition("/")[0], count) for key, count in reasons.items()),
        key=lambda row: (-row[2], row),
    )
    return {"letters": [letter for letter in found if principal.sees(letter.get("camera"))], "reasons": ranked}


async def label(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Where people label frames."""
    if not principal.may(Scope.LABEL):
        return {"may_label": False, "progress": None}
    return {"may_label": True, "progress": await progress_of(gateway, principal)}


async def system(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Whether it flows."""
    return await system_facts(gateway)


PAGES: Final = (
    Page("/", "fleet.html", "Fleet", fleet),
    Page("/cameras/{camera:path}", "camera.html", "Camera", camera),
    Page("/alerts", "alerts.html", "Alerts", alerts),
    Page("/models", "models.html", "Models", models),
    Page("/dead-letters", "dead_letters.html", "Dead letters", dead_letters),
    Page("/label", "label.html", "Label", label),
    Page("/system", "system.html", "System", system),
)


def page_routes(gateway: Gateway) -> list[BaseRoute]:
    """Routes of all pages, of signing in, and of what they load."""
    return [
        *(HttpRoute(page.path, _endpoint(gateway, page), methods=["GET"]) for page in PAGES),
        HttpRoute("/login", _login_page, methods=["GET"]),
        HttpRoute("/login", _login(gateway), methods=["POST"]),
        HttpRoute("/logout", _logout, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]


def _endpoint(gateway: Gateway, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            principal = gateway.rights.authorise(request, Scope.VIEW)
            facts = await page.facts(gateway, request, principal)
        except Problem as problem:
            if problem.status == HTTPStatus.UNAUTHORIZED:
                return RedirectResponse(f"/login?next={quote(request.url.path)}", HTTPStatus.SEE_OTHER)
            return shown_page("problem.html", page.title, None, problem.status, problem=problem)
        return shown_page(page.template, page.title, principal, path=page.path, **facts)

    return endpoint


def shown_page(template: str, title: str, principal: Principal | None, status: int = 200, **facts: Any) -> HTMLResponse:
    """The page that *template* makes of *facts*."""
    content = _TEMPLATES.get_template(template).render(
        title=title, principal=principal, pages=PAGES, now_ms=clock.now_ms(), **{"path": "", **facts}
    )
    return HTMLResponse(content, status, {"Cache-Control": "no-store"})


async def _login_page(request: Request) -> Response:
    return shown_page("login.html", "Sign in", None, wrong=False)


def _login(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def login(request: Request) -> Response:
        form = parse_qs((await body_of(request, 4_096)).decode("ascii", "replace"))
        token = form.get("token", [""])[0].strip()
        if gateway.rights.principal_of(token) is None:
            return shown_page("login.html", "Sign in", None, HTTPStatus.UNAUTHORIZED, wrong=True)
        wanted = request.query_params.get("next", "/")
        to = wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"
        answer = RedirectResponse(to, HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    return login


async def _logout(request: Request) -> Response:
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE)
    return answer
