"""Camera faults: rules that a person can check, on runs of frames. While one holds, all else about the camera is moot.

A rule must hold for `RUN` frames in a row and for as long as its row requires; it ends when it does not hold for
`CLEAR` in a row. A clock that has kept its new time for an hour is taken to be right from then on: most jumps are
repairs.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.fault_rules import FRAME_FAULTS, RUN, Mask, Round, one_more
from services.drift.layout import PICTURE
from services.drift.reference import usual
from services.drift.sample import Frames, Ints

CLEAR: Final = 20
_LASTING_MS: Final = np.array([fault.lasting_ms for fault in FRAME_FAULTS])
_RULES: Final[list[tuple[int, Callable[[Round], Mask]]]] = [
    (place, fault.rule) for place, fault in enumerate(FRAME_FAULTS) if fault.rule
]


def evaluate(
    watch: NDArray[Any], reference: NDArray[Any], phase: Ints, seen: Frames, *, skew_ms: float, latency_ms: float
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
    watch["fault_clear"][rows] = one_more(watch["fault_clear"][rows]) * ~holds
    if not holds.any():
        watch["fault_run"][rows] = 0
        return holds
    run = one_more(watch["fault_run"][rows]) * holds
    from_ms = np.where(run == 1, seen.at_ms[:, None], watch["fault_from_ms"][rows])
    watch["fault_run"][rows], watch["fault_from_ms"][rows] = run, from_ms
    lasting: NDArray[np.bool_] = (run >= RUN) & (seen.at_ms[:, None] - from_ms >= _LASTING_MS)
    return lasting


def wait_for_calm(watch: NDArray[Any], row: int, fault: int) -> None:
    """A fault that no frame raised ends when frames that do not fulfil its rule come again."""
    watch["fault_clear"][row, fault] = 0
