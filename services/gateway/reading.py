"""`GET /v1/…`: the read model as JSON, live events, pictures."""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from catseye import clock
from catseye.contract.records import AcceptedFrame, ModelEvent
from catseye.models.stages import champion_in
from catseye.rights.scopes import Principal
from catseye.view import plots
from catseye.view.plots import MINUTES, QUARTERS
from services.gateway.door import Gateway
from services.gateway.letters import his_letters, his_reasons
from services.gateway.model import PAGE_MOST
from services.gateway.problem import Problem, not_found

_JPEG = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "inline"}
_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), headers={"Cache-Control": "no-store"}, media_type="application/json")


async def cameras(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Cameras by name, a page at a time; ``next`` is what to ask for `after`."""
    most = _whole(request, "most", 100, 1, PAGE_MOST)
    names = await gateway.model.camera_names(principal, request.query_params.get("after", ""), most)
    found = await gateway.model.cameras(names)
    return json({"cameras": found, "next": names[-1] if len(names) == most else None})


async def camera(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """One camera: what is known of it now, its signals, the versions that predicted it."""
    return json(await known_camera(gateway, request, principal))


async def plot(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """A series of one camera: times in Unix milliseconds and values, of the last hours (`span_s`)."""
    found = await known_camera(gateway, request, principal)
    name, span_ms = found["camera"], 1_000 * _whole(request, "span_s", 4 * 3_600, 60, 8 * 24 * 3_600)
    resolution = MINUTES if span_ms <= MINUTES.keep_ms else QUARTERS
    subjects: dict[str, list[tuple[str, str]]] = {
        plots.ACCURACY: [("accuracy", name)],
        plots.EVIDENCE: [(signal, f"{signal}/{name}") for signal in found["signals"]],
        plots.MIX: [(label, f"{label}/{name}") for label in sorted(found.get("probabilities") or {})],
        plots.VEHICLES: [(label, f"{label}/{name}") for label in sorted({each["label"] for each in found["vehicles"]})],
        plots.TELEMETRY: [(reading, f"{reading}/{name}") for reading in sorted(found.get("telemetry") or {})],
    }
    series = request.path_params["series"]
    if series not in subjects:
        raise not_found(f"series {series}; there are {', '.join(subjects)}")
    now_ms = clock.now_ms()
    drawn = {
        shown: [
            [at_ms, value] for at_ms, value in await gateway.model.plot(series, subject, resolution, now_ms, span_ms)
        ]
        for shown, subject in subjects[series]
    }
    return json({"camera": name, "series": series, "step_ms": resolution.step_ms, "lines": drawn})


async def picture(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """The newest picture of a camera, at most 320 pixels wide."""
    name = request.path_params["camera"]
    if not principal.sees(name) or (jpeg := await gateway.model.picture(name)) is None:
        raise not_found(f"picture of {name}")
    # A page asks with the time of the picture: it may keep what it has.
    kept = "private, max-age=60" if "at" in request.query_params else "no-store"
    return Response(jpeg, headers=_JPEG | {"Cache-Control": kept}, media_type="image/jpeg")


async def frame(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """A frame by where it lies in `frames.accepted`: PARTITION/OFFSET, as alerts and predictions name it."""
    found, _ = await _frame(gateway, request, principal)
    return Response(found.jpeg, headers=_JPEG | {"Cache-Control": "private, max-age=3600"}, media_type="image/jpeg")


async def activation(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Where a model looks in a frame: a picture to be laid over it; the header Catseye-Explanation says how to read it.

    It is computed when it is asked for; the model runs over the frame once more.
    """
    found, place = await _frame(gateway, request, principal)
    event = await _model_event(gateway, request)
    explained = await gateway.activations.of(found.jpeg, place, event["sha256"])
    explanation = {"model": event["model"], "version": event["version"], "label": explained.label}
    explanation |= {"probability": explained.probability, "method": explained.method}
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    headers["Catseye-Explanation"] = (
        msgspec.json.encode(explanation).decode().encode("ascii", "backslashreplace").decode()
    )
    return Response(explained.png, headers=headers, media_type="image/png")


async def _frame(gateway: Gateway, request: Request, principal: Principal) -> tuple[AcceptedFrame, tuple[int, int]]:
    """The frame that is asked for, and its partition and offset. Raises `Problem`."""
    partition, offset = request.path_params["partition"], request.path_params["offset"]
    found = await gateway.pictures.frame(partition, offset)
    if not principal.sees(found.camera):
        raise not_found(f"frame at partition {partition}, offset {offset}")
    return found, (partition, offset)


async def _model_event(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The newest event of the version that is asked for, or of the champion. Raises `Problem`."""
    model, version = request.query_params.get("model", ""), request.query_params.get("version", "")
    events = await gateway.model.model_events()
    if not model and not version:
        champion = champion_in([msgspec.convert({**event, "signature": b""}, ModelEvent) for event in events])
        model, version = (champion.model, champion.version) if champion else ("", "")
    for event in reversed(events):
        if (event["model"], event["version"]) == (model, version) and event["sha256"]:
            return event
    raise not_found(f"file of model {model} {version}".rstrip())


async def alerts(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Alerts, the newest first: those that are open, or with `resolved=true` those that are over."""
    resolved = request.query_params.get("resolved", "").lower() == "true"
    return json({"alerts": await his_alerts(gateway, principal, resolved=resolved)})


async def alert(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """The newest record of one alert."""
    return json(await his_alert(gateway, request, principal))


async def his_alerts(gateway: Gateway, principal: Principal, *, resolved: bool) -> list[dict[str, Any]]:
    """Alerts that *principal* may see, the newest first; one of a group tells the names of all its cameras."""
    return [alert for alert in await gateway.model.alerts(resolved=resolved) if _is_his(alert, principal)]


async def his_alert(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """The alert that the path names. Raises `Problem` where there is none, or it is not his."""
    alert_id = request.path_params["alert_id"]
    found = await gateway.model.alert(alert_id)
    if found is None or not _is_his(found, principal):
        raise not_found(f"alert {alert_id}")
    return found


def _is_his(alert: dict[str, Any], principal: Principal) -> bool:
    return principal.sees_all(alert.get("camera"), alert.get("cameras", ()))


async def models(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Every step of every version, decisions on training, and how champion and shadow compare."""
    model = gateway.model
    return json(
        {"events": await model.model_events(), "decisions": await model.decisions(), "races": await model.races()}
    )


async def dead_letters(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """What was refused, the newest first, and how many there were of each reason."""
    most = _whole(request, "most", 100, 1, PAGE_MOST)
    his = await his_letters(gateway, principal, most, _whole(request, "before_ms", 2**62, 0, 2**62))
    return json({"dead_letters": his, "reasons": await his_reasons(gateway, principal)})


async def system(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Whether it flows: records by topic, latency of the last ten minutes, how far the read model is."""
    return json(await system_facts(gateway))


async def system_facts(gateway: Gateway) -> dict[str, Any]:
    """What the system page shows."""
    hops = {hop: _summed(await gateway.model.latencies(hop, 600_000)) for hop in plots.HOPS}
    return {
        "records": await gateway.model.counts(),
        "latency_ms": {hop: _percentiles(histogram) for hop, histogram in hops.items()},
        "predictions": sum(hops["predict"]),
        "read_model": await gateway.model.progress(),
        "processes": await gateway.model.processes(),
    }


def _summed(slots: list[tuple[int, tuple[int, ...]]]) -> list[int]:
    return [sum(bins) for bins in zip(*(slot for _, slot in slots), strict=True)] or [0] * plots.LATENCY_BINS


def _percentiles(histogram: list[int]) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: plots.percentile_ms(histogram, share) for name, share in shares.items()}


async def events(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Server-sent events: `changes` with cameras, alerts, models, dead letters; `resync`: load anew."""
    if gateway.live.full:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too_many_streams",
            "As many event streams are open as CATSEYE_GATEWAY_STREAMS_MOST allows.",
            headers={"Retry-After": "10"},
        )
    after = request.headers.get("last-event-id") or request.query_params.get("after", "")
    return StreamingResponse(gateway.live.events(principal, after), headers=_STREAM, media_type="text/event-stream")


async def known_camera(gateway: Gateway, request: Request, principal: Principal) -> dict[str, Any]:
    """A camera that is known and his. Raises `Problem`."""
    name = request.path_params["camera"]
    found = await gateway.model.camera(name) if principal.sees(name) else None
    if found is None:
        raise not_found(f"camera {name}: it has sent nothing, or the token is not for it")
    return found


def _whole(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises `Problem`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "field_out_of_range",
            f"{name} is a whole number from {least} to {most}, not {text!r}.",
        )
    return int(text)
