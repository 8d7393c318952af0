"""`POST /v1/frames`, `/v1/labels`, `/v1/predict`: what a publisher on HTTP does."""

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catseye import clock
from catseye.client.drafts import Drafts, label_of
from catseye.client.drafts import FrameId as FrameName
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.identity import frame_id
from catseye.contract.records import DeadLetter, Frame, Place, Prediction
from catseye.rights.scopes import Principal
from services.gateway.bodies import FramePosted, FrameSent, LabelPosted, LabelSent, body_of, json_of
from services.gateway.door import Gateway
from services.gateway.problem import Problem, refused, unavailable

_NUMBERED = re.compile(r"(?P<boot>.+)[.:](?P<sequence>\d{1,18})")


async def publish(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """202 with the frame's name once the broker has it."""
    frame, _ = await _published(gateway, request, principal)
    return _accepted(frame)


async def predict(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """200 with the prediction, 422 with what the dead letter says, 202 where neither came in time; never silence."""
    wait_s = _wait_s(gateway, request)
    frame, sent = await _published(gateway, request, principal)
    name = frame_id(frame.camera, frame.boot, frame.sequence)
    found = await gateway.answers.of((frame.camera, frame.boot, frame.sequence), sent, wait_s)
    if isinstance(found, DeadLetter):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, found.reason, found.detail, frame=name, dead_letter_id=found.dead_letter_id
        )
    if found is None:
        return _accepted(frame)
    return Response(as_json(found), media_type="application/json")


async def prediction(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """The prediction of a frame of the last minute."""
    name = named(request.path_params["frame"])
    if not principal.sees(name.camera):
        raise _not_his(principal, name.camera)
    found = gateway.answers.known((name.camera, name.boot, name.sequence))
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "not_found",
            f"No prediction of {name} came in the last minute; older ones are on the topic.",
        )
    return Response(as_json(found), media_type="application/json")


async def label(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """202 once the broker has the label."""
    posted = await json_of(request, LabelPosted, gateway.settings.gateway_body_max_bytes)
    name = named(posted.frame)
    if not principal.sees(name.camera):
        raise _not_his(principal, name.camera)
    try:
        record = label_of(
            name,
            posted.label,
            posted.labelled_at_ms,
            now_ms=clock.now_ms(),
            source=posted.source,
            propensity=posted.propensity,
        )
    except BadRecord as fault:
        raise refused(fault) from fault
    await _send(gateway, "labels", record)
    sent = LabelSent(frame=posted.frame, label=record.label, labelled_at_ms=record.labelled_at_ms)
    return Response(msgspec.json.encode(sent), HTTPStatus.ACCEPTED, media_type="application/json")


def as_json(record: Prediction | DeadLetter) -> bytes:
    """A record as HTTP has it: bytes as Base64, and the frame's name."""
    fields = msgspec.to_builtins(record)
    if isinstance(record, Prediction):
        fields["frame"] = frame_id(record.camera, record.boot, record.sequence)
    return msgspec.json.encode(fields)


def _accepted(frame: Frame) -> Response:
    """202: the broker has the frame; where its prediction will be."""
    name = frame_id(frame.camera, frame.boot, frame.sequence)
    sent = FrameSent(frame=name, camera=frame.camera, boot=frame.boot, sequence=frame.sequence)
    location = {"Location": f"/v1/predictions/{quote(name)}"}
    return Response(msgspec.json.encode(sent), HTTPStatus.ACCEPTED, location, media_type="application/json")


async def _published(gateway: Gateway, request: Request, principal: Principal) -> tuple[Frame, Place | None]:
    """The frame, and where it lies; None where its prediction is there already: it is not sent again then."""
    posted = await _posted(gateway, request)
    if not principal.sees(posted.camera):
        raise _not_his(principal, posted.camera)
    drafts, sequence = _drafts(gateway, request.headers.get("idempotency-key"))
    try:
        frame = drafts.frame(
            posted.jpeg,
            posted.captured_at_ms,
            now_ms=clock.now_ms(),
            camera=posted.camera,
            telemetry=posted.telemetry,
            explain=posted.explain,
        )
    except BadRecord as fault:
        raise refused(fault) from fault
    if sequence is not None:
        frame = msgspec.structs.replace(frame, sequence=sequence)
        if gateway.answers.known((frame.camera, frame.boot, frame.sequence)) is not None:
            return frame, None
    return frame, await _send(gateway, "frames", frame)


def _drafts(gateway: Gateway, key: str | None) -> tuple[Drafts, int | None]:
    """Who numbers the frame. With a key the frame is the same at each try: ingest drops what comes again.

    A key that ends in a number behind a colon or a dot is a boot and a sequence number: of one boot, 2,048 numbers are
    told apart, and of boots with one frame each the last eight of a camera only. What was predicted in the last minute
    is told apart whatever its name; there is no store beside the topics that could do more.
    """
    if key is None:
        return gateway.outbox.drafts, None
    numbered = _NUMBERED.fullmatch(key)
    boot, sequence = (numbered["boot"], int(numbered["sequence"])) if numbered else (key, 0)
    if "/" in boot or not boot.isprintable():
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "bad_key",
            "An Idempotency-Key has printable characters and no stroke, such as pass-7:42.",
        )
    try:
        return Drafts(boot, limits=gateway.outbox.limits), sequence
    except BadRecord as fault:
        raise refused(fault) from fault


async def _posted(gateway: Gateway, request: Request) -> FramePosted:
    """The frame of a request: a JPEG as body with the camera in the query, or JSON with the picture as Base64."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    most = gateway.settings.gateway_body_max_bytes
    if kind == "application/json":
        return await json_of(request, FramePosted, most * 4 // 3 + 4_096)
    if kind == "multipart/form-data":
        return await _of_form(request, most)
    if kind not in ("image/jpeg", "image/jpg", "application/octet-stream", ""):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"A frame is sent as image/jpeg, multipart/form-data or application/json, not as {kind}.",
        )
    jpeg = await body_of(request, most)
    return _with_query(request, jpeg)


async def _of_form(request: Request, most: int) -> FramePosted:
    if int(request.headers.get("content-length") or most + 1) > most + 4_096:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"The body has more than {most} bytes, or does not say.",
        )
    async with request.form(max_files=1, max_fields=10, max_part_size=most) as form:
        file: Any = form.get("jpeg") or form.get("file")
        if file is None or isinstance(file, str):
            raise Problem(HTTPStatus.BAD_REQUEST, "jpeg_empty", "The form has no file in its field `jpeg`.")
        jpeg = await file.read()
        camera = form.get("camera") or request.query_params.get("camera", "")
        return FramePosted(camera=str(camera), jpeg=jpeg)


def _with_query(request: Request, jpeg: bytes) -> FramePosted:
    query = request.query_params
    try:
        captured_at_ms = int(query["captured_at_ms"]) if "captured_at_ms" in query else None
    except ValueError as fault:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "field_out_of_range", "captured_at_ms is a whole number of Unix milliseconds."
        ) from fault
    explain = query.get("explain", "").lower() in ("1", "true", "yes")
    return FramePosted(camera=query.get("camera", ""), jpeg=jpeg, captured_at_ms=captured_at_ms, explain=explain)


async def _send(gateway: Gateway, topic: str, record: Any) -> Place:
    try:
        return await gateway.outbox.send(topic, record)
    except Unavailable as fault:
        raise unavailable(f"{fault}. Send it again with the same Idempotency-Key.") from fault


def _wait_s(gateway: Gateway, request: Request) -> float:
    most = gateway.settings.gateway_predict_wait_s
    try:
        wait_s = float(request.query_params.get("wait_s", most))
    except ValueError:
        wait_s = -1
    if not 0 <= wait_s <= most:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "field_out_of_range", f"wait_s is a number of seconds from 0 to {most:g}."
        )
    return wait_s


def named(text: str) -> FrameName:
    """The parts of a frame's name. Raises `Problem` 422."""
    try:
        return FrameName.parse(text)
    except BadRecord as fault:
        raise refused(fault) from fault


def _not_his(principal: Principal, camera: str) -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN,
        "no_right",
        f"The token of {principal.name} is not for {camera}; it is for {', '.join(principal.cameras)}.",
    )
