"""How a person's word to keep an alert quiet is said in its record, and read from it. Pure.

It stands in front of the explanation, so that whoever looks at the alert sees who silenced it, until when and why.
"""

import re
from datetime import UTC, datetime

UNTIL_RESOLVED = 2**62
"""Later than any time, Unix milliseconds: the alert stays quiet until it resolves."""
_END = " || "
_WHEN = "%Y-%m-%dT%H:%M:%SZ"
_SAID = re.compile(
    r"Suppressed by [^|]*? until (it resolves|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?:; reason: [^|]*)? \|\| "
)


def suppressed(explanation: str, by: str, until_ms: int, reason: str = "") -> str:
    """*explanation* with the word of *by* in front; an earlier one is replaced.

    Args:
        explanation: Of the alert.
        by: Who says so.
        until_ms: Unix milliseconds, to the second; `UNTIL_RESOLVED` has no end of its own.
        reason: Why; may be empty.
    """
    end = "it resolves" if until_ms == UNTIL_RESOLVED else datetime.fromtimestamp(until_ms / 1_000, UTC).strftime(_WHEN)
    why = f"; reason: {_plain(reason)}" if reason else ""
    return f"Suppressed by {_plain(by)} until {end}{why}{_END}{without_suppression(explanation)}"


def suppressed_until_ms(explanation: str) -> int:
    """Until when an alert with this *explanation* is to be quiet; `UNTIL_RESOLVED` where it does not say."""
    said = _SAID.match(explanation)
    if said is None or said[1] == "it resolves":
        return UNTIL_RESOLVED
    return int(datetime.strptime(said[1], _WHEN).replace(tzinfo=UTC).timestamp() * 1_000)


def without_suppression(explanation: str) -> str:
    """*explanation* as it was before anybody silenced the alert."""
    said = _SAID.match(explanation)
    return explanation[said.end() :] if said else explanation


def _plain(text: str) -> str:
    """On one line and without the mark that ends a person's word."""
    return " ".join(text.replace("|", "/").split())
