"""Labels from people: frames are offered, answers become labels and records of who decided what."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catseye import clock
from catseye.client.drafts import FrameId, label_of
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.identity import frame_id
from catseye.contract.records import Label, LabelAnswer, LabelSuspect
from catseye.rights.scopes import Principal
from catseye.view.keys import partition_and_offset
from services.gateway.agreement import kappa
from services.gateway.bodies import LabelAnswered, LabelAnswerSent, OffersAsked, json_of
from services.gateway.door import Gateway
from services.gateway.problem import Problem, refused, unavailable
from services.gateway.publishing import named
from services.gateway.reading import json

OFFERS_MOST = 20
_HOUR_MS = 3_600_000
_OTHER = "other"
"""Label of a kind that the model has no class for, where nobody names it."""


class _Offered(NamedTuple):
    """What is known of the frames of an answer.

    Attributes:
        chances: Chance with which each was drawn.
        second: Whether somebody else has answered before.
        known: What the queue knows of the one that was shown.
        by: Who answered before.
    """

    chances: list[float]
    second: bool
    known: Mapping[str, Any] = MappingProxyType({})
    by: str | None = None


async def offers(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Frames to be looked at, leased for 90 s to who asks: nobody else gets them meanwhile."""
    wanted = await json_of(request, OffersAsked)
    if not 1 <= wanted.most <= OFFERS_MOST:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "field_out_of_range", f"most is from 1 to {OFFERS_MOST}, not {wanted.most}."
        )
    now_ms = clock.now_ms()
    budget = gateway.settings.gateway_labels_per_hour
    if budget and (await _given(gateway, now_ms - _HOUR_MS))[0].total() >= budget:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "label_budget_spent",
            f"{budget} labels were given within an hour, which is as many as are wanted "
            "(CATSEYE_GATEWAY_LABELS_PER_HOUR). Thank you; come back later.",
            headers={"Retry-After": "60"},
        )
    found = await gateway.offers.some(principal, wanted.most, now_ms, again=wanted.again)
    return json({"offers": found, "waiting": await gateway.offers.waiting()})


async def answer(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """202 once the broker has the answer, and the label where it is one. The same answer_id again changes nothing."""
    answered = await json_of(request, LabelAnswered)
    _check(answered)
    names = [named(frame) for frame in (answered.frame, *answered.same)]
    if not all(principal.sees(name.camera) for name in names):
        raise Problem(HTTPStatus.FORBIDDEN, "no_right", f"A frame is of a camera that {principal.name} may not see.")
    undone = answered.answer == "undone"
    of_kind = "undone" if undone else "given"
    marker = f"{gateway.settings.topic_prefix}label-answer:{principal.name}:{answered.answer_id}:{of_kind}"
    began_ms = await _began(gateway, marker)
    if began_ms is None:
        return _accepted(answered)
    offered = _Offered([1.0] * len(names), answered.second_opinion)
    if not undone or answered.drawer == "suspect":
        offered = await _offered(gateway, answered, names[0].camera, principal)
    first, second = names[0], offered.second
    record = LabelAnswer(
        answer_id=answered.answer_id,
        camera=first.camera,
        boot=first.boot,
        sequence=first.sequence,
        drawer=answered.drawer,
        chance=offered.chances[0],
        answer=answered.answer,
        label=answered.label or (_OTHER if answered.answer == "not_in_list" else None),
        second_opinion=second,
        also_labelled=len(answered.same),
        by=principal.name,
        took_ms=max(0, answered.took_ms),
        at_ms=began_ms,
    )
    labels = _labels(record, names, offered)
    try:
        await asyncio.gather(*(gateway.outbox.send("labels", label) for label in labels))
        if suspect := await _in_doubt(gateway, record, offered):
            await gateway.outbox.send("labels.suspects", suspect)
        await gateway.outbox.send("labels.answers", record)
    except Unavailable as fault:
        raise unavailable(str(fault)) from fault
    await gateway.model.ask(gateway.model.redis.set(marker, "done", ex=_HOUR_MS // 1_000))
    if answered.answer in ("skipped", "undone"):
        await gateway.offers.give_back((answered.frame, *answered.same), principal.name, second=second)
    else:
        await gateway.offers.answered((answered.frame, *answered.same), principal.name, second=second)
    return _accepted(answered)


def _labels(answer: LabelAnswer, names: Sequence[FrameId], offered: _Offered) -> list[Label]:
    """Labels that an answer leads to. Raises `Problem`.

    An answer that is taken back withdraws its label; a correction that is taken back gives the label that was in doubt.
    """
    label, undone, in_doubt = answer.label, answer.answer == "undone", None
    if answer.drawer == "suspect":
        in_doubt = str(offered.known["predicted"])
        label = in_doubt if undone else label
    if not undone and (label is None or label == in_doubt):
        return []
    source, at_ms = offered.known.get("source") or _source(answer.drawer), answer.at_ms
    try:
        return [
            label_of(name, label, at_ms, now_ms=at_ms, source=source, propensity=chance)
            for name, chance in zip(names, offered.chances, strict=True)
        ]
    except BadRecord as fault:
        raise refused(fault) from fault


async def progress(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """What was given: by the person who asks, by all, in the last hour; how far people agree; what labels buy."""
    return json(await progress_of(gateway, principal))


async def progress_of(gateway: Gateway, principal: Principal) -> dict[str, Any]:
    """What the label page shows of it."""
    now_ms = clock.now_ms()
    hour, ever = await _given(gateway, now_ms - _HOUR_MS, 0)
    keys, redis = gateway.model.keys, gateway.model.redis
    labels = await gateway.model.ask(redis.hgetall(keys.opinion_labels))
    opinions: dict[str, dict[str, str]] = {}
    for who, label in labels.items():
        person, _, frame = who.decode().partition("\n")
        opinions.setdefault(frame, {})[person] = label.decode()
    pairs = [tuple(each.values()) for each in opinions.values() if len(each) == 2]
    return {
        "mine": ever[principal.name],
        "all": ever.total(),
        "hour": hour.total(),
        "budget": gateway.settings.gateway_labels_per_hour or None,
        "people": [{"name": name, "answers": count} for name, count in ever.most_common()],
        "waiting": await gateway.offers.waiting(),
        "second_opinions": len(pairs),
        "kappa": kappa([(one, other) for one, other in pairs]),
    }


async def _given(gateway: Gateway, *since_ms: int) -> list[Counter[str]]:
    """Answers by person since each of the times, Unix milliseconds."""
    keys, redis = gateway.model.keys, gateway.model.redis
    people = [name.decode() for name in await gateway.model.ask(redis.zrange(keys.people, 0, -1))]
    pipeline = redis.pipeline(transaction=False)
    for least_ms in since_ms:
        for name in people:
            pipeline.zcount(keys.answers_of(name), least_ms, "+inf")
    found = iter(await gateway.model.ask(pipeline.execute()))
    return [Counter({name: next(found) for name in people}) for _ in since_ms]


async def _offered(gateway: Gateway, answered: LabelAnswered, camera: str, principal: Principal) -> _Offered:
    """What is known of the frames of an answer. Raises `Problem` 409.

    Near-identical frames were drawn one by one, the less sure the model the likelier: each has a chance of its own. One
    that has left the drawer since has that of the frame that was shown.
    """
    known, *others = await gateway.offers.known([answered.frame, *answered.same], camera, answered.drawer)
    if known is None:
        raise Problem(
            HTTPStatus.CONFLICT,
            "not_offered",
            f"{answered.frame} is not in the drawer {answered.drawer} any more: it is labelled, or gone. "
            "Take the next one.",
        )
    by = None
    if answered.drawer != "suspect":  # there anybody may look again, also who looked first
        by = await gateway.model.ask(gateway.model.redis.hget(gateway.model.keys.answered_by, answered.frame))
        by = None if by is None else by.decode()
    second = by is not None and by != principal.name
    for frame in (answered.frame, *answered.same):
        if not await gateway.offers.take(frame, principal.name, second=second):
            raise Problem(
                HTTPStatus.CONFLICT, "leased_to_another", f"Somebody else looks at {frame}: the time for it was up."
            )
    if second and not known["twice"]:
        raise Problem(HTTPStatus.CONFLICT, "answered_already", f"Somebody else has answered for {answered.frame}.")
    return _Offered([float((each or known)["chance"]) for each in (known, *others)], second, known, by)


def _source(drawer: str) -> str:
    return "audit" if drawer == "audit" else "person"


async def _in_doubt(gateway: Gateway, answer: LabelAnswer, offered: _Offered) -> LabelSuspect | None:
    """What two people who disagree put in doubt; None where they agree, or one of them gave no class."""
    if not offered.second or offered.by is None or answer.label is None:
        return None
    frame = frame_id(answer.camera, answer.boot, answer.sequence)
    labels_of = gateway.model.keys.opinion_labels
    before = await gateway.model.ask(gateway.model.redis.hget(labels_of, f"{offered.by}\n{frame}"))
    if before is None or before.decode() == answer.label:
        return None
    partition, offset = partition_and_offset(offered.known["place"])
    return LabelSuspect(
        camera=answer.camera,
        boot=answer.boot,
        sequence=answer.sequence,
        frame_partition=partition,
        frame_offset=offset,
        received_at_ms=offered.known["received_at_ms"],
        label=answer.label,
        classes=offered.known["classes"],
        source=_source(answer.drawer),
        propensity=answer.chance,
        because="opinions",
        by=answer.by,
        at_ms=answer.at_ms,
    )


async def _began(gateway: Gateway, marker: str) -> int | None:
    """When this answer was first heard, Unix milliseconds; None where all of it is done."""
    redis, now_ms = gateway.model.redis, clock.now_ms()
    if await gateway.model.ask(redis.set(marker, now_ms, nx=True, ex=_HOUR_MS // 1_000)):
        return now_ms
    found = await gateway.model.ask(redis.get(marker))
    return None if found == b"done" else int(found or now_ms)


def _check(answered: LabelAnswered) -> None:
    """Raises `Problem` 400 where the parts do not fit together."""
    wrong = None
    if answered.answer == "labelled" and answered.label is None:
        wrong = "An answer that is labelled needs a label."
    elif answered.answer not in ("labelled", "not_in_list") and answered.label is not None:
        wrong = f"An answer that is {answered.answer} has no label."
    elif not 1 <= len(answered.answer_id) <= 64:
        wrong = "answer_id has 1 to 64 characters."
    elif len(answered.same) >= OFFERS_MOST:
        wrong = f"same names at most {OFFERS_MOST - 1} frames."
    if wrong:
        raise Problem(HTTPStatus.BAD_REQUEST, "field_out_of_range", wrong)


def _accepted(answered: LabelAnswered) -> Response:
    body = msgspec.json.encode(LabelAnswerSent(answered.answer_id))
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")
