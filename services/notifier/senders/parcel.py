"""What a sender is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from catseye.contract.records import Place
from services.notifier.content import Content, digest_title
from services.notifier.facts import ROLLOUT
from services.notifier.known import Attempt, Result

LINKS_MOST = 20
"""Incidents of a digest that are listed; of more the rest is counted."""


@dataclass(frozen=True)
class Surroundings:
    """What senders need beside the attempt.

    Attributes:
        pages: Address of the pages; empty: messages have no links.
        acknowledge: Path of the link that acknowledges an incident, of incident, route and moment.
        picture: JPEG of a frame by its place; None where it is not kept any more.
        timeout_s: How long one server may take.
    """

    pages: str
    acknowledge: Callable[[str, str, int], str]
    picture: Callable[[Place], bytes | None]
    timeout_s: float


class Sender(Protocol):
    """One route's way out."""

    def send(self, attempt: Attempt) -> Result:
        """Send it, however long that takes; never raises for what a server does."""


def title(attempt: Attempt) -> str:
    """One line, of a reply as of a first message."""
    return digest_title(attempt.contents)


def page(content: Content, around: Surroundings) -> str:
    """Address of the page of an incident; empty where there are no links."""
    if not around.pages:
        return ""
    path = "/models" if content.kind == ROLLOUT else "/alerts"
    if len(content.cameras) == 1 and content.state != "example":
        path = f"/cameras/{quote(content.cameras[0], safe='')}"
    return around.pages.rstrip("/") + path


def acknowledge(content: Content, route: str, around: Surroundings) -> str:
    """Address that acknowledges an incident; empty where that makes no sense, or there are no links."""
    if not around.pages or not content.may_acknowledge:
        return ""
    return around.pages.rstrip("/") + around.acknowledge(content.incident_id, route, content.at_ms)


def plain(attempt: Attempt, around: Surroundings) -> str:
    """The whole message as plain text without its title."""
    if len(attempt.contents) > 1:
        lines = [f"- {content.title} {page(content, around)}".rstrip() for content in attempt.contents[:LINKS_MOST]]
        more = len(attempt.contents) - LINKS_MOST
        return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])
    (content,) = attempt.contents
    links = []
    if found := page(content, around):
        links.append(f"Page: {found}")
    if found := acknowledge(content, attempt.route, around):
        links.append(f"Acknowledge: {found}")
    return "\n\n".join([*content.text, *(["\n".join(links)] if links else [])])
