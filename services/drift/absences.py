"""What does not come: frames, labels; and what comes but cannot be accepted.

Law: what may still be on its way is not absent. So times here go no further than the services before have worked.

What was absent is back once it has come for as long as it took to be missed: one frame after a silence is no camera
that works again. A frame, or a label, stands for the usual time between two of them, so that a camera of a frame in
ten minutes is back with the first one, as are labels that come in one batch a day.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import Reason
from services.drift import arrivals, faults
from services.drift.alarms import (
    CLOCK,
    DEAD_LETTERS,
    FIRST_ABSENCE,
    LABELS_MISSING,
    SILENT,
    clear_alarm,
    raise_alarm,
)
from services.drift.followed import Followed
from services.drift.layout import FAULT_ALARMS
from services.drift.sample import Frames, Ints
from services.drift.table import Table

_FRAMES_FIRST: Final = 20  # frames before silence, labels before their absence, means anything
_LABELS_FIRST: Final = 100
_LABELS_LONG: Final = 2  # times the pause that is none yet: for so long labels must have come
_DEAD_FADE_MS: Final = 60_000
_DEAD_FADE_GAPS: Final = 20  # of a camera that is slower than that
_DEAD_MANY: Final = 10
_DEAD_SHARE: Final = 0.2  # of the frames of the same time
_DEAD_OVER: Final = 2
_VOTES: Final = 20
REASONS: Final = tuple(Reason)
"""Numbered by place in the state: `Reason` is only ever added to, at its end."""
_CLOCK_REASONS: Final = ("captured_in_future", "captured_too_long_ago")


def evaluate(
    table: Table, rows: Ints, now_ms: Ints, labels_until_ms: Ints, views: Mapping[int, Followed] | None = None
) -> set[int]:
    """Raise and clear what the passing of time alone decides; returns the rows whose alarms changed.

    Args:
        rows: [n], no two alike.
        now_ms: Event time for each, [n]: every frame that was published before is known here.
        labels_until_ms: Every label that was published before then is known here, [n].
        views: By row, what is known of cameras that send views: an empty road is no silence there, at whatever hour.
    """
    watch = table.watch
    raised = watch["raised"][rows].astype(bool)
    frames, seen_ms = watch["frames"][rows], watch["seen_ms"][rows]
    label_seen_ms = watch["label_seen_ms"][rows]
    fresh_dead = _dead_now(watch, rows, now_ms) >= _DEAD_OVER
    silent = (frames >= _FRAMES_FIRST) & (now_ms - seen_ms > arrivals.overdue_ms(watch, rows, ""))
    silent_from_ms = seen_ms
    if views:
        silent, silent_from_ms = _by_views(views, rows, now_ms, seen_ms, silent)
    overdue_ms = arrivals.overdue_ms(watch, rows, "label_")
    labels_at_ms = np.minimum(seen_ms, labels_until_ms)
    unlabelled = _labels_are_known(watch, rows, overdue_ms) & (labels_at_ms - label_seen_ms > overdue_ms)
    changed = set()
    for place in np.flatnonzero(silent & ~raised[:, SILENT] & ~fresh_dead).tolist():
        row = int(rows[place])
        table.touch([row], b"w")
        _raise(table, row, SILENT, int(silent_from_ms[place]), int(now_ms[place]))
        changed.add(row)
    for place in np.flatnonzero(unlabelled & ~silent & ~raised[:, LABELS_MISSING]).tolist():
        row = int(rows[place])
        table.touch([row], b"w")
        _raise(table, row, LABELS_MISSING, int(label_seen_ms[place]), int(labels_at_ms[place]))
        changed.add(row)
    for place in np.flatnonzero(raised[:, DEAD_LETTERS] & ~fresh_dead).tolist():
        row = int(rows[place])
        table.touch([row], b"w")
        clear_alarm(table, row, DEAD_LETTERS, at_ms=int(now_ms[place]))
        changed.add(row)
    return changed


def came(table: Table, rows: Ints, at_ms: Ints, alarm: int, by: Followed | None = None) -> set[int]:
    """Frames (*alarm* is `SILENT`) or labels (`LABELS_MISSING`) came again; returns the rows whose alarms changed.

    Args:
        rows: [n], no two alike.
        at_ms: When ingest took them, [n].
        by: Of the one camera of which a view came.
    """
    changed = set()
    for place in np.flatnonzero(table.watch["raised"][rows, alarm]).tolist():
        row = int(rows[place])
        if _is_back(table.watch, row, alarm, int(at_ms[place]), by):
            clear_alarm(table, row, alarm, at_ms=int(at_ms[place]))
            changed.add(row)
    return changed


def frames_waited_ms(watch: NDArray[Any], seen: Frames) -> NDArray[np.float64]:
    """How much of the pause before each frame was not the camera's, [n]: for how long the frame waited in a service or
    before a broker that was away. Of a pause in which the camera was missed all is its own: services worked then.

    Called before `came` and before the frames are counted, as is `labels_waited_ms`.
    """
    return np.where(watch["raised"][seen.rows, SILENT], 0.0, arrivals.waited_ms(watch, seen))


def labels_waited_ms(watch: NDArray[Any], rows: Ints, at_ms: Ints) -> NDArray[np.float64]:
    """The same of labels that ingest took at *at_ms*, [n]. Labellers' clocks do not tell, since labels may be sent long
    after they were given. But a pause that is long enough for labels to be missed, and in which they were not, was a
    service's, or there were no frames either: labels are missed only as far as services have worked."""
    overdue_ms = arrivals.overdue_ms(watch, rows, "label_")
    pause_ms = (at_ms - watch["label_seen_ms"][rows]).astype(np.float64)
    judged = _labels_are_known(watch, rows, overdue_ms) & (watch["raised"][rows, LABELS_MISSING] == 0)
    return np.where(judged & (pause_ms > overdue_ms), pause_ms, 0.0)


def _labels_are_known(watch: NDArray[Any], rows: Ints, overdue_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a pause of labels means anything, [n]: of those that came in one batch nobody knows yet when the next is
    due."""
    labels = watch["labels"][rows]
    long_enough = labels * watch["label_every_ms"][rows] >= _LABELS_LONG * overdue_ms
    known: NDArray[np.bool_] = (labels >= _LABELS_FIRST) & long_enough
    return known


def refused(table: Table, row: int, reason: str, at_ms: int) -> set[int]:
    """A frame of a camera became a dead letter; returns its row where its alarms changed."""
    table.touch([row], b"w")
    watch = table.watch
    before = _dead_now(watch, np.array([row]), np.array([at_ms]))[0]
    if before < _DEAD_OVER:
        watch["dead_votes"][row] = 0
    watch["dead"][row] = before + 1
    watch["dead_at_ms"][row] = at_ms
    _vote(watch, row, reason)
    gap_ms = max(float(watch["gap_ms"][row]), 1.0)
    frames = max(_DEAD_FADE_MS / gap_ms, _DEAD_FADE_GAPS) if watch["frames"][row] > 1 else 0.0
    many = watch["dead"][row] >= max(_DEAD_MANY, _DEAD_SHARE * frames)
    alarm = CLOCK if reason in _CLOCK_REASONS else DEAD_LETTERS
    if alarm == CLOCK:
        faults.wait_for_calm(watch, row, CLOCK - FAULT_ALARMS.start)
    if not many or watch["raised"][row, alarm]:
        return set()
    _raise(table, row, alarm, at_ms, at_ms)
    return {row}


def reason_of(watch: Any) -> str:
    """Commonest reason of the refused frames of a camera, a row of the table; empty where none is kept."""
    number = int(watch["dead_reason"])
    return REASONS[number - 1] if number else ""


def _vote(watch: NDArray[Any], row: int, reason: str) -> None:
    """Keep the reason that most of the last refused frames had: the vote of Boyer and Moore, 1981, with at most
    `_VOTES` in hand, so that another reason takes over soon."""
    number = REASONS.index(reason) + 1 if reason in REASONS else 0
    votes = int(watch["dead_votes"][row])
    if number == int(watch["dead_reason"][row]):
        watch["dead_votes"][row] = min(votes + 1, _VOTES)
    elif votes <= 1:
        watch["dead_reason"][row], watch["dead_votes"][row] = number, 1
    else:
        watch["dead_votes"][row] = votes - 1


def _raise(table: Table, row: int, alarm: int, since_ms: int, at_ms: int) -> None:
    watch = table.watch
    if alarm in (SILENT, LABELS_MISSING):
        watch["back_from_s"][row, alarm - FIRST_ABSENCE] = 0
    cause = watch["last_cause"][row].tobytes()
    raise_alarm(table, row, alarm, since_ms=since_ms, at_ms=at_ms, cause=cause)


def _is_back(watch: NDArray[Any], row: int, alarm: int, at_ms: int, by: Followed | None) -> bool:
    """Whether what was absent has come for long enough, now that it comes at *at_ms* and is not counted yet."""
    of, absence = "label_" if alarm == LABELS_MISSING else "", alarm - FIRST_ABSENCE
    took_ms = int(watch["raised_at_ms"][row, alarm] - watch["raised_since_ms"][row, alarm])
    seen_ms, every_ms = (watch[f"{of}{what}"][row] for what in ("seen_ms", "every_ms"))
    if by is not None:
        seen_ms, every_ms = by.view_ms, by.gap_max_ms
    paused = at_ms - int(seen_ms) > took_ms
    if paused or not watch["back_from_s"][row, absence]:
        watch["back_from_s"][row, absence] = -(-at_ms // 1_000)
    came_ms = at_ms - 1_000 * int(watch["back_from_s"][row, absence]) + float(every_ms)
    return came_ms >= min(took_ms, faults.CLEAR_MOST_MS)


def _by_views(
    views: Mapping[int, Followed], rows: Ints, now_ms: Ints, seen_ms: Ints, silent: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Ints]:
    """Which cameras are silent, [n], and when the last picture of each came, given what frames alone say."""
    silent, seen_ms = silent.copy(), seen_ms.copy()
    for place, row in enumerate(rows.tolist()):
        if (known := views.get(row)) is not None:
            seen_ms[place] = max(int(seen_ms[place]), known.view_ms)
            waited_ms = seen_ms[place] - known.view_ms  # a vehicle is a sign of life too
            silent[place] = now_ms[place] > known.quiet_until_ms + waited_ms
    return silent, seen_ms


def _dead_now(watch: NDArray[Any], rows: Ints, now_ms: Ints) -> NDArray[np.float64]:
    """Refused frames of the last minute or so, [n]; of a slow camera those of the time of twenty frames."""
    fade_ms = np.maximum(_DEAD_FADE_MS, _DEAD_FADE_GAPS * watch["gap_ms"][rows].astype(np.float64))
    return np.asarray(watch["dead"][rows] * np.exp(-np.maximum(now_ms - watch["dead_at_ms"][rows], 0) / fade_ms))
