"""The pages: each is whole without a script; with one it follows the live events."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

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
from catseye.models.commands import KnownModels, known_models
from catseye.rights.scopes import Principal, Scope
from catseye.view import plots
from services.gateway import race
from services.gateway.door import Gateway
from services.gateway.labelling import progress_of
from services.gateway.letters import his_letters, his_reasons
from services.gateway.problem import Problem
from services.gateway.reading import his_alerts, known_camera, system_facts
from services.gateway.routes import ROUTES
from services.gateway.show import FILTERS

_HERE: Final = Path(__file__).parent
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_TEMPLATES.filters |= FILTERS
_SEVERITIES: Final = ("critical", "warning", "info")
_WELL: Final = (len(_SEVERITIES), "", "")
_PERCENTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
EXAMPLE: Final = "car541.jpg"
"""A crop of `infra/example/crops/car`; a test looks that it is there."""
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
    worst: dict[str | None, tuple[int, str, str]] = {}
    for alert in await gateway.model.alerts(resolved=False):
        if alert["state"] in ("suppressed", "resolved"):
            continue
        rank = _SEVERITIES.index(alert["severity"]), alert["severity"], alert["kind"]
        for camera in {alert.get("camera"), *alert.get("cameras", [])}:
            worst[camera] = min(worst.get(camera, rank), rank)
    for camera in cameras:
        _, camera["severity"], camera["what"] = worst.get(camera["camera"], _WELL)
    cameras.sort(key=lambda camera: (worst.get(camera["camera"], _WELL)[0], camera["camera"]))
    counts = {
        "alert": sum(bool(camera["severity"]) for camera in cameras),
        "learning": sum(bool(camera.get("learning_left")) for camera in cameras),
    }
    return {"cameras": cameras, "counts": counts, "progress": await gateway.model.progress(), **_how(request)}


async def camera(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """One camera with what is wrong with it."""
    found = await known_camera(gateway, request, principal)
    name = found["camera"]
    alerts = await his_alerts(gateway, principal, resolved=False)
    concerning = [alert for alert in alerts if name == alert.get("camera") or name in alert.get("cameras", [])]
    signals = sorted(found["signals"].values(), key=lambda signal: (-signal["share"], signal["signal"]))
    versions = _json(found["versions"])
    return {"camera": found, "alerts": concerning, "signals": signals, "kinds": KINDS, "versions_json": versions}


async def alerts(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Open alerts, the gravest first, and the latest that are over."""
    found = [await his_alerts(gateway, principal, resolved=resolved) for resolved in (False, True)]
    found[0].sort(key=lambda alert: (alert["state"] == "suppressed", _SEVERITIES.index(alert["severity"])))
    return {"open": found[0], "over": found[1][:50], "kinds": KINDS}


async def models(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Versions as they stand, the race, decisions."""
    events = await gateway.model.model_events()
    known = known_models([msgspec.convert({**event, "signature": b""}, ModelEvent) for event in events])
    versions = [_version(event, known) for event in reversed(list(known.newest.values()))]
    return {
        "champion": next((version for version in versions if version["serves"]), None),
        "versions": versions,
        "races": await _races(gateway, events, known),
        "decisions": await gateway.model.decisions(20),
        "newest_event_id": events[-1]["event_id"] if events else "",
        "may_operate": principal.may(Scope.OPERATE) and not principal.cameras,
    }


def _version(event: ModelEvent, known: KnownModels) -> dict[str, Any]:
    """A version as the page shows it."""
    name = event.model, event.version
    stage = event.stage
    return msgspec.structs.asdict(event) | {
        "serves": name == known.champion,
        "awaits": name in known.awaiting,
        "shown_stage": "former champion" if stage == "champion" and name != known.champion else stage,
    }


async def _races(gateway: Gateway, events: list[dict[str, Any]], known: KnownModels) -> list[dict[str, Any]]:
    """Races of the champion that are under way."""
    shadows = {name for name, event in known.newest.items() if event.stage == "shadow"}
    now_ms, shown = clock.now_ms(), []
    for found in await gateway.model.races():
        model, champion, shadow = found["model"], found["champion"], found["shadow"]
        if (model, champion) != known.champion or (model, shadow) not in shadows:
            continue
        slots: dict[str, list[race.Slot]] = {}
        for propensity, cell in found["cells"].items():
            subject = f"{propensity}/{model}/{champion}/{shadow}"
            for resolution in (plots.MINUTES, plots.QUARTERS):
                kept = await gateway.model.plot(plots.RACE, subject, resolution, now_ms, resolution.keep_ms)
                slots[propensity] = [slot for slot in kept if any(slot[1])]
                if sum(sum(counts) for _, counts in kept) == sum(cell):
                    break
        one = race.shown(found, slots, events)
        shown.append(one | {"plot": _json(one["plot"])})
    return shown


async def dead_letters(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """What was refused."""
    reasons = await his_reasons(gateway, principal)
    ranked = sorted(
        ((key.rpartition("/")[2], key.rpartition("/")[0], count) for key, count in reasons.items()),
        key=lambda row: (-row[2], row),
    )
    return {"letters": await his_letters(gateway, principal, 100), "reasons": ranked}


async def label(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Where people label frames."""
    if not principal.may(Scope.LABEL):
        return {"may_label": False, "progress": None}
    return {"may_label": True, "progress": await progress_of(gateway, principal)}


async def system(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """Whether it flows."""
    facts = await system_facts(gateway)
    hops = [
        {"from": begin, "to": end, "values": list(facts["latency_ms"][hop].values())}
        for hop, begin, end in (
            ("capture", "taken, by the camera's clock", "received by ingest"),
            ("predict", "received by ingest", "predicted"),
        )
    ]
    return facts | {"hops": hops, "latency_plot": _json(await _latency_plot(gateway))}


async def _latency_plot(gateway: Gateway) -> dict[str, Any]:
    """From received to predicted over four hours, as the script draws it."""
    slots = [slot for slot in await gateway.model.latencies("predict", plots.MINUTES.keep_ms) if any(slot[1])]
    lines = [[name, [plots.percentile_ms(bins, part) for _, bins in slots]] for name, part in _PERCENTILES]
    says = f"In the newest minute half of the predictions took at most {lines[0][1][-1]:,.0f} ms." if slots else ""
    return {"times": [at_ms for at_ms, _ in slots], "series": lines, "milliseconds": True, "says": says}


async def http(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """The routes for scripts."""
    return {"routes": ROUTES, **_how(request)}


def _how(request: Request) -> dict[str, str]:
    """What an example needs that works as it stands."""
    return {"address": str(request.base_url), "example": EXAMPLE}


def _json(content: Any) -> str:
    """For an attribute that the script reads; the template escapes it."""
    return msgspec.json.encode(content).decode()


PAGES: Final = (
    Page("/", "fleet.html", "Fleet", fleet),
    Page("/cameras/{camera:path}", "camera.html", "Camera", camera),
    Page("/alerts", "alerts.html", "Alerts", alerts),
    Page("/models", "models.html", "Models", models),
    Page("/dead-letters", "dead_letters.html", "Dead letters", dead_letters),
    Page("/label", "label.html", "Label", label),
    Page("/system", "system.html", "System", system),
    Page("/http", "http.html", "HTTP", http),
)


def page_routes(gateway: Gateway) -> list[BaseRoute]:
    """Routes of all pages and of what they load."""
    return [
        *(HttpRoute(page.path, _endpoint(gateway, page), methods=["GET"]) for page in PAGES),
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
