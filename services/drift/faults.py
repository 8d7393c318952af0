"""Camera faults: rules that a person can check, on runs of frames. While one holds, all else about the camera is moot.

A rule must hold for `RUN` frames in a row and for as long as its row requires; it ends when it does not hold for
`CLEAR` in a row, nor for as long as it took to be raised. A clock that has kept its new time for an hour is taken to be
right from then on: most jumps are repairs.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fault_rules import FRAME_FAULTS, OF_PICTURES, RUN, Mask, Round, one_more
from services.drift.layout import FAULT_ALARMS, PICTURE
from services.drift.reference import usual
from services.drift.sample import Frames, Ints

CLEAR: Final = 20
CLEAR_MOST_MS: Final = 60_000
"""As long as it took to be raised, but no longer than this: `infra/decisions/0017-as-long-as-it-took.md`."""
_LASTING_MS: Final = np.array([fault.lasting_ms for fault in FRAME_FAULTS])
_RULES: Final[list[tuple[int, Callable[[Round], Mask]]]] = [
    (place, fault.rule) for place, fault in enumerate(FRAME_FAULTS) if fault.rule
]


def evaluate(
    watch: NDArray[Any],
    reference: NDArray[Any],
    phase: Ints,
    seen: Frames,
    *,
    skew_ms: float,
    latency_ms: float,
) -> NDArray[np.bool_]:
    """Take one frame of each camera and return which rules hold now, [n, FAULTS], having lasted.

    Args:
        watch, reference: Rows of the table; *watch* is changed in place.
        phase: [n].
        seen: The frames.
        skew_ms: Jump of a clock that is a fault.
        latency_ms: Mean latency over which the service is too slow.
    """
    rows = seen.rows
    now = Round(
        watch,
        seen,
        value=lambda signal: seen.ranked[:, PICTURE.index(signal)],
        usual=lambda signal: usual(reference, rows, phase, PICTURE.index(signal)),
        learned=reference["closed"][rows, phase].astype(bool),
        skew_ms=skew_ms,
        most_latency_ms=latency_ms,
    )
    holds = np.zeros((len(rows), len(FRAME_FAULTS)), bool)
    for place, rule in _RULES:
        holds[:, place] = rule(now)
    if seen.by_views.any():
        holds &= ~_of_views(seen)
    raised = watch["raised"][rows, FAULT_ALARMS].astype(bool)
    clear = one_more(watch["fault_clear"][rows]) * ~holds
    watch["fault_clear"][rows] = clear
    if not (holds | raised).any():
        watch["fault_run"][rows] = 0
        return holds
    run = one_more(watch["fault_run"][rows]) * holds
    # Since when a rule holds; of one that is raised also since when it does not.
    begins = (run == 1) | (raised & (clear == 1))
    from_ms = np.where(begins, seen.at_ms[:, None], watch["fault_from_ms"][rows])
    watch["fault_run"][rows], watch["fault_from_ms"][rows] = run, from_ms
    lasting: NDArray[np.bool_] = (run >= RUN) & (seen.at_ms[:, None] - from_ms >= _LASTING_MS)
    return lasting


def cleared(watch: NDArray[Any], seen: Frames) -> NDArray[np.bool_]:
    """Which rules that are raised have not held for long enough, [n, FAULTS], now that `evaluate` took a frame."""
    rows, at_ms = seen.rows, seen.at_ms[:, None]
    took_ms = watch["raised_at_ms"][rows, FAULT_ALARMS] - watch["raised_since_ms"][rows, FAULT_ALARMS]
    needed_ms = np.minimum(np.maximum(took_ms, _LASTING_MS), CLEAR_MOST_MS)
    long_enough = at_ms - watch["fault_from_ms"][rows] >= needed_ms
    raised = watch["raised"][rows, FAULT_ALARMS].astype(bool) & ~_of_views(seen)
    over: NDArray[np.bool_] = raised & (watch["fault_clear"][rows] >= CLEAR) & long_enough
    return over


def _of_views(seen: Frames) -> Mask:
    """Which rules of which cameras are for views to judge, [n, FAULTS]."""
    theirs: Mask = seen.by_views[:, None] & OF_PICTURES
    return theirs


def wait_for_calm(watch: NDArray[Any], row: int, fault: int) -> None:
    """Something other than a frame fulfils the rule of a fault: it ends when frames that do not have come for long
    enough since."""
    watch["fault_clear"][row, fault] = 0
