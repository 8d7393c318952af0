"""Camera faults by views, for cameras that send them: the whole picture every few seconds, car or no car.

A view is alike from one to the next as crops of vehicles are not, so fewer of them prove a fault; and where views come,
crops say nothing of the camera any more. What is usual in a view is a mean of the last hour, a phase each: dusk is
followed, and a camera that was turned is taken to be right when it has kept its new view for a while.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import digest
from services.drift import absences
from services.drift.alarms import SILENT, clear_alarm, raise_alarm
from services.drift.fault_rules import ALARMS, BLACK, BLURRED, CONTRAST_LEFT, FLAT, WHITE
from services.drift.followed import PHASES, Followed, Moved
from services.drift.measures import focus
from services.drift.table import Table

MOVED: Final = "camera_moved"
RUN: Final = 3
"""Views in a row that fulfil a rule, or do not, before it counts."""
LAST: Final = "bits_per_pixel"
"""Of the fields of a view that are read: the picture itself is of no use here."""
_LEARNED: Final = 12  # views of a phase, a minute of them, before anything is usual
_HOUR_MS: Final = 3_600_000
_LEFT_COVERED: Final = 0.2  # of the usual contrast; fog leaves more
_STEADY: Final = 0.35  # off a half: a bit of the hash that nearly all views have, or nearly none
_STEADY_BITS: Final = 24
_TURNED: Final = 0.25  # of those bits; a truck before the camera changes some for some seconds


class Shown(NamedTuple):
    """A view beside what is usual in its phase.

    Attributes:
        brightness, contrast: Of the view.
        focus: Its sharpness for its contrast, natural log.
        bits: Of its perceptual hash, [64].
        same: Whether it is the view before, to the bit.
        learned: Whether it is known what is usual.
        usual_focus, usual_contrast: Means.
        usual_bits: Share of views with each bit, [64].
    """

    brightness: float
    contrast: float
    focus: float
    bits: NDArray[np.bool_]
    same: bool
    learned: bool
    usual_focus: float
    usual_contrast: float
    usual_bits: NDArray[np.float32]

    @property
    def is_lit(self) -> bool:
        """Neither black nor white: those have names of their own."""
        return BLACK <= self.brightness <= WHITE

    @property
    def is_covered(self) -> bool:
        """An even surface, or as good as one."""
        return self.is_lit and self.contrast < max(FLAT, _LEFT_COVERED * self.usual_contrast * self.learned)

    @property
    def is_blurred(self) -> bool:
        """Sharpness for its contrast has fallen far below what is usual, and contrast has not."""
        soft = self.focus < self.usual_focus - BLURRED
        return self.learned and self.is_lit and soft and self.contrast > CONTRAST_LEFT * self.usual_contrast

    @property
    def has_moved(self) -> bool:
        """Another scene, in focus: bits that hardly ever change are others."""
        steady = np.abs(self.usual_bits - 0.5) >= _STEADY
        if not self.learned or not self.is_lit or self.is_covered or self.is_blurred or steady.sum() < _STEADY_BITS:
            return False
        return bool((self.bits[steady] != (self.usual_bits[steady] > 0.5)).mean() > _TURNED)


class _Rule(NamedTuple):
    """What is raised when a view has fulfilled it for so long."""

    kind: str
    holds: Callable[[Shown], bool]
    lasting_ms: int = 8_000


RULES: Final = (
    _Rule("camera_frozen", lambda shown: shown.is_lit and shown.same),
    _Rule("camera_black", lambda shown: shown.brightness < BLACK),
    _Rule("camera_white", lambda shown: shown.brightness > WHITE),
    _Rule("camera_covered", lambda shown: shown.is_covered),
    _Rule("camera_blurred", lambda shown: shown.is_blurred),
    _Rule(MOVED, lambda shown: shown.has_moved, 15_000),
)


def take(table: Table, row: int, known: Followed, view: Mapping[str, Any], night: float) -> bool:
    """Take a view of a camera; returns whether its alarms changed.

    Args:
        table: Has its row.
        row: The camera's.
        known: Of it; changed in place.
        view: Fields of `CameraView` up to `LAST`.
        night: Brightness under which it is night.
    """
    table.touch([row], b"w")
    at_ms, phase = int(view["received_at_ms"]), int(view["brightness"] >= night)
    changed = False
    if table.watch["raised"][row, SILENT]:
        changed = bool(absences.came(table, np.array([row]), np.array([at_ms]), SILENT, known))
    shown = _shown(known, view, phase)
    cause = bytes.fromhex(digest("view", view["camera"], view["boot"], view["sequence"]))
    known.run, known.from_ms = known.run or [0] * len(RULES), known.from_ms or [0] * len(RULES)
    for number, rule in enumerate(RULES):
        raised = _is_raised(table, row, known, rule.kind)
        if rule.holds(shown) == raised:
            known.run[number] = 0
            continue
        known.run[number] += 1
        if known.run[number] == 1:
            known.from_ms[number] = at_ms
        if known.run[number] >= RUN and at_ms - known.from_ms[number] >= rule.lasting_ms:
            _switch(table, row, known, rule.kind, Moved(cause, known.from_ms[number], at_ms))
            known.run[number], changed = 0, True
    _learn(known, shown, at_ms, phase)
    known.view_came(at_ms)
    return changed


def _is_raised(table: Table, row: int, known: Followed, kind: str) -> bool:
    return known.moved is not None if kind == MOVED else bool(table.watch["raised"][row, ALARMS.index(kind)])


def _switch(table: Table, row: int, known: Followed, kind: str, now: Moved) -> None:
    """Raise what is not raised, and clear what is."""
    if kind == MOVED:
        known.moved = now if known.moved is None else None
    elif table.watch["raised"][row, ALARMS.index(kind)]:
        clear_alarm(table, row, ALARMS.index(kind), at_ms=now.raised_at_ms)
    else:
        alarm = ALARMS.index(kind)
        raise_alarm(table, row, alarm, since_ms=now.since_ms, at_ms=now.raised_at_ms, cause=now.cause)


def _shown(known: Followed, view: Mapping[str, Any], phase: int) -> Shown:
    bits = np.unpackbits(np.array([view["perceptual_hash"]], np.int64).view(np.uint8), bitorder="little").astype(bool)
    content, before = _content(view), known.content
    known.content = content
    measured = {name: np.array([view[name]], np.float32) for name in ("sharpness", "contrast")}
    return Shown(
        brightness=view["brightness"],
        contrast=view["contrast"],
        focus=float(focus(measured)[0]),
        bits=bits,
        same=known.views > 0 and content == before,
        learned=known.learned[phase] >= _LEARNED,
        usual_focus=known.focus[phase],
        usual_contrast=known.contrast[phase],
        usual_bits=_bits(known)[phase],
    )


def _learn(known: Followed, shown: Shown, at_ms: int, phase: int) -> None:
    """Follow what is usual; a picture that shows nothing of the road teaches nothing."""
    if not shown.is_lit or shown.is_covered or shown.is_blurred:
        return
    count = known.learned[phase]
    passed_ms = max(0, at_ms - known.view_ms) if known.views else 0
    share = max(1 / (count + 1) if count < _LEARNED else 0.0, min(1.0, passed_ms / _HOUR_MS))
    known.focus[phase] += share * (shown.focus - known.focus[phase])
    known.contrast[phase] += share * (shown.contrast - known.contrast[phase])
    bits = _bits(known)
    bits[phase] += np.float32(share) * (shown.bits - bits[phase])
    known.bits = bits.tobytes()
    known.learned[phase] = min(count + 1, _LEARNED)


def _bits(known: Followed) -> NDArray[np.float32]:
    return np.frombuffer(known.bits, np.float32).reshape(PHASES, 64).copy()


def _content(view: Mapping[str, Any]) -> int:
    """What two identical pictures share and two others hardly do: 60 bits of a hash."""
    names = ("perceptual_hash", "brightness", "contrast", "sharpness", "dark_share", "bright_share", "bits_per_pixel")
    return int(digest(*(repr(view[name]) for name in names))[:15], 16)
