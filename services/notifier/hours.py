"""When a route may be used: ``Mon-Fri 07:00-19:00``. Pure.

Several spans are separated by commas; without days a span is of every day; one that ends before it begins ends on the
next day.
"""

import re
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from catseye.contract.errors import Misconfigured

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MIN: Final = 24 * 60


class Span(NamedTuple):
    """Part of a week.

    Attributes:
        days: On which it begins, Monday is 0.
        from_min: Minutes after midnight.
        to_min: Minutes after midnight of the first day, over *from_min*; over a day's where it ends on the next one.
    """

    days: frozenset[int]
    from_min: int
    to_min: int


def spans_of(text: str) -> tuple[Span, ...]:
    """Read the hours of a route. Raises `Misconfigured` with a sentence."""
    return tuple(_span(part.strip().lower(), text) for part in text.split(","))


def is_open(spans: tuple[Span, ...], zone: ZoneInfo, now_ms: int) -> bool:
    """Whether *now_ms* lies in one of *spans*; no spans are all hours."""
    at = datetime.fromtimestamp(now_ms / 1_000, zone)
    minute, yesterday = 60 * at.hour + at.minute, (at.weekday() - 1) % 7
    return not spans or any(
        (at.weekday() in span.days and span.from_min <= minute < span.to_min)
        or (yesterday in span.days and minute + _DAY_MIN < span.to_min)
        for span in spans
    )


def _span(part: str, whole: str) -> Span:
    found = _SPAN.fullmatch(part)
    if found is None or any(day and day not in _DAYS for day in found.group(1, 2)):
        raise Misconfigured(f"hours {whole!r}: they are written `Mon-Fri 07:00-19:00, Sat 09:00-12:00`")
    from_min, to_min = (60 * int(hour) + int(minute) for hour, minute in (found.group(3, 4), found.group(5, 6)))
    if max(from_min, to_min) > _DAY_MIN or from_min == to_min or int(found[4]) > 59 or int(found[6]) > 59:
        raise Misconfigured(f"hours {whole!r}: times go from 00:00 to 24:00, and a span is not empty")
    first = _DAYS.index(found[1]) if found[1] else 0
    last = _DAYS.index(found[2]) if found[2] else first if found[1] else 6
    count = (last - first) % 7 + 1
    days = frozenset((first + step) % 7 for step in range(count))
    return Span(days, from_min, to_min if to_min > from_min else to_min + _DAY_MIN)
