"""What streams and families are called, and what is reported of them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.layout import COMPOSITION, INPUT, LIGHT, RANK_WAYS, RANKED, RANKED_PLACES
from services.drift.outcomes import expected
from services.drift.reference import usual
from services.drift.sample import Floats, Ints
from services.drift.streams import by_stream, weighed
from services.drift.table import Table

_MOVED: Final = 1e-3
"""A camera that moved shows the same light: its evidence is less than this share of the composition's."""


def signal_of(table: Table, row: int, stream: int) -> tuple[str, int | None]:
    """Name of the signal of a stream, and the bucket of the class that it is about."""
    place = table.layout.stream[stream].place
    match place.signal.along:
        case "slot":
            return f"{place.signal.name}.{table.reference['telemetry'][row, place.number].decode()}", None
        case "class":
            return place.signal.name, place.number
        case _:
            return place.signal.name, None


def off(table: Table, row: int) -> NDArray[np.bool_]:
    """Of which ranked signals the camera's phase has a whole reference that holds nothing, [RANKED]."""
    phase = int(table.watch["phase"][row])
    known = table.reference
    found: NDArray[np.bool_] = (known["histogram"][row, phase] == 0).all(axis=-1) & (known["closed"][row, phase] == 1)
    return found


def signals_off(table: Table, row: int) -> list[str]:
    """Names of those: the camera sent them, or should have, and no number that can be measured."""
    known, names = table.reference, []
    for number in np.flatnonzero(off(table, row)).tolist():
        place = RANKED_PLACES[number]
        if place.signal.along == "slot":
            slot = known["telemetry"][row, place.number].decode()
            names += [f"{place.signal.name}.{slot}"] if slot else []
        elif not place.signal.optional or known["decorrelation_lag"][row, number]:
            names.append(place.name)
    return names


def estimates(table: Table, rows: Ints, floor: float) -> tuple[Floats, Floats]:
    """Current estimate of the signal of each stream, and what is normal for it in the camera's phase, [n, streams]."""
    watch, known = table.watch, table.reference
    phase = watch["phase"][rows].astype(np.int64)
    now, loss = watch["values"][rows], recent_loss(watch, rows)
    normal, _ = usual(known, rows, phase)
    return (
        by_stream(table.layout, now[:, :RANKED], now[:, RANKED:], loss, 1 - loss),
        by_stream(
            table.layout,
            normal,
            known["output_mean"][rows, phase],
            np.nan_to_num(expected(known, rows)),
            np.full_like(loss, floor),
        ),
    )


def recent_loss(watch: NDArray[Any], rows: Ints) -> Floats:
    """Share of the recent labels of cameras that contradict their prediction, [n], 0 to 1; NaN without labels."""
    labels = watch["recent_labels"][rows]
    share = watch["recent_errors"][rows] / np.where(labels > 0, labels, 1)
    return np.where(labels > 0, share, np.nan).astype(np.float32)


def alarmed(
    table: Table, row: int, family: int, threshold: float, floor: float, chosen: tuple[int, int] | None = None
) -> tuple[float, ...]:
    """The numbers of the alarm of a family while it lasts, in the order of `layout.ALARMED`.

    Args:
        chosen: Stream and number of the detector, where it was not the engine that raised it.
    """
    watch, of_it = table.watch[row], table.layout.families[family]
    rows = np.array([row])
    shares = weighed(table.watch, table.reference, rows)[0]
    most = of_it.first + int(shares[of_it.slice].argmax())
    stream, detector = chosen or (most, 0)
    estimate, reference = (float(each[0, stream]) for each in estimates(table, rows, floor))
    moved = family == INPUT and _has_moved(shares[of_it.slice])
    evidence = float(watch["family"][family]) if chosen is None else threshold
    return evidence, threshold, stream, estimate, reference, moved, detector


def _has_moved(shares: Floats) -> bool:
    """Another view under the same light, by the *shares* of evidence, [streams of pictures]."""
    by_signal = shares.reshape(-1, RANK_WAYS).sum(axis=1)
    return bool(by_signal[LIGHT].max() < _MOVED * by_signal[COMPOSITION])
