"""What does not come: frames, labels; and what comes but cannot be accepted."""

from typing import Final

import numpy as np

from services.drift import faults
from services.drift.alarms import CLOCK, DEAD_LETTERS, FIRST_FAULT, LABELS_MISSING, SILENT, clear_alarm, raise_alarm
from services.drift.table import Table

_FRAMES_FIRST: Final = 20  # frames before silence, labels before their absence, means anything
_LABELS_FIRST: Final = 100
_LABELS_LONG: Final = 2  # times the pause that is none yet: for so long labels must have come
_DEAD_FADE_MS: Final = 60_000
_DEAD_FADE_GAPS: Final = 20  # of a camera that is slower than that
_DEAD_MANY: Final = 10
_DEAD_SHARE: Final = 0.2  # of the frames of the same time
_DEAD_OVER: Final = 2
_CLOCK_REASONS: Final = ("captured_in_future", "captured_too_long_ago")


def look(table: Table, now_ms: int) -> set[int]:
    """Raise and clear what the passing of time alone decides; returns the rows whose alarms changed.

    Args:
        now_ms: Event time.
    """
    count = len(table)
    if not count:
        return set()
    watch = table.watch[:count]
    raised = watch["raised"].astype(bool)
    fresh_dead = _dead_now(table, now_ms)[:count] >= _DEAD_OVER
    silent = (watch["frames"] >= _FRAMES_FIRST) & (now_ms - watch["seen_ms"] > faults.overdue_ms(watch, ""))
    overdue_ms = faults.overdue_ms(watch, "label_")
    # Of labels that came in one batch nobody knows yet when the next is due.
    known = (watch["labels"] >= _LABELS_FIRST) & (
        watch["labels"] * watch["label_every_ms"] >= _LABELS_LONG * overdue_ms
    )
    unlabelled = known & (watch["seen_ms"] - watch["label_seen_ms"] > overdue_ms)
    changed = set()
    for row in np.flatnonzero(silent & ~raised[:, SILENT] & ~fresh_dead).tolist():
        table.touch([row], b"w")
        _raise(table, row, SILENT, int(watch["seen_ms"][row]), now_ms)
        changed.add(row)
    for row in np.flatnonzero(unlabelled & ~silent & ~raised[:, LABELS_MISSING]).tolist():
        table.touch([row], b"w")
        _raise(table, row, LABELS_MISSING, int(watch["label_seen_ms"][row]), int(watch["seen_ms"][row]))
        changed.add(row)
    for row in np.flatnonzero(raised[:, DEAD_LETTERS] & ~fresh_dead).tolist():
        table.touch([row], b"w")
        clear_alarm(table, row, DEAD_LETTERS, at_ms=now_ms)
        changed.add(row)
    return changed


def came(table: Table, rows: list[int], at_ms: list[int], alarm: int) -> set[int]:
    """Frames (*alarm* is `SILENT`) or labels (`LABELS_MISSING`) came again; returns the rows whose alarms changed."""
    changed = set()
    for row, at in zip(rows, at_ms, strict=True):
        if table.watch["raised"][row, alarm]:
            clear_alarm(table, row, alarm, at_ms=at)
            changed.add(row)
    return changed


def refused(table: Table, row: int, reason: str, at_ms: int) -> set[int]:
    """A frame of a camera became a dead letter; returns its row where its alarms changed."""
    table.touch([row], b"w")
    watch = table.watch
    watch["dead"][row] = _dead_now(table, at_ms)[row] + 1
    watch["dead_at_ms"][row] = at_ms
    gap_ms = max(float(watch["gap_ms"][row]), 1.0)
    frames = max(_DEAD_FADE_MS / gap_ms, _DEAD_FADE_GAPS) if watch["frames"][row] > 1 else 0.0
    many = watch["dead"][row] >= max(_DEAD_MANY, _DEAD_SHARE * frames)
    alarm = CLOCK if reason in _CLOCK_REASONS else DEAD_LETTERS
    if not many or watch["raised"][row, alarm]:
        return set()
    if alarm == CLOCK:
        watch["fault_clear"][row, CLOCK - FIRST_FAULT] = 0  # it ends when frames with a right clock come again
    _raise(table, row, alarm, at_ms, at_ms)
    return {row}


def _raise(table: Table, row: int, alarm: int, since_ms: int, at_ms: int) -> None:
    cause = table.watch["last_cause"][row].tobytes()
    raise_alarm(table, row, alarm, since_ms=since_ms, at_ms=at_ms, cause=cause)


def _dead_now(table: Table, now_ms: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Refused frames of the last minute or so, of each row; of a slow camera those of the time of twenty frames."""
    watch = table.watch
    fade_ms = np.maximum(_DEAD_FADE_MS, _DEAD_FADE_GAPS * watch["gap_ms"].astype(np.float64))
    return np.asarray(watch["dead"] * np.exp(-np.maximum(now_ms - watch["dead_at_ms"], 0) / fade_ms))
