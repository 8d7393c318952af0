"""What a person may do: each is a command record with his name; its effect shows when the topic says so."""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catseye import clock
from catseye.contract.alert_commands import command_on
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import Alert, ModelEvent
from catseye.models.asking import asked
from catseye.models.asking import request as training_request
from catseye.rights.scopes import Principal
from services.gateway.bodies import AlertAsked, CommandSent, ModelAsked, TrainingAsked, json_of
from services.gateway.door import Gateway
from services.gateway.problem import Problem, unavailable
from services.gateway.reading import his_alert


async def on_alert(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Acknowledge or suppress an alert, or end its suppression. 202 with the command's id."""
    wanted = await json_of(request, AlertAsked)
    alert = msgspec.convert(await his_alert(gateway, request, principal), Alert)
    if wanted.revision is not None:
        alert = msgspec.structs.replace(alert, revision=wanted.revision)
    command = command_on(
        alert, wanted.action, principal.name, clock.now_ms(), until_ms=wanted.until_ms, reason=wanted.reason
    )
    return await _sent(gateway, "alert.commands", command, command.command_id)


async def on_model(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Promote, reject, roll back or approve a version. 202 with the command's id; 409 where it cannot be done."""
    _whole_fleet(principal)
    wanted = await json_of(request, ModelAsked)
    events = await _events(gateway)
    try:
        command = asked(
            events,
            wanted.action,
            wanted.version or "",
            request.path_params["model"],
            because=wanted.reason,
            by=principal.name,
            at_ms=clock.now_ms(),
        )
    except Misconfigured as fault:
        raise Problem(HTTPStatus.CONFLICT, "command_refused", str(fault)) from fault
    if wanted.seen_event_id is not None:
        command = msgspec.structs.replace(command, seen_event_id=wanted.seen_event_id)
    return await _sent(gateway, "model.commands", command, command.command_id)


async def train(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Ask for a training. 202 with the request's id."""
    _whole_fleet(principal)
    wanted = await json_of(request, TrainingAsked)
    try:
        record = training_request(await _events(gateway), principal.name, wanted.reason, clock.now_ms())
    except Misconfigured as fault:
        raise Problem(HTTPStatus.CONFLICT, "command_refused", str(fault)) from fault
    if record.model != wanted.model:
        raise Problem(
            HTTPStatus.CONFLICT,
            "command_refused",
            f"{wanted.model} is not the champion's model; that is {record.model}.",
        )
    return await _sent(gateway, "training.requests", record, record.request_id)


async def _events(gateway: Gateway) -> list[ModelEvent]:
    """Events of `models`; signatures are not in the read model, and no command needs them."""
    return [msgspec.convert({**event, "signature": b""}, ModelEvent) for event in await gateway.model.model_events()]


async def _sent(gateway: Gateway, topic: str, record: Any, command_id: str) -> Response:
    try:
        await gateway.outbox.send(topic, record)
    except Unavailable as fault:
        raise unavailable(str(fault)) from fault
    return _accepted(command_id)


def _accepted(command_id: str) -> Response:
    body = msgspec.json.encode(CommandSent(command_id))
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")


def _whole_fleet(principal: Principal) -> None:
    if principal.cameras:
        raise Problem(
            HTTPStatus.FORBIDDEN, "no_right", f"A model is for all cameras; the token of {principal.name} is for some."
        )
