"""Detectors that an operator prefers to the engine, by signal: river's, with the engine's reference and its alarms.

Such a detector takes the signal's streams from the engine: it alone can raise an alarm for them. It signals that
something changed, once, and then learns the new level; so its alarm ends as soon as the rest of its family is calm.
Its state is up to 4 KB a signal more than the 8 KB of a camera.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np

from services.drift.detectors import registry
from services.drift.layout import NARROWEST, Layout, Stream
from services.drift.outcomes import expected
from services.drift.signals import SIGNALS, Ranking
from services.drift.streams import Fed, count_window
from services.drift.table import Table

NAMES: Final = tuple(registry.DETECTORS)


def streams_of(signal: str, layout: Layout = NARROWEST) -> tuple[int, ...]:
    """Streams that a detector of *signal* is fed: a rank and its opposite, entropy up, margin down, loss.

    Raises:
        KeyError: it has none; there is one for each picture signal, ``entropy``, ``margin`` and ``loss``.
    """
    ways = {way for row in SIGNALS if row.name == signal for way in row.detector}
    if not ways:
        raise KeyError(signal)
    return tuple(
        number for number, stream in enumerate(layout.stream) if _is_fed(stream, signal) and stream.way in ways
    )


def _is_fed(stream: Stream, signal: str) -> bool:
    """Whether a stream is of all that *signal* is about, not of a class or a phase alone."""
    return stream.place.signal.name == signal and not stream.place.signal.along


def _taken(signal: str, layout: Layout) -> tuple[int, ...]:
    """Streams that the engine gives up for *signal*."""
    return tuple(number for number, stream in enumerate(layout.stream) if stream.place.signal.name == signal)


class DetectorChoice:
    """Feeds the detectors that were chosen.

    Args:
        names: Detector by signal.
        run_length: Samples until a false alarm that each is set for.
    """

    def __init__(self, names: Mapping[str, str], run_length: float) -> None:
        self._names = names
        self._streams = lru_cache(self._streams_of)
        self._run_length = run_length

    def _streams_of(self, layout: Layout) -> tuple[dict[int, str], list[int]]:
        """Name of the detector of each stream that one is fed, and all streams that the engine gives up."""
        fed = {stream: name for signal, name in self._names.items() for stream in streams_of(signal, layout)}
        return fed, sorted({stream for signal in self._names for stream in _taken(signal, layout)})

    def take(self, table: Table, rows: np.ndarray, fed: Fed, families: slice) -> list[tuple[int, int, int, int]]:
        """Take what is theirs out of *fed*, which then holds NaN there.

        Returns:
            Alarms: place in *rows*, family, stream and number of the detector in `NAMES`.
        """
        if not self._names:
            return []
        layout = table.layout
        by_stream, taken = self._streams(layout)
        first = layout.families[families][0].first
        end = first + fed.x.shape[1]
        found = []
        for stream, name in by_stream.items():
            if not first <= stream < end:
                continue
            family = next(place for place, each in enumerate(layout.families) if stream < each.first + each.streams)
            for place, x in enumerate(fed.x[:, stream - first].tolist()):
                if x == x and self._update(table, int(rows[place]), stream, name, x):  # noqa: PLR0124 - not NaN
                    found.append((place, family, stream, NAMES.index(name)))
        fed.x[:, [stream - first for stream in taken if first <= stream < end]] = np.nan
        for family, each in enumerate(layout.families):
            if first <= each.first < end and set(range(each.first, each.first + each.streams)) <= set(taken):
                count_window(table.watch, rows, family)
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
    place, way = table.layout.stream[stream]
    match place.signal.ranking:
        case Ranking.RANK:
            return 0.5
        case Ranking.MEAN:
            mean = float(table.reference[row]["output_mean"][:, table.layout.output_places.index(place)].max())
            mean = mean if way == "up" else 1 - mean
        case _:
            mean = float(expected(table.reference, np.array([row]))[0])
    return min(max(mean, 0.01), 0.99)
