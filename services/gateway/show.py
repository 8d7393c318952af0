"""How numbers and times are written on pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def age(at_ms: int | None, now_ms: int) -> str:
    """How long ago: ``12 s``, ``3 min``, ``2 h``; a dash for what never was."""
    if not at_ms:
        return "–"
    seconds = max(0, now_ms - at_ms) // 1_000
    for length, unit in _STEPS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return "now"


def share(value: float | None) -> str:
    """A share as a percentage with one digit; a dash for none."""
    return "–" if value is None else f"{value:.1%}".replace("%", " %")


def number(value: float | None) -> str:
    """A number with as many digits as one reads."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def words(name: str) -> str:
    """A code in words: ``camera_silent`` is camera silent."""
    return name.replace("_", " ")


def moment(at_ms: int | None) -> Markup:
    """A time that the reader's browser writes in his own zone; without a script in UTC."""
    if not at_ms:
        return Markup("–")
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return Markup('<time datetime="{}" data-ms="{}">{} UTC</time>').format(
        at.isoformat(), at_ms, at.strftime("%Y-%m-%d %H:%M:%S")
    )


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "age": age,
    "share": share,
    "number": number,
    "words": words,
    "moment": moment,
}
