"""The container that handlers are given."""

from dataclasses import dataclass

from services.gateway.activation import Activations
from services.gateway.answers import Answers
from services.gateway.live import Live
from services.gateway.model import ReadModel
from services.gateway.offers import Offers
from services.gateway.oidc import Oidc
from services.gateway.outbox import Outbox
from services.gateway.pictures import Pictures
from services.gateway.rights import Rights
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """What one gateway has.

    Attributes:
        settings: As it was started with.
        rights: Who may come in.
        outbox: Writes to topics.
        answers: Knows what came of frames lately.
        model: The read model.
        live: Open pages.
        pictures: Frames by where they lie.
        offers: Frames that people are asked to label.
        activations: Where models look.
        oidc: Where people sign in; None where that is not set.
    """

    settings: GatewaySettings
    rights: Rights
    outbox: Outbox
    answers: Answers
    model: ReadModel
    live: Live
    pictures: Pictures
    offers: Offers
    activations: Activations
    oidc: Oidc | None = None
