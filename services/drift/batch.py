"""Records of a batch by kind, and what each frame is worth: a sample, an inspection for faults, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from catseye.contract.records import Outcome, Prediction
from services.drift.cameras import Cameras
from services.drift.rules import Rules
from services.drift.sample import Inspection


class Worth(Enum):
    """What is done with a frame."""

    SAMPLE = "sample"
    INSPECTION = "inspection"
    NOTHING = "nothing"


@dataclass
class Batch:
    """Records by kind, each with the cameras of its partition.

    Attributes:
        rules: What the operator decided.
        predictions: Those that are inspected.
        inspections: What each of them is inspected for.
        passed: Frames since the last that is inspected, by camera.
        passed_ms: When the newest one that was passed over came, by partition.
        passed_over: All of them.
        outcomes: All.
        views: What was read of views.
        refused: Camera, reason and time of frames that became dead letters.
        active: Cameras of partitions of which there are any records.
    """

    rules: Rules
    predictions: list[tuple[Cameras, Prediction]] = field(default_factory=list)
    inspections: list[Inspection] = field(default_factory=list)
    passed: dict[tuple[Cameras, str], int] = field(default_factory=dict)
    passed_ms: dict[Cameras, int] = field(default_factory=dict)
    passed_over: int = 0
    outcomes: list[tuple[Cameras, Outcome]] = field(default_factory=list)
    views: list[tuple[Cameras, Mapping[str, Any]]] = field(default_factory=list)
    refused: list[tuple[Cameras, str, str, int]] = field(default_factory=list)
    active: set[Cameras] = field(default_factory=set)
    _last_ms: dict[tuple[Cameras, str], tuple[int, int]] = field(
        default_factory=dict
    )  # inspection and sample, by camera

    def worth(self, cameras: Cameras, camera: str, at_ms: int) -> Worth:
        """What a frame that came at *at_ms* is worth after those of its camera that came before."""
        inspected_ms, sampled_ms = self._last(cameras, camera)
        if self.rules.is_sample(at_ms, sampled_ms):
            return Worth.SAMPLE
        # One from before the last: our own clock was set back, and nobody knows for how long.
        return Worth.NOTHING if 0 <= at_ms - inspected_ms < self.rules.inspect_ms else Worth.INSPECTION

    def pass_over(self, cameras: Cameras, camera: str, at_ms: int) -> None:
        """Count a frame that is worth nothing."""
        place = cameras, camera
        self.active.add(cameras)
        self.passed[place] = self.passed.get(place, 0) + 1
        self.passed_ms[cameras] = max(at_ms, self.passed_ms.get(cameras, 0))
        self.passed_over += 1

    def inspect(self, cameras: Cameras, prediction: Prediction, worth: Worth) -> None:
        """Take a prediction that is worth something."""
        place, at_ms = (cameras, prediction.camera), prediction.received_at_ms
        inspected_ms, sampled_ms = self._last(*place)
        self._last_ms[place] = max(inspected_ms, at_ms), at_ms if worth is Worth.SAMPLE else sampled_ms
        self.active.add(cameras)
        self.predictions.append((cameras, prediction))
        self.inspections.append(Inspection(worth is Worth.SAMPLE, self.passed.pop(place, 0)))

    def _last(self, cameras: Cameras, camera: str) -> tuple[int, int]:
        """When the camera's last frame came that was inspected, and its last sample; 0 where there was none."""
        found = self._last_ms.get((cameras, camera))
        if found is None:
            found = 0, 0
            if camera in cameras:
                table, row = cameras.home(camera)
                found = int(table.watch["seen_ms"][row]), int(table.watch["sampled_ms"][row])
            self._last_ms[cameras, camera] = found
        return found
