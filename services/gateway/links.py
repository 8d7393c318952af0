"""The link in a message that acknowledges its incident. GET shows what it is about and asks; POST does it.

Scanners of mails follow links, so a GET changes nothing. The link itself is the right, to this and nothing else: no
token is asked for, and no cookie is read, so no other site can lend one.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from catseye import clock
from catseye.contract.alert_commands import command_on
from catseye.contract.errors import Unavailable
from catseye.contract.records import Alert
from catseye.rights.links import PATH, Link, Links
from services.gateway.door import Gateway
from services.gateway.pages import shown_page
from services.gateway.problem import Problem, unavailable

_ALERTS_MOST = 10_000
_NOT_SEEN = ("opened", "updated")


def link_routes(gateway: Gateway) -> list[BaseRoute]:
    """The two routes."""
    links = Links(gateway.settings.links_key_path, 0)

    async def ask(request: Request) -> Response:
        return await _answered(request, done=False)

    async def acknowledge(request: Request) -> Response:
        return await _answered(request, done=True)

    async def _answered(request: Request, *, done: bool) -> Response:
        try:
            link = _link(links, request)
            alerts = await _alerts(gateway, link)
            if done:
                await _acknowledged(gateway, link, alerts)
        except Problem as fault:
            return shown_page("acknowledge.html", "Acknowledge", None, fault.status, alerts=[], done=False, fault=fault)
        return shown_page("acknowledge.html", "Acknowledge", None, alerts=alerts, done=done, fault=None)

    path = PATH + "{link}"
    return [HttpRoute(path, ask, methods=["GET"]), HttpRoute(path, acknowledge, methods=["POST"])]


def _link(links: Links, request: Request) -> Link:
    link = links.read(request.path_params["link"], clock.now_ms())
    if link is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "not_found",
            "This link has expired, or was not written by this Catseye. The page Alerts acknowledges too.",
        )
    return link


async def _alerts(gateway: Gateway, link: Link) -> list[dict[str, Any]]:
    """Alerts of the incident that are not over."""
    found = await gateway.model.alerts(resolved=False, most=_ALERTS_MOST)
    return [alert for alert in found if (alert.get("incident_id") or alert["alert_id"]) == link.incident_id]


async def _acknowledged(gateway: Gateway, link: Link, alerts: list[dict[str, Any]]) -> None:
    """One command an alert that nobody has seen; the name on it is the route's, who was told."""
    now_ms = clock.now_ms()
    for found in alerts:
        if found["state"] not in _NOT_SEEN:
            continue
        command = command_on(msgspec.convert(found, Alert), "acknowledge", f"{link.route} (link)", now_ms)
        try:
            await gateway.outbox.send("alert.commands", command)
        except Unavailable as fault:
            raise unavailable(str(fault)) from fault
