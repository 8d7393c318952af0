"""What a message says of an incident: plain facts, of which each channel makes its own form. Pure."""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from catseye.contract.alert_kinds import KINDS
from catseye.contract.names import shown as visible
from catseye.contract.records import Place, Severity
from services.notifier.facts import ROLLOUT, FactState, Incident

NAMED_MOST: Final = 10
"""Cameras that a message names."""
ContentState = FactState | Literal["example"]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What one message says of one incident.

    Attributes:
        incident_id: The incident.
        revision: 0 for the first message, and one more with each edit.
        state: Of the incident.
        severity: The worst.
        kind: What it is called by.
        title: One line.
        text: Paragraphs.
        cameras: Names, the first of them.
        cameras_count: How many are concerned.
        model: Name of the model; empty where it is about none.
        version: Its version.
        since_ms: First suspect time, Unix milliseconds.
        at_ms: As of when this is, Unix milliseconds.
        before: A frame from before.
        after: A frame from after.
        may_acknowledge: Whether a link that acknowledges makes sense.
    """

    incident_id: str
    revision: int
    state: ContentState
    severity: Severity
    kind: str
    title: str
    text: tuple[str, ...]
    cameras: tuple[str, ...]
    cameras_count: int
    model: str
    version: str
    since_ms: int
    at_ms: int
    before: tuple[Place, ...] = ()
    after: tuple[Place, ...] = ()
    may_acknowledge: bool = False


def content_of(incident: Incident, revision: int, now_ms: int, *, escalated_from: str = "") -> Content:
    """What a message says of *incident*.

    Args:
        incident: As it is now.
        revision: Counts the messages of this incident on the route.
        now_ms: Unix milliseconds.
        escalated_from: Name of the route on which nobody acknowledged.
    """
    lead, shown = incident.lead, incident.shown
    text = [visible(lead.explanation)]
    if len(incident.cameras) > 1:
        more = len(incident.cameras) - NAMED_MOST
        named = ", ".join(visible(name) for name in incident.cameras[:NAMED_MOST])
        text.append(f"Cameras: {named}{f' and {more} more' if more > 0 else ''}.")
    if escalated_from:
        text.append(f"Nobody acknowledged it; it was sent to {escalated_from} first.")
    if shown.state == "acknowledged":
        text.append(f"{visible(lead.by) or 'Somebody'} has seen it.")
    if shown.state != "news":
        text.append(f"Since {_at(lead.since_ms)}.")
    return Content(
        incident_id=lead.incident_id,
        revision=revision,
        state=shown.state,
        severity=shown.severity,
        kind=lead.kind,
        title=title_of(incident),
        text=tuple(text),
        cameras=incident.cameras[:NAMED_MOST],
        cameras_count=len(incident.cameras),
        model=lead.model,
        version=lead.version,
        since_ms=lead.since_ms,
        at_ms=now_ms,
        before=lead.before,
        after=lead.after,
        may_acknowledge=shown.state == "open",
    )


def title_of(incident: Incident) -> str:
    """One line: ``critical: camera black, 40 cameras (open)``."""
    lead, shown = incident.lead, incident.shown
    if lead.kind == ROLLOUT:
        return f"model {visible(lead.model)} {visible(lead.version)}"
    if len(incident.cameras) > 1:
        where = f"{len(incident.cameras)} cameras"
    elif lead.service:
        where = f"service {visible(lead.service)}"
    else:
        where = visible(incident.cameras[0]) if incident.cameras else "the whole fleet"
    return f"{shown.severity}: {lead.kind.replace('_', ' ')}, {where} ({shown.state})"


def digest_title(contents: tuple[Content, ...]) -> str:
    """One line of a message about several incidents."""
    worst = min((content.severity for content in contents), key=("critical", "warning", "info").index)
    return contents[0].title if len(contents) == 1 else f"{worst}: {len(contents)} incidents"


def example(now_ms: int) -> Content:
    """What `catseye notify test` sends: marked, about nothing that is."""
    return Content(
        incident_id=f"example-{now_ms}",
        revision=0,
        state="example",
        severity="info",
        kind="camera_black",
        title="example: a message of Catseye (nothing is wrong)",
        text=(
            "Somebody tried this route with `catseye notify test`. Nothing is wrong with any camera.",
            f"A real message says what is wrong and what to do, for example: camera gate-7 "
            f"{KINDS['camera_black'].meaning}. {KINDS['camera_black'].action}.",
        ),
        cameras=("example",),
        cameras_count=1,
        model="",
        version="",
        since_ms=now_ms,
        at_ms=now_ms,
    )


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
