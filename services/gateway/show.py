"""How numbers and times are written on pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from catseye import clock

_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_GAP: Final = "\N{NO-BREAK SPACE}"
_SIZES: Final = ((2**20, "MB"), (2**10, "kB"))


def age(at_ms: int | None, now_ms: int) -> str:
    """How long ago: ``12 s``, ``3 min``, ``2 h``; a dash for what never was."""
    if not at_ms:
        return "–"
    seconds = max(0, now_ms - at_ms) // 1_000
    for length, unit in _STEPS:
        if seconds >= length:
            return f"{seconds // length}{_GAP}{unit}"
    return "now"


def share(value: float | None) -> str:
    """A share as a percentage with one digit; a dash for none."""
    return "–" if value is None else f"{value:.1%}".replace("%", f"{_GAP}%")


def number(value: float | None) -> str:
    """A number with as many digits as one reads."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def size(count: int) -> str:
    """Bytes in the unit that one reads."""
    for length, unit in _SIZES:
        if count >= length:
            return f"{count / length:.1f}{_GAP}{unit}"
    return f"{count}{_GAP}byte{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """A code in words: ``camera_silent`` is camera silent."""
    return name.replace("_", " ")


def segment(name: str) -> str:
    """A name as one part of a path: with a stroke left as it is, `../` in it would lead elsewhere."""
    return quote(name, safe="")


def moment(at_ms: int | None) -> Markup:
    """A time that the reader's browser writes in his own zone, and its age, or how far ahead it is; without a script in
    UTC."""
    if not at_ms:
        return Markup("–")
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    now_ms = clock.now_ms()
    ago = age(at_ms, now_ms)
    if ago != "now":
        ago = f"{ago} ago"
    elif (ahead := age(now_ms, at_ms)) != "now":
        ago = f"in {ahead}"
    return Markup('<time datetime="{}" data-ms="{}">{} UTC</time> <small data-age="{}" data-ago="1">{}</small>').format(
        at.isoformat(), at_ms, at.strftime("%Y-%m-%d %H:%M:%S"), at_ms, ago
    )


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "age": age,
    "share": share,
    "number": number,
    "size": size,
    "words": words,
    "moment": moment,
    "segment": segment,
}
