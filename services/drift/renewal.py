"""What stays and what goes when a camera's frames are predicted by a new version of the model."""

from typing import Final

import numpy as np

from services.drift import alarms, days, decorrelation, estimates, outcomes, sampling, streams
from services.drift.fields import REFERENCE_FIELDS
from services.drift.layout import FAMILIES, FLOOR, OF_THE_ROAD
from services.drift.table import Table

_OF_THE_DEVICE: Final = {"table", "decorrelation"}
_WITH_LABELS: Final = {"table", "decorrelation", "outcomes", "days"}
"""Owners of what stays on a road that has not changed."""


def renew(table: Table, row: int, version: int, at_ms: int, *, same_classes: bool = True) -> None:
    """Begin again with the pictures of a camera, since the new version was made for the road as it is now: alarms of
    pictures and predictions end with their reference.

    On a road that was as usual the loss that is usual stays: a new version is held to what the one before it could do.
    Where the road had changed, so that something was raised, or where the version tells other classes apart, nobody
    knows what it can do there: its own loss is learned, and until then the floor holds, whose alarm stays until the
    version has shown that it is over it.

    Args:
        table: Its row was touched, all parts.
        version: Number of the version.
        at_ms: Event time of its first prediction.
        same_classes: Whether it has the classes of the one before, in their order.
    """
    watch, reference = table.watch, table.reference
    first = not watch["version"][row]
    watch["version"][row] = version
    watch["version_since_ms"][row] = at_ms
    if first:
        return
    changed = watch["raised"][row, OF_THE_ROAD].any()
    stays = _WITH_LABELS if same_classes and not changed else _OF_THE_DEVICE
    for field in REFERENCE_FIELDS:
        if field.owner not in stays:
            reference[field.name][row] = np.zeros((), reference.dtype[field.name])
    if stays is not _WITH_LABELS:
        days.forget(table.days, row)
    decorrelation.forget(reference, row)
    table.drop_detectors(row, range(table.layout.frame_streams))
    table.learning[row] = np.zeros((), table.layout.learning)
    for family in range(len(FAMILIES)):
        streams.forget(watch, row, family)
        if family != FLOOR:
            alarms.withdraw(watch, row, family)
    sampling.forget(watch, row)
    outcomes.forget(watch, row)
    estimates.forget(watch, row)
    alarms.forget_span(watch, row, FLOOR)  # how long the other version took does not count for this one
