"""From when to when: how a person writes a time. Pure."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from catseye.contract.errors import Misconfigured

_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Span(NamedTuple):
    """A stretch of time, both ends included.

    Attributes:
        from_ms: Unix milliseconds; None for the first frame that is kept.
        to_ms: Unix milliseconds; None for the newest record.
    """

    from_ms: int | None = None
    to_ms: int | None = None


def span_of(from_: str | None, to: str | None, now_ms: int) -> Span:
    """The span that a person asked for; the future is not waited for.

    Raises:
        Misconfigured: something is no time, or the span ends before it begins.
    """
    from_ms = None if from_ is None else time_ms(from_, "--from", now_ms)
    to_ms = None if to is None else min(time_ms(to, "--to", now_ms), now_ms)
    if from_ms is not None and from_ms > (now_ms if to_ms is None else to_ms):
        raise Misconfigured(f"the span ends before it begins: --from {from_} is after --to {to or 'now'}")
    return Span(from_ms, to_ms)


def time_ms(text: str, option: str, now_ms: int) -> int:
    """Read a time: ISO 8601 (UTC where it names no zone), Unix milliseconds, or how long ago: ``-90s``, ``-2h``.

    Raises:
        Misconfigured: it is none, or one that no clock of ours shows; names *option*.
    """
    ago = re.fullmatch(r"-(\d{1,9}(?:\.\d{1,3})?)([smhd])", text)
    if ago is not None:
        return max(0, now_ms - round(float(ago[1]) * _UNIT_MS[ago[2]]))
    # Digits alone are milliseconds, though ISO 8601 may write a day so.
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    try:
        at = datetime.fromisoformat(text)
        return max(0, round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000))
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"{option}: {text} is no time; it is written 2026-05-01T14:30, -2h (s, m, h, d ago) or in Unix milliseconds"
        ) from None
