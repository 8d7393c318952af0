"""How an alarm of one camera is raised and cleared in its rows."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import digest
from services.drift.fault_rules import ALARMS
from services.drift.layout import BLIND, FAMILIES, FAULT_ALARMS, FRAMES_FAMILIES
from services.drift.sample import Ints
from services.drift.streams import forget
from services.drift.table import Table

FIRST_FAULT: Final = FAULT_ALARMS.start
FIRST_ABSENCE: Final = FAULT_ALARMS.stop
SILENT, LABELS_MISSING, DEAD_LETTERS, CLOCK = (
    ALARMS.index(kind) for kind in ("camera_silent", "labels_missing", "camera_dead_letters", "camera_clock")
)
_OF_FRAMES: Final = range(len(FAMILIES))[FRAMES_FAMILIES]


def raise_alarm(table: Table, row: int, alarm: int, *, since_ms: int, at_ms: int, cause: bytes) -> None:
    """Raise *alarm* of *row*, whose rows the caller has touched.

    Args:
        cause: Id of the prediction that raised it, or of the last one before it: with the camera and the kind it
            names the alarm, the same after a crash.
    """
    watch = table.watch
    watch["raised"][row, alarm] = 1
    watch["raised_since_ms"][row, alarm] = since_ms
    watch["raised_at_ms"][row, alarm] = at_ms
    named = bytes.fromhex(digest("alarm", table.names[row], ALARMS[alarm], cause.hex()))
    watch["cause"][row, alarm] = np.void(named)
    if alarm < len(FAMILIES):
        watch["span"][row, alarm] = watch["run"][row, alarm]
    if alarm in BLIND:
        _blind(watch, row, since_ms)


def clear_alarm(table: Table, row: int, alarm: int, *, at_ms: int) -> None:
    """Clear *alarm* of *row*."""
    watch = table.watch
    watch["raised"][row, alarm] = 0
    if alarm < len(FAMILIES):
        forget(watch, row, alarm)
    elif alarm in BLIND and not watch["raised"][row, BLIND].any():
        watch["blind_until_s"][row, 0] = -(-at_ms // 1_000)
        for family in _OF_FRAMES:
            forget(watch, row, family)


def withdraw(watch: NDArray[Any], row: int, family: int) -> None:
    """The alarm of a family no longer holds, since what is normal is learned anew."""
    watch["raised"][row, family] = 0


def forget_span(watch: NDArray[Any], row: int, family: int) -> None:
    """How long it took to raise the alarm of a family no longer matters."""
    watch["span"][row, family] = 0


def keep_numbers(watch: NDArray[Any], row: int, family: int, numbers: tuple[float, ...]) -> None:
    """Keep the numbers of the alarm of a family while it lasts, in the order of `layout.ALARMED`."""
    watch["alarmed"][row, family] = numbers


def was_blind(watch: NDArray[Any], rows: Ints, received_ms: Ints) -> NDArray[np.bool_]:
    """Whether frames show nothing of the road, [n]: their camera was blind when they came, or it is no longer known.

    Args:
        watch: Rows of the table.
        rows: Row of the camera of each frame, [n].
        received_ms: When ingest took it, [n].
    """
    began, ended, at_s = watch["blind_from_s"][rows], watch["blind_until_s"][rows], received_ms[:, None] // 1_000
    within = (began > 0) & (at_s >= began) & ((ended < began) | (at_s <= ended))
    forgotten = (began[:, -1] > 0) & (at_s[:, 0] < began[:, -1])
    blind: NDArray[np.bool_] = within.any(axis=1) | forgotten
    return blind


def _blind(watch: NDArray[Any], row: int, since_ms: int) -> None:
    """A camera that shows nothing any more: what its frames seemed to show since then was the fault."""
    began, ended = watch["blind_from_s"][row], watch["blind_until_s"][row]
    if began[0] <= ended[0]:
        began[1:], ended[1:] = began[:-1].copy(), ended[:-1].copy()
        began[0], ended[0] = since_ms // 1_000, 0
    for family in _OF_FRAMES:
        if watch["raised"][row, family] and watch["raised_at_ms"][row, family] >= since_ms:
            watch["raised"][row, family] = 0
        forget(watch, row, family)
