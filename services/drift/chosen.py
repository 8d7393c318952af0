"""Detectors that an operator prefers to the engine, by signal: river's, with the engine's reference and its alarms.

Such a detector takes the signal's streams from the engine: it alone can raise an alarm for them. It says that
something changed, once, and then learns the new level; so its alarm ends as soon as the rest of its family is calm.
Its state is up to 4 KB a signal more than the 8 KB of a camera.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from services.drift.detectors import registry
from services.drift.layout import ACCURACY, FAMILIES, MARGIN, PICTURE, PREDICTIONS, RANKED, SAID
from services.drift.layout import ENTROPY as ENTROPY_PLACE
from services.drift.outcomes import expected
from services.drift.streams import Fed
from services.drift.table import Table

_SAID_STREAMS: Final = {"entropy": (PREDICTIONS.first + ENTROPY_PLACE,), "margin": (PREDICTIONS.first + SAID + MARGIN,)}
NAMES: Final = tuple(registry.DETECTORS)


def streams_of(signal: str) -> tuple[int, ...]:
    """Streams that a detector of *signal* is fed: a rank and its opposite, entropy up, margin down, loss.

    Raises:
        KeyError: it has none; there is one for each picture signal, ``entropy``, ``margin`` and ``loss``.
    """
    if signal == "loss":
        return (ACCURACY.first,)
    if signal in _SAID_STREAMS:
        return _SAID_STREAMS[signal]
    if signal not in PICTURE:
        raise KeyError(signal)
    first = 3 * PICTURE.index(signal)
    return first, first + 1


def _taken(signal: str) -> tuple[int, ...]:
    """Streams that the engine gives up for *signal*."""
    if signal in _SAID_STREAMS:
        (stream,) = _SAID_STREAMS[signal]
        other = stream + SAID if stream < PREDICTIONS.first + SAID else stream - SAID
        return stream, other
    if signal == "loss":
        return tuple(range(ACCURACY.first, ACCURACY.first + ACCURACY.streams))
    first = 3 * PICTURE.index(signal)
    return first, first + 1, first + 2


class Chosen:
    """Feeds the detectors that were chosen.

    Args:
        names: Detector by signal.
        run_length: Samples until a false alarm that each is set for.
    """

    def __init__(self, names: Mapping[str, str], run_length: float) -> None:
        self._by_stream = {stream: name for signal, name in names.items() for stream in streams_of(signal)}
        self._taken = sorted({stream for signal in names for stream in _taken(signal)})
        self._run_length = run_length

    def take(self, table: Table, rows: np.ndarray, fed: Fed, families: slice) -> list[tuple[int, int, int, int]]:
        """Take what is theirs out of *fed*, which then holds NaN there.

        Returns:
            Alarms: place in *rows*, family, stream and number of the detector in `NAMES`.
        """
        if not self._taken:
            return []
        first, end = FAMILIES[families][0].first, FAMILIES[families][0].first + fed.x.shape[1]
        found = []
        for stream, name in self._by_stream.items():
            if not first <= stream < end:
                continue
            family = next(place for place, each in enumerate(FAMILIES) if stream < each.first + each.streams)
            for place, x in enumerate(fed.x[:, stream - first].tolist()):
                if x == x and self._update(table, int(rows[place]), stream, name, x):  # noqa: PLR0124 - not NaN
                    found.append((place, family, stream, NAMES.index(name)))
        fed.x[:, [stream - first for stream in self._taken if first <= stream < end]] = np.nan
        for family, each in enumerate(FAMILIES):
            if first <= each.first < end and set(range(each.first, each.first + each.streams)) <= set(self._taken):
                table.watch["window"][rows, family] += 1  # the engine, which takes nothing here, does not count
        return found

    def _update(self, table: Table, row: int, stream: int, name: str, x: float) -> bool:
        detector = table.detectors.get((row, stream))
        table.touch_detector(row, stream)
        if detector is None:
            state = table.detector_states.get((row, stream), b"")
            mean = _mean(table, row, stream)
            detector = registry.make(name, mean, run_length=self._run_length, state=state)
            table.detectors[row, stream] = detector
        detector.update(min(max(x, 0.0), 1.0))
        return detector.drift_detected


def _mean(table: Table, row: int, stream: int) -> float:
    """What a stream's mean is while nothing changes, over 0 and under 1."""
    if stream < 3 * RANKED:
        return 0.5
    if stream >= ACCURACY.first:
        mean = float(expected(table.reference, np.array([row]))[0])
    else:
        said = (stream - PREDICTIONS.first) % SAID
        known = table.reference[row]
        mean = float(known["said_mean"][:, said].max())
        mean = mean if stream < PREDICTIONS.first + SAID else 1 - mean
    return min(max(mean, 0.01), 0.99)
