"""Records of a batch by kind, and which frames need not be looked at."""

from catseye.records import Outcome, Prediction
from services.drift.table import Cameras


class Batch:
    """Records by kind, each with the cameras of its partition.

    Attributes:
        predictions: Those that are looked at.
        passed_before: Of each of them, frames of its camera since the one before that were passed over.
        passed: Frames since the last that is looked at, by camera.
        passed_ms: When the newest one that was passed over came, by partition.
        passed_over: All of them.
        outcomes: All.
        refused: Camera, reason and time of frames that became dead letters.
        heard: Cameras of partitions of which there are any records.
    """

    def __init__(self) -> None:
        self.predictions: list[tuple[Cameras, Prediction]] = []
        self.passed_before: list[int] = []
        self.passed: dict[tuple[Cameras, str], int] = {}
        self.passed_ms: dict[Cameras, int] = {}
        self.passed_over = 0
        self.outcomes: list[tuple[Cameras, Outcome]] = []
        self.refused: list[tuple[Cameras, str, str, int]] = []
        self.heard: set[Cameras] = set()
        self._looked_ms: dict[tuple[Cameras, str], int] = {}  # when the last frame came that is looked at

    def passes_over(self, cameras: Cameras, camera: str, at_ms: int, look_ms: float) -> bool:
        """Whether a frame came less than *look_ms* after the last one of its camera that is looked at; it is noted."""
        place = cameras, camera
        last_ms = self._looked_ms.get(place)
        if last_ms is None and camera in cameras:
            last_ms = self._looked_ms[place] = int(cameras.table.watch["seen_ms"][cameras.row(camera)])
        if last_ms is None or not 0 <= at_ms - last_ms < look_ms:
            return False
        self.passed[place] = self.passed.get(place, 0) + 1
        self.passed_ms[cameras] = max(at_ms, self.passed_ms.get(cameras, 0))
        self.passed_over += 1
        return True

    def look_at(self, cameras: Cameras, prediction: Prediction) -> None:
        """Take a prediction that was not passed over."""
        place = cameras, prediction.camera
        self.predictions.append((cameras, prediction))
        self.passed_before.append(self.passed.pop(place, 0))
        self._looked_ms[place] = max(self._looked_ms.get(place, 0), prediction.received_at_ms)
