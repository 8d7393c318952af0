"""What an operator has decided, as plain numbers: `services.drift.settings` explains each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

_INSPECT_MS: Final = 200.0
_SAMPLED_MS: Final = 3 * 86_400_000
LEAST_TOLERANCE: Final = 0.002
"""Rise of a mean loss that is tolerated however rare errors are, unless an operator tolerates less."""
_Ms = TypeVar("_Ms", int, NDArray[np.int64])


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Numbers that the watching rests on.

    Attributes:
        reference_samples: Frames, and labels, that a reference is made of.
        reference_span_ms: Shortest time that it covers.
        telemetry_span_ms: Time that it must cover before readings of devices are watched.
        false_per_week: False alarms of the whole fleet in a week.
        fleet_cameras: Cameras that share them; 0 counts those that are seen.
        partitions: Of the topics that are read: one table sees one of so many parts of the fleet.
        night: Brightness under which it is night.
        tolerance_probability, tolerance_rank, tolerance_accuracy, tolerance_new_phase: Changes that are
            tolerated.
        tolerance_loss_share: Of the usual loss, the most of `tolerance_accuracy` that is tolerated.
        accuracy_floor: Accuracy that is too low whatever is usual.
        latency_ms: Mean latency over which the service is too slow.
        clock_skew_ms: Jump of a camera's clock that is a fault.
        statistics_ms: Time between two statistics.
        detectors: Detectors that replace the engine, by signal.
        detectors_run_length: Samples until a false alarm that each of those is set for.
    """

    reference_samples: int = 1_000
    reference_span_ms: int = 7 * 86_400_000
    telemetry_span_ms: int = 86_400_000
    false_per_week: float = 1.0
    fleet_cameras: int = 0
    partitions: int = 1
    night: float = 0.18
    tolerance_probability: float = 0.02
    tolerance_rank: float = 0.05
    tolerance_accuracy: float = 0.02
    tolerance_loss_share: float = 0.2
    tolerance_new_phase: float = 0.10
    accuracy_floor: float = 0.40
    latency_ms: float = 10_000
    clock_skew_ms: float = 30_000
    statistics_ms: int = 5_000
    detectors: Mapping[str, str] = field(default_factory=dict)
    detectors_run_length: float = 1_000_000

    @cached_property
    def sample_ms(self) -> float:
        """Shortest time between two frames of a camera that count: so that eight times as many as a reference needs
        lie in the shortest time that it covers, or in three days of it."""
        return min(self.reference_span_ms, _SAMPLED_MS) / (8 * self.reference_samples)

    def tolerated(self, loss: NDArray[Any]) -> NDArray[Any]:
        """Rise of a mean *loss*, [...], that is tolerated: a share of it, but at least one answer in five hundred."""
        share = np.maximum(self.tolerance_loss_share * loss, LEAST_TOLERANCE)
        return np.asarray(np.minimum(share, self.tolerance_accuracy))

    def is_sample(self, at_ms: _Ms, sampled_ms: _Ms) -> Any:
        """Whether frames that came at *at_ms* are samples after those of *sampled_ms*: of a fast camera they lie apart.
        What is normal must come from all of the time that a reference covers, and an hour of dusk is no thousand facts.
        """
        return at_ms - sampled_ms >= self.sample_ms

    @cached_property
    def inspect_ms(self) -> float:
        """Shortest time between two frames of a camera that are inspected: where samples lie further apart, a fifth of
        a second is enough to see a camera break."""
        return min(_INSPECT_MS, self.sample_ms)
