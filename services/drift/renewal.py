"""What stays and what goes when a camera's frames are predicted by a new version of the model."""

from typing import Final

import numpy as np

from services.drift.layout import ACCURACY, FAMILIES, FLOOR, INPUT, LEARNING, PREDICTIONS, REFERENCE
from services.drift.streams import forget
from services.drift.table import Table

_OF_LABELS: Final = ("labels_began_s", "labels_closed", "label_weights", "label_squares", "label_losses")
_OF_THE_ROAD: Final = tuple(FAMILIES.index(family) for family in (INPUT, PREDICTIONS, ACCURACY, FLOOR))
_FLOOR: Final = FAMILIES.index(FLOOR)


def renew(table: Table, row: int, version: int, at_ms: int) -> None:
    """Begin again with the pictures of a camera, since the new version was made for the road as it is now: alarms of
    pictures and predictions end with their reference.

    On a road that was as usual the loss that is usual stays: a new version is held to what the one before it could do.
    Where the road had changed, so that something was raised, nobody knows what a version can do there: its own loss is
    learned, and until then the floor holds, whose alarm stays until the version has shown that it is over it.

    Args:
        table: Its row was touched, all parts.
        version: Number of the version.
        at_ms: Event time of its first prediction.
    """
    watch, reference = table.watch, table.reference
    first = not watch["version"][row]
    watch["version"][row] = version
    watch["version_since_ms"][row] = at_ms
    if first:
        return
    stays = ("telemetry", *(() if watch["raised"][row, list(_OF_THE_ROAD)].any() else _OF_LABELS))
    of_loss = reference["pace"][row, -1], reference["inflation"][row, -1]
    for name in REFERENCE.names or ():
        if name not in stays:
            reference[name][row] = np.zeros((), REFERENCE[name])
    reference["pace"][row, -1], reference["inflation"][row, -1] = of_loss
    table.drop_detectors(row, range(ACCURACY.first))
    table.learning[row] = np.zeros((), LEARNING)
    for family in range(len(FAMILIES)):
        forget(watch, row, family)
        if family != _FLOOR:
            watch["raised"][row, family] = 0
    for name in ("tested", "recent_labels", "recent_errors", "recent_confidence", "recent_variance"):
        watch[name][row] = 0
    watch["recent_histogram"][row] = 0
    watch["span"][row, _FLOOR] = 0  # how long the other version took says nothing of this one
