"""Numbers of frames that are none, or that nothing can measure: they are left out before anything remembers them.

A running mean that took a NaN once is a NaN for ever, and a scale that took 10^30 shows no change any more.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.layout import FOCUS, OPTIONAL, PICTURE, RANKED_PLACES
from services.drift.sample import LARGEST, Frames

_KEPT: Final = {PICTURE.index("brightness"): "light", PICTURE.index("contrast"): "contrast", FOCUS: "focus"}
"""Signals of which a running mean is kept with every frame, and in which column: it takes what it was."""
_ALWAYS: Final = [
    number
    for number, each in enumerate(RANKED_PLACES)
    if number not in OPTIONAL and not each.signal.along and not each.signal.relative
]
"""Places of what every frame has."""


def guarded(watch: NDArray[Any], seen: Frames) -> tuple[Frames, int]:
    """Frames whose ranked signals are numbers up to `LARGEST`, or NaN where there is none; and of how many frames some
    were left out.

    Args:
        watch: Rows of the table, not changed: where a running mean needs a number, that is the mean as it is.
        seen: The frames.
    """
    odd = np.abs(seen.ranked) > LARGEST
    none = np.isnan(seen.ranked[:, _ALWAYS])
    if not (odd.any() or none.any()):
        return seen, 0
    ranked = np.where(odd, np.nan, seen.ranked).astype(np.float32)
    for place, column in _KEPT.items():
        missing = np.isnan(ranked[:, place])
        ranked[missing, place] = watch[column][seen.rows[missing]]
    return replace(seen, ranked=ranked), int((odd.any(axis=1) | none.any(axis=1)).sum())
