"""What else can be wrong with a camera: one row a fault, with the rule that a frame fulfils or not.

What each means and what to do about it stands in `catseye.contract.alert_kinds`. A fault
whose row is marked *blinds* makes everything else that is seen of the camera worthless while it lasts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.drift.measures import Floats
from services.drift.signals import KINDS

if TYPE_CHECKING:
    from services.drift.sample import Frames

RUN: Final = 12
"""Frames in a row that fulfil a rule before it counts."""
MOST_IN_A_ROW: Final = 255
"""Counts of frames in a row are 8 bits wide and end here."""
LASTING_MS: Final = 500
CLOCK_MS: Final = 15_000
CLOCK_KEPT_MS: Final = 3_600_000
SMOOTH: Final = np.float32(0.05)
"""Share of a frame in a running mean, once there are twenty."""
BLACK: Final = 0.05
WHITE: Final = 0.95
FLAT: Final = 0.03  # standard deviation of luma: a lens that is covered shows an even surface, of any light
BLURRED: Final = 1.6  # natural log: sharpness for its contrast has fallen to less than a fifth
_SPREADS: Final = 3.0
_RELIEF: Final = 0.5  # by so much sharper again before a blurred camera counts as sharp
CONTRAST_LEFT: Final = 0.65  # a lens out of focus keeps large shapes and their contrast; fog does not
_FEW: Final = 20  # frames after which a running mean is believed
_CATCHES_UP: Final = 0.2  # of the time that passes: frames that waited are by more less late

Mask = NDArray[np.bool_]


@dataclass
class Round:
    """One frame of each of n cameras, as rules see it.

    Attributes:
        watch: Rows of the table. A rule changes in place what is its own there.
        seen: The frames.
        value: Gives a signal of the picture, [n].
        usual: Gives its mean in the reference and its standard deviation within a class, [n] each.
        learned: Whether the reference of the frame's phase is whole, [n].
        skew_ms: Jump of a clock that is a fault.
        most_latency_ms: Mean latency over which the service is too slow.
    """

    watch: NDArray[Any]
    seen: "Frames"
    value: Callable[[str], Floats]
    usual: Callable[[str], tuple[Floats, Floats]]
    learned: Mask
    skew_ms: float
    most_latency_ms: float

    def __post_init__(self) -> None:
        self.rows = self.seen.rows
        self.count = self.watch["frames"][self.rows]
        """Frames of each camera before this one, [n]."""
        self._share = share_of(self.count)
        brightness = self.value("brightness")
        self.black: Mask = brightness < BLACK
        self.white: Mask = brightness > WHITE
        self.lit: Mask = ~(self.black | self.white)
        """Neither black nor white: those have names of their own."""
        self.covered: Mask = self.lit & (self.value("contrast") < FLAT)

    def smoothed(self, column: str, value: Floats) -> Floats:
        """Running mean of *value* in a column of *watch*, with this frame, [n]."""
        mean: Floats = smoothed(self.watch[column][self.rows], value, self._share)
        self.watch[column][self.rows] = mean
        return mean


class Fault(NamedTuple):
    """One fault.

    Attributes:
        kind: Kind of the alarm.
        by: What decides: runs of ``frames``, or the passing of ``time``, or frames that were ``refused``. Frames that
            are refused for their time raise ``camera_clock`` too, and views whatever a picture shows
            (`services.drift.views`).
        blinds: Whether frames show nothing of the road while it lasts.
        rule: Which cameras fulfil it with this frame, [n]; of *frames* alone.
        lasting_ms: How long it must be fulfilled.
        settings: What an operator can turn on it.
    """

    kind: str
    by: Literal["frames", "time", "refused"]
    blinds: bool
    rule: Callable[[Round], Mask] | None = None
    lasting_ms: int = LASTING_MS
    settings: tuple[str, ...] = ()


def _frozen(now: Round) -> Mask:
    """The same picture again, to the bit."""
    content = now.seen.content
    same: Mask = now.lit & (now.watch["content"][now.rows] == content) & (now.count > 0)
    now.watch["content"][now.rows] = content
    return same


def _blurred(now: Round) -> Mask:
    """Sharpness for its contrast has fallen far below what is usual, and contrast has not."""
    watch, rows = now.watch, now.rows
    focus, contrast = now.smoothed("focus", now.value("focus")), now.smoothed("contrast", now.value("contrast"))
    learned = now.learned & (now.count > _FEW)
    if not learned.any():
        watch["blur_run"][rows] = 0
        return learned
    mean, spread = now.usual("focus")
    least = mean - np.maximum(BLURRED, _SPREADS * spread * np.sqrt(SMOOTH))
    least += _RELIEF * watch["raised"][rows, _BLURRED_ALARM]
    # One frame proves little; a run of such frames is kept from statistics until the running mean confirms it.
    seems = learned & (now.value("focus") < least)
    blurred: Mask = learned & (focus < least)
    if (seems | blurred).any():
        usual_contrast, _ = now.usual("contrast")
        seems &= now.value("contrast") > CONTRAST_LEFT * usual_contrast
        blurred &= contrast > CONTRAST_LEFT * usual_contrast
    watch["blur_run"][rows] = one_more(watch["blur_run"][rows]) * seems
    return blurred & now.lit & ~now.covered


def _clock_jumped(now: Round) -> Mask:
    """The camera's clock is not where it was against ours; a slow drift of it is followed.

    Frames that have waited are late too, the less the more of them are worked off; a wrong clock stays as wrong.
    """
    watch, rows, skew_ms = now.watch, now.rows, now.skew_ms
    skew = (now.seen.at_ms - now.seen.captured_ms).astype(np.float64)
    usual_ms = np.where(now.count > 0, watch["skew_ms"][rows], skew)
    run = watch["fault_run"][rows, _CLOCK]
    first_ms = np.where(run == 0, skew, watch["skew_run_ms"][rows])
    watch["skew_run_ms"][rows] = first_ms
    off: Mask = np.abs(skew - usual_ms) > skew_ms
    if not off.any():
        watch["skew_ms"][rows] = usual_ms + SMOOTH * (skew - usual_ms)
        return off
    lasted_ms = np.where(run == 0, 0, now.seen.at_ms - watch["fault_from_ms"][rows, _CLOCK])
    catches_up = (skew > usual_ms) & (first_ms - skew > skew_ms / 6 + _CATCHES_UP * lasted_ms)
    kept = (run >= RUN) & (lasted_ms >= CLOCK_KEPT_MS)
    usual_ms = np.where(off & kept, skew, usual_ms)
    watch["skew_ms"][rows] = np.where(off, usual_ms, usual_ms + SMOOTH * (skew - usual_ms))
    jumped: Mask = off & ~kept & ~catches_up
    return jumped


def smoothed(mean: Floats, value: Floats, share: Floats) -> Floats:
    """Running mean."""
    return mean + share * (value - mean)


def share_of(count: NDArray[Any]) -> Floats:
    """Share of a frame in a running mean, [n]: that of all at first, then fading."""
    share: Floats = np.maximum(SMOOTH, 1 / (count.astype(np.float32) + 1))
    return share


def one_more(run: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames in a row, with this one."""
    return np.minimum(run, MOST_IN_A_ROW - 1) + np.uint8(1)


FAULTS: Final = (
    Fault("camera_frozen", "frames", True, _frozen),
    Fault("camera_black", "frames", True, lambda now: now.black),
    Fault("camera_white", "frames", True, lambda now: now.white),
    Fault("camera_covered", "frames", True, lambda now: now.covered),
    Fault("camera_blurred", "frames", True, _blurred),
    Fault("camera_clock", "frames", True, _clock_jumped, CLOCK_MS, ("drift_clock_skew_s",)),
    # A slow service is no fault of the camera: its frames count.
    Fault(
        "service_slow",
        "frames",
        False,
        lambda now: now.smoothed("latency_ms", now.seen.latency_ms) > now.most_latency_ms,
        settings=("drift_latency_s",),
    ),
    Fault("camera_silent", "time", True),
    Fault("labels_missing", "time", False),
    Fault("camera_dead_letters", "refused", True),
)
FRAME_FAULTS: Final = tuple(fault for fault in FAULTS if fault.by == "frames")
"""Rules that a run of frames fulfils or not."""
ABSENCES: Final = tuple(fault for fault in FAULTS if fault.by != "frames")
ALARMS: Final = (*(kind.name for kind in KINDS), *(fault.kind for fault in (*FRAME_FAULTS, *ABSENCES)))
"""All that can be raised."""
OF_PICTURES: Final = np.array(
    [
        fault.kind in ("camera_frozen", "camera_black", "camera_white", "camera_covered", "camera_blurred")
        for fault in FRAME_FAULTS
    ]
)
"""Which of them a picture shows: views judge by those where a camera sends views."""
_CLOCK: Final = [fault.kind for fault in FRAME_FAULTS].index("camera_clock")
_BLURRED_ALARM: Final = ALARMS.index("camera_blurred")
