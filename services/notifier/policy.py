"""When an incident is worth another message, and when a message is tried again. Pure.

Law: at most six edits in the first hour of a message, and one an hour from then on, whatever happens. What a person
must know soon (worse, open again, over, seen) does not wait for what only became more.
"""

from typing import Final, Literal

import msgspec

from services.notifier.facts import Shown
from services.notifier.known import Message

Change = Literal["none", "more", "seen", "urgent", "over"]
SOON_MS: Final = 5_000
"""Shortest time between two messages about one incident."""
FIRST_GAP_MS: Final = 15_000
"""Before the first edit that only says more; three times as long before each further one."""
HOUR_MS: Final = 3_600_000
EDITS_MORE: Final = 3
"""Edits that may be spent on saying more,"""
EDITS_SOON: Final = 5
"""on what a person must know soon,"""
EDITS_OVER: Final = 6
"""and on that it is over."""
_SEVERITIES: Final = ("info", "warning", "critical")


class Patience(msgspec.Struct, frozen=True):
    """How long what is waited for.

    Attributes:
        settle_ms: From an alert to its first message: others of the incident may come.
        retry_ms: Before the first further try; doubled with each one.
        retry_most_ms: At most.
        give_up_ms: After so long a message is not tried again.
        failing_ms: A route that fails for so long is an alert.
        overflow_ms: From one digest to the next of a route that has had its messages of the hour.
        news_ms: Older steps of models are nobody's news.
        forget_ms: So long after its end an incident is forgotten.
        catch_up_ms: No longer does a start wait for the end of what was written meanwhile.
    """

    settle_ms: int = 500
    retry_ms: int = 2_000
    retry_most_ms: int = 60_000
    give_up_ms: int = 24 * HOUR_MS
    failing_ms: int = 60_000
    overflow_ms: int = 600_000
    news_ms: int = 24 * HOUR_MS
    forget_ms: int = 24 * HOUR_MS
    catch_up_ms: int = 30_000


def change(before: Shown, now: Shown) -> Change:
    """What the difference is worth."""
    if before == now:
        return "none"
    if now.state == "resolved":
        return "over"
    if _SEVERITIES.index(now.severity) > _SEVERITIES.index(before.severity) or now.state == "news":
        return "urgent"
    if now.state == "open" and before.state == "resolved":
        return "urgent"
    return "seen" if now.state != before.state else "more"


def edit_due_ms(message: Message, now: Shown, *, edits: bool) -> int | None:
    """When an incident that *message* shows is worth an edit; None: it is not.

    Args:
        message: Whose first message was delivered.
        now: What the incident is.
        edits: Whether the channel can edit. Where it cannot, an edit is one more message, and says only what a person
            must know soon.
    """
    assert message.shown is not None
    what = change(message.shown, now)
    if what == "none" or (not edits and what in ("more", "seen")):
        return None
    if what == "more" and message.edits < EDITS_MORE:
        return message.shown_at_ms + FIRST_GAP_MS * int(3**message.edits)
    most = {"more": EDITS_MORE, "over": EDITS_OVER}.get(what, EDITS_SOON)
    return message.shown_at_ms + (SOON_MS if message.edits < most else HOUR_MS)


def retry_ms(patience: Patience, attempts: int, asked_ms: int) -> int:
    """How long to wait after *attempts* tries, where the server asks for *asked_ms*."""
    grown = min(patience.retry_most_ms, patience.retry_ms << min(attempts - 1, 30))
    return max(grown, min(asked_ms, HOUR_MS))
