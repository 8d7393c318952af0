"""Every route, once: who may, what it takes, what it answers. The application and its description follow."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catseye.rights.scopes import Principal, Scope
from services.gateway import actions, labelling, letters, publishing, reading
from services.gateway.bodies import (
    AlertAsked,
    CommandSent,
    FramePosted,
    FrameSent,
    LabelAnswered,
    LabelAnswerSent,
    LabelPosted,
    LabelSent,
    LetterAgain,
    LettersAgain,
    LettersSent,
    ModelAsked,
    OffersAsked,
    TrainingAsked,
)
from services.gateway.door import Gateway

Handler = Callable[[Gateway, Request, Principal], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        method: Of HTTP.
        path: As Starlette writes it.
        scope: Right that is needed; there is no route without one.
        handle: Does it, for somebody who has the right.
        takes: Type of the JSON body; None where there is none.
        gives: Type of the JSON answer, where it has one type.
        status: Of the answer when all is well.
        query: Parameters of the query and what they mean.
        headers: Headers that a request may have, and what they mean.
        media: What else the body may be, beside JSON.
        answers: Media type of the answer.
    """

    method: str
    path: str
    scope: Scope
    handle: Handler
    takes: type[msgspec.Struct] | None = None
    gives: type[msgspec.Struct] | None = None
    status: int = 200
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    media: tuple[str, ...] = ()
    answers: str = "application/json"

    @property
    def shown_path(self) -> str:
        """The path as OpenAPI writes it: parameters without their kind."""
        return re.sub(r":\w+}", "}", self.path)

    @property
    def summary(self) -> str:
        """What it does: the first paragraph of the handler's docstring."""
        return " ".join((self.handle.__doc__ or "").split())


_OF_FRAME = {
    "camera": "Camera of the frame, where the body is the picture alone.",
    "captured_at_ms": "When it was taken, Unix milliseconds; left out: now.",
    "explain": "1 asks for a class activation map.",
}
_KEY = {
    "Idempotency-Key": "NAME:NUMBER, such as pass-7:42. The same key is the same frame: it is accepted once, among "
    "2,048 numbers of a name and the last eight names of a camera. A key without a number names a single "
    "frame; repeats are recognised for a minute, then among the camera's last eight names.",
}
_JPEG = ("image/jpeg", "multipart/form-data")

ROUTES = (
    Route("POST", "/v1/frames", Scope.PUBLISH, publishing.publish, FramePosted, FrameSent, 202, _OF_FRAME, _KEY, _JPEG),
    Route(
        "POST",
        "/v1/predict",
        Scope.PUBLISH,
        publishing.predict,
        FramePosted,
        query={**_OF_FRAME, "wait_s": "Longest wait for the prediction, seconds."},
        headers=_KEY,
        media=_JPEG,
    ),
    Route("GET", "/v1/predictions/{frame:path}", Scope.VIEW, publishing.prediction),
    Route("POST", "/v1/labels", Scope.LABEL, publishing.label, LabelPosted, LabelSent, 202),
    Route("POST", "/v1/labels/offers", Scope.LABEL, labelling.offers, OffersAsked),
    Route("POST", "/v1/labels/answers", Scope.LABEL, labelling.answer, LabelAnswered, LabelAnswerSent, 202),
    Route("GET", "/v1/labels/progress", Scope.LABEL, labelling.progress),
    Route(
        "GET",
        "/v1/cameras",
        Scope.VIEW,
        reading.cameras,
        query={"after": "Name of the last camera of the page before.", "most": "Cameras of a page."},
    ),
    Route("GET", "/v1/cameras/{camera:path}/picture.jpg", Scope.VIEW, reading.picture, answers="image/jpeg"),
    Route(
        "GET",
        "/v1/cameras/{camera:path}/plots/{series}",
        Scope.VIEW,
        reading.plot,
        query={"span_s": "How far back, seconds."},
    ),
    Route("GET", "/v1/cameras/{camera:path}", Scope.VIEW, reading.camera),
    Route("GET", "/v1/frames/{partition:int}/{offset:int}.jpg", Scope.VIEW, reading.frame, answers="image/jpeg"),
    Route(
        "GET",
        "/v1/frames/{partition:int}/{offset:int}/activation.png",
        Scope.VIEW,
        reading.activation,
        query={"model": "Name of the model.", "version": "Its version; left out both: the champion."},
        answers="image/png",
    ),
    Route("GET", "/v1/alerts", Scope.VIEW, reading.alerts, query={"resolved": "true: those that are over."}),
    Route("GET", "/v1/alerts/{alert_id}", Scope.VIEW, reading.alert),
    Route("POST", "/v1/alerts/{alert_id}", Scope.OPERATE, actions.on_alert, AlertAsked, CommandSent, 202),
    Route("GET", "/v1/models", Scope.VIEW, reading.models),
    Route("POST", "/v1/models/{model}", Scope.OPERATE, actions.on_model, ModelAsked, CommandSent, 202),
    Route("POST", "/v1/trainings", Scope.OPERATE, actions.train, TrainingAsked, CommandSent, 202),
    Route(
        "GET",
        "/v1/dead-letters",
        Scope.VIEW,
        reading.dead_letters,
        query={"most": "Letters of a page.", "before_ms": "Only those refused before, Unix milliseconds."},
    ),
    Route("POST", "/v1/dead-letters", Scope.OPERATE, letters.resend_all, LettersAgain, LettersSent, 202),
    Route("GET", "/v1/dead-letters/{dead_letter_id}", Scope.VIEW, letters.one),
    Route("POST", "/v1/dead-letters/{dead_letter_id}", Scope.OPERATE, letters.resend, LetterAgain, CommandSent, 202),
    Route("GET", "/v1/system", Scope.VIEW, reading.system),
    Route("GET", "/v1/events", Scope.VIEW, reading.events, answers="text/event-stream"),
)
