"""Bodies of requests and answers, and how they are read."""

from http import HTTPStatus
from typing import Final, Literal, TypeVar

import msgspec
from starlette.requests import Request

from catseye.contract.records import AlertAction, Drawer, LabelAnswerKind
from services.gateway.problem import Problem

B = TypeVar("B", bound=msgspec.Struct)
BODY_MOST: Final = 65_536
"""Bytes of a body that holds no picture."""
_DROPPED_MOST = 4  # times as much as is taken


class FramePosted(msgspec.Struct, forbid_unknown_fields=True):
    """A frame as JSON.

    Attributes:
        camera: Its camera.
        jpeg: The picture, Base64.
        captured_at_ms: When it was taken, Unix milliseconds; left out: now.
        telemetry: Readings of the device by name.
        explain: Asks for a class activation map with the prediction.
    """

    camera: str
    jpeg: bytes
    captured_at_ms: int | None = None
    telemetry: dict[str, float] = {}
    explain: bool = False


class FrameSent(msgspec.Struct):
    """A frame that the broker has.

    Attributes:
        frame: Its name, ``camera/boot/sequence``: its prediction and its label carry it.
        camera: Its camera.
        boot: Name of the counter.
        sequence: Number within the boot.
    """

    frame: str
    camera: str
    boot: str
    sequence: int


class LabelPosted(msgspec.Struct, forbid_unknown_fields=True):
    """What a frame showed.

    Attributes:
        frame: ``camera/boot/sequence``.
        label: The true class; null takes back what was said before.
        labelled_at_ms: When it was said, Unix milliseconds; left out: now.
        source: Where it comes from.
        propensity: Probability with which this frame was chosen to be labelled.
    """

    frame: str
    label: str | None
    labelled_at_ms: int | None = None
    source: str = "person"
    propensity: float = 1.0


class LabelSent(msgspec.Struct):
    """A label that the broker has."""

    frame: str
    label: str | None
    labelled_at_ms: int


class OffersAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Frames to be labelled are asked for.

    Attributes:
        most: How many, 1 to 20.
        again: Frames too that were offered to who asks and are not answered: a page that is loaded anew forgets them.
    """

    most: int = 20
    again: bool = False


class LabelAnswered(msgspec.Struct, forbid_unknown_fields=True):
    """What a person says of a frame that was offered to him.

    Attributes:
        answer_id: A name for this answer, of one's own: the same again changes nothing, and undone takes it back.
        frame: ``camera/boot/sequence``, as it was offered.
        drawer: As it was offered.
        answer: labelled, not_sure, not_in_list, skipped or undone.
        label: The class; of not_in_list a name for what it is, null for none.
        same: Near-identical frames of the offer that the answer holds for too.
        second_opinion: As it was offered.
        took_ms: How long it was looked at, milliseconds.
    """

    answer_id: str
    frame: str
    drawer: Drawer
    answer: LabelAnswerKind
    label: str | None = None
    same: list[str] = []
    second_opinion: bool = False
    took_ms: int = 0


class LabelAnswerSent(msgspec.Struct):
    """An answer that the broker has."""

    answer_id: str


class AlertAsked(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with an alert.

    Attributes:
        action: acknowledge, suppress or unsuppress.
        until_ms: Until when it is suppressed, Unix milliseconds; null: until it resolves.
        reason: Why.
        revision: Revision of the record that was looked at; left out: the newest.
    """

    action: AlertAction
    until_ms: int | None = None
    reason: str = ""
    revision: int | None = None


class ModelAsked(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with a version.

    Attributes:
        action: promote, reject, roll_back or approve.
        version: Which; of roll_back the champion that is to go, null for whichever it is.
        reason: Why.
        seen_event_id: Newest model event that was looked at.
    """

    action: Literal["promote", "reject", "roll_back", "approve"]
    version: str | None = None
    reason: str = ""
    seen_event_id: str | None = None


class TrainingAsked(msgspec.Struct, forbid_unknown_fields=True):
    """A training is asked for."""

    model: str
    reason: str = ""


class CommandSent(msgspec.Struct):
    """A command that the broker has; the event that it leads to names it."""

    command_id: str


class LetterAgain(msgspec.Struct, forbid_unknown_fields=True):
    """A dead letter is sent once more.

    Attributes:
        repair: Fields of the record that are to be other ones, by name (`GET` lists them); none: byte for byte.
    """

    repair: dict[str, str | int | float | bool | list[float] | dict[str, float] | None] = {}


class LettersAgain(msgspec.Struct, forbid_unknown_fields=True):
    """All dead letters of one reason are sent once more.

    Attributes:
        reason: Their reason code.
        topic: Only those that came from this topic, full name; null: from any.
    """

    reason: str
    topic: str | None = None


class LettersSent(msgspec.Struct):
    """Dead letters that were sent once more.

    Attributes:
        sent: How many the broker has.
        left: How many cannot be sent: only a service writes to where they came from, or they are not kept whole.
    """

    sent: int
    left: int


async def body_of(request: Request, most: int) -> bytes:
    """The whole body, of at most *most* bytes. Raises `Problem`.

    What is longer is read on for a while and dropped: most clients hear an answer only when they have sent all.
    """
    body, read = bytearray(), 0
    async for chunk in request.stream():
        read += len(chunk)
        if read <= most:
            body += chunk
        elif read > _DROPPED_MOST * most:
            break
    if read <= most:
        return bytes(body)
    raise Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"The body has more than {most} bytes (CATSEYE_GATEWAY_BODY_MAX_BYTES).",
    )


async def json_of(request: Request, kind: type[B], most: int = BODY_MOST, *, empty: B | None = None) -> B:
    """The body as *kind*; *empty*, if any, where there is none. Raises `Problem` with what is wrong in it."""
    body = await body_of(request, most)
    if not body and empty is not None:
        return empty
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as fault:
        raise Problem(HTTPStatus.BAD_REQUEST, "field_out_of_range", f"{fault}.") from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:  # the last of 50,000 brackets
        raise Problem(HTTPStatus.BAD_REQUEST, "not_json", f"The body is no JSON: {fault}.") from fault
