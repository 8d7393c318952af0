"""Dead letters: what was refused, and the same once more, as it was or with its fields repaired.

Whoever sends one again stands in a header of the record, `BY`, beside the letter that it comes from, `LETTER`. Ingest
decides anew; what it has accepted already it drops as a repeat, so that nothing is wrong with sending twice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catseye import clock
from catseye.contract.checks import check_content, check_identity, check_label, folded
from catseye.contract.dead_letters import destination
from catseye.contract.errors import BadRecord, Misconfigured, Reason, Unavailable
from catseye.contract.records import DeadLetter, Frame, Label
from catseye.contract.topics import BY_NAME, full_name
from catseye.rights.scopes import Principal
from catseye.view.keys import partition_and_offset
from services.gateway.bodies import CommandSent, LetterAgain, LettersAgain, LettersSent, json_of
from services.gateway.door import Gateway
from services.gateway.problem import Problem, not_found, refused, unavailable

BY: Final = "catseye-sent-again-by"
LETTER: Final = "catseye-dead-letter"
KEPT_MOST: Final = 5_000
"""Letters of the read model."""
TOGETHER_MOST: Final = 200
TOGETHER_BYTES: Final = 16 * 2**20
"""So many are in memory at once."""
_LONG: Final = 2**63
_PICTURE: Final = "jpeg"

Fields = dict[str, Any]


async def one(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """One dead letter, and under `fields` what can be repaired in it; null where its bytes are no record."""
    found = await _found(gateway, request, principal)
    letter = await _letter(gateway, found)
    try:
        fields = _repairable(_record(gateway, letter))
    except BadRecord:
        fields = None
    body = {**found, "fields": fields}
    return Response(msgspec.json.encode(body), headers={"Cache-Control": "no-store"}, media_type="application/json")


async def resend(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Send a refused record once more to the topic that it came from: byte for byte, or with fields repaired."""
    wanted = await json_of(request, LetterAgain, empty=LetterAgain())
    letter = await _letter(gateway, await _found(gateway, request, principal))
    try:
        topic = destination(letter, gateway.settings.topic_prefix)
        key, value = letter.key, letter.value
        if wanted.repair:
            key, value = _repaired(gateway, letter, wanted.repair, principal)
    except Misconfigured as fault:
        raise Problem(HTTPStatus.CONFLICT, "cannot_be_sent_again", str(fault)) from fault
    await _send(gateway, topic, key, value, principal, letter.dead_letter_id)
    body = msgspec.json.encode(CommandSent(letter.dead_letter_id))
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")


async def resend_all(gateway: Gateway, request: Request, principal: Principal) -> Response:
    """Send all that were refused for one reason once more, of the newest 5,000 dead letters; says how many."""
    wanted = await json_of(request, LettersAgain)
    kept = await his_letters(gateway, principal, KEPT_MOST)
    chosen = [each for each in kept if each["reason"] == wanted.reason and wanted.topic in (None, each["topic"])]
    sent = 0
    for together in _together(chosen):
        offsets = [_place(found)[1] for found in together]
        letters = await gateway.pictures.records("dead-letters", DeadLetter, _place(together[0])[0], offsets)
        for letter in letters:
            try:
                topic = destination(letter, gateway.settings.topic_prefix)
            except Misconfigured:
                continue
            await _send(gateway, topic, letter.key, letter.value, principal, letter.dead_letter_id)
            sent += 1
    body = msgspec.json.encode(LettersSent(sent=sent, left=len(chosen) - sent))
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")


async def his_letters(
    gateway: Gateway, principal: Principal, most: int, before_ms: float = float("inf")
) -> list[Fields]:
    """Dead letters of the read model that *principal* may see, the newest first."""
    found = await gateway.model.dead_letters(most, before_ms)
    return [letter for letter in found if principal.sees(letter.get("camera"))]


async def his_reasons(gateway: Gateway, principal: Principal) -> dict[str, int]:
    """How many there were, by TOPIC/REASON; for who has some cameras, of those, among the newest 5,000."""
    if not principal.cameras:
        return await gateway.model.dead_reasons()
    letters = await his_letters(gateway, principal, KEPT_MOST)
    return dict(sorted(Counter(f"{letter['topic']}/{letter['reason']}" for letter in letters).items()))


async def _found(gateway: Gateway, request: Request, principal: Principal) -> Fields:
    """A letter that is known and his. Raises `Problem`."""
    dead_letter_id = request.path_params["dead_letter_id"]
    found = await gateway.model.dead_letter(dead_letter_id)
    if found is None or not principal.sees(found.get("camera")):
        raise not_found(f"dead letter {dead_letter_id}")
    return found


async def _letter(gateway: Gateway, found: Fields) -> DeadLetter:
    return await gateway.pictures.record("dead-letters", DeadLetter, *_place(found))


def _place(found: Fields) -> tuple[int, int]:
    """Partition and offset where a letter of the read model lies."""
    return partition_and_offset(found["lies_at"])


def _record(gateway: Gateway, letter: DeadLetter) -> Frame | Label:
    """What was refused. Raises `BadRecord` where its bytes are no record."""
    prefix = gateway.settings.topic_prefix
    kind: type[Frame | Label] = Label if letter.topic == full_name("labels", prefix) else Frame
    return gateway.outbox.codec.decode(letter.value, kind)


def _repairable(record: Frame | Label) -> Fields:
    """Its fields but the picture."""
    return {name: value for name, value in msgspec.structs.asdict(record).items() if name != _PICTURE}


def _repaired(gateway: Gateway, letter: DeadLetter, repair: Fields, principal: Principal) -> tuple[bytes, bytes]:
    """Key and value of the record with other fields. Raises `Problem`."""
    try:
        record = _record(gateway, letter)
    except BadRecord as fault:
        raise Problem(
            HTTPStatus.CONFLICT,
            "cannot_be_repaired",
            f"Its bytes are no record, so it has no fields: {fault.detail}. It can be sent again as it is.",
        ) from fault
    if strange := sorted(repair.keys() - _repairable(record).keys()):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "field_out_of_range",
            f"{', '.join(strange)} cannot be repaired; {', '.join(_repairable(record))} can.",
        )
    try:
        changed = _checked(msgspec.convert({**msgspec.structs.asdict(record), **repair}, type(record)), gateway)
        value = gateway.outbox.codec.encode(changed)
    except msgspec.ValidationError as fault:
        raise Problem(HTTPStatus.BAD_REQUEST, "field_out_of_range", f"{fault}.") from fault
    except BadRecord as fault:
        raise refused(fault) from fault
    if not principal.sees(changed.camera):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "no_right",
            f"The token of {principal.name} is not for {changed.camera}; it is for {', '.join(principal.cameras)}.",
        )
    return BY_NAME["labels" if isinstance(changed, Label) else "frames"].key_of(changed), value


def _checked(record: Frame | Label, gateway: Gateway) -> Frame | Label:
    """*record* as ingest would take it. Raises `BadRecord`."""
    for name, value in msgspec.structs.asdict(record).items():
        if isinstance(value, int) and not -_LONG <= value < _LONG:
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{name} is {value}; it has 64 bits")
    check_identity(record.camera, record.boot, record.sequence)
    if isinstance(record, Label):
        check_label(record, clock.now_ms())
        return folded(record)
    check_content(record, clock.now_ms(), gateway.outbox.limits)
    return folded(record)


async def _send(
    gateway: Gateway, topic: str, key: bytes | None, value: bytes | None, principal: Principal, letter: str
) -> None:
    headers = [(BY, principal.name.encode()), (LETTER, letter.encode())]
    try:
        await gateway.outbox.send_bytes(topic, key, value, headers)
    except Unavailable as fault:
        raise unavailable(f"{fault}. Send it again: what was accepted meanwhile is dropped as a repeat.") from fault


def _together(chosen: Sequence[Fields]) -> Iterator[list[Fields]]:
    """Letters of one partition each, in the order in which they lie, as many as fit into memory."""
    together: list[Fields] = []
    size = 0
    for found in sorted(chosen, key=_place):
        more = found["value_bytes"]
        other = together and _place(together[0])[0] != _place(found)[0]
        if together and (other or len(together) >= TOGETHER_MOST or size + more > TOGETHER_BYTES):
            yield together
            together, size = [], 0
        together.append(found)
        size += more
    if together:
        yield together
