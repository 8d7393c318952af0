"""Cameras that are drawn from a seed, as predictions and outcomes, and the drift service that watches them.

No picture is made: numbers are drawn as those of a road come out, so that a thousand frames cost what they cost drift.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.identity import prediction_id
from catseye.contract.records import Alarm, CameraReport, DriftStatistic, Outcome, Prediction
from catseye.runtime.progress import ALL_WORKED
from catseye.runtime.router import Router
from services.drift import NAME, READS, WRITES, absences
from services.drift.cameras import Cameras
from services.drift.core import DriftCore
from services.drift.report import report
from services.drift.rules import Rules
from services.drift.statistics import statistics
from services.drift.table import Table

CODEC: Final = Codec()
CLASSES: Final = ("bike", "car", "truck")
START_MS: Final = 1_800_000_000_000
"""Moments of the tests are seconds after it."""
QUICK: Final = Rules(
    reference_samples=200, reference_span_ms=0, telemetry_span_ms=0, fleet_cameras=1, false_per_week=1e6, partitions=1
)
"""Learns within 200 frames, and alarms at evidence of a thousand."""


def ms(at_s: float) -> int:
    """Unix milliseconds of a moment."""
    return START_MS + round(at_s * 1_000)


class Camera:
    """A steady road as one camera sees it.

    Args:
        name: Of the camera.
        seed: Of all that is drawn.
        fps: Frames/s, evenly.
        shares: Of the classes.
        error_share: Share of the predictions that are wrong.
        light: Mean brightness.
        version: Of the model that predicts.
    """

    def __init__(
        self,
        name: str = "a",
        *,
        seed: int = 1,
        fps: float = 20.0,
        shares: Sequence[float] = (0.3, 0.5, 0.2),
        error_share: float = 0.04,
        light: float = 0.5,
        version: str = "v1",
    ) -> None:
        self.name = name
        self.fps = fps
        self.shares = list(shares)
        self.error_share = error_share
        self.light = light
        self.version = version
        self.at_s = 0.0
        self.sequence = 0
        self.truth: dict[int, str] = {}
        self._chance = np.random.default_rng([seed, *name.encode()])
        self._usual_bits = self._chance.random(64)
        self._centres = self._chance.normal(size=(len(CLASSES), 16))

    def shot(self, **changes: Any) -> Prediction:
        """The next frame, with *changes* to what was drawn."""
        chance = self._chance
        shown = int(chance.choice(len(CLASSES), p=self.shares))
        reported = shown if chance.random() >= self.error_share else (shown + 1) % len(CLASSES)
        sure = 1 - 10 ** -chance.uniform(0.5, 3)
        chances = {name: (1 - sure) / (len(CLASSES) - 1) for name in CLASSES} | {CLASSES[reported]: sure}
        bits = np.packbits(chance.random(64) < self._usual_bits, bitorder="little").tobytes()
        drawn = Prediction(
            camera=self.name,
            boot="b",
            sequence=self.sequence,
            captured_at_ms=ms(self.at_s) - 5,
            received_at_ms=ms(self.at_s),
            predicted_at_ms=ms(self.at_s) + 30,
            prediction_id=prediction_id(self.name, "b", self.sequence, "m", self.version, "champion"),
            model="m",
            version=self.version,
            role="champion",
            frame_partition=0,
            frame_offset=self.sequence + 1,
            label=CLASSES[reported],
            probabilities=chances,
            brightness=float(np.clip(self.light + chance.normal() * 0.05, 0.06, 0.94)),
            contrast=float(np.clip(0.17 + chance.normal() * 0.02, 0.05, 0.5)),
            sharpness=float(0.05 * np.exp(chance.normal() * 0.4)),
            dark_share=float(1e-3 * np.exp(chance.normal())),
            bright_share=float(1e-3 * np.exp(chance.normal())),
            perceptual_hash=int.from_bytes(bits, "little", signed=True),
            model_sha256="0" * 64,
            embedding=(self._centres[shown] + chance.normal(size=16)).tolist(),
        )
        self.truth[self.sequence] = CLASSES[shown]
        self.sequence += 1
        self.at_s += 1 / self.fps
        return replace(drawn, **changes)

    def coloured(self, *, blue: float = 0.02, red: float = -0.01, bits: float = 1.5, **changes: Any) -> Prediction:
        """The next frame with its colour and its bits a pixel, around these means."""
        noise = np.random.default_rng([self.sequence, *self.name.encode()]).normal(size=3)
        measured = {"chroma_blue": blue + 0.01 * noise[0], "chroma_red": red + 0.01 * noise[1]}
        return self.shot(**measured, bits_per_pixel=bits * float(np.exp(0.1 * noise[2])), **changes)

    def shots(self, count: int, **changes: Any) -> list[Prediction]:
        """The next *count* frames."""
        return [self.shot(**changes) for _ in range(count)]

    def labelled(self, predictions: Sequence[Prediction], *, delay_s: float = 1.0, **changes: Any) -> list[Outcome]:
        """What is said of frames later: the truth, with *changes*."""
        return [outcome(each, self.truth[each.sequence], delay_s=delay_s, **changes) for each in predictions]


def outcome(prediction: Prediction, label: str, *, delay_s: float = 1.0, **changes: Any) -> Outcome:
    """A prediction and its first label."""
    drawn = Outcome(
        camera=prediction.camera,
        boot=prediction.boot,
        sequence=prediction.sequence,
        captured_at_ms=prediction.captured_at_ms,
        received_at_ms=prediction.received_at_ms,
        predicted_at_ms=prediction.predicted_at_ms,
        prediction_id=prediction.prediction_id,
        model=prediction.model,
        version=prediction.version,
        role=prediction.role,
        frame_partition=prediction.frame_partition,
        frame_offset=prediction.frame_offset,
        predicted=prediction.label,
        confidence=max(prediction.probabilities.values()),
        change="matched",
        label=label,
        correct=label == prediction.label,
        label_probability=prediction.probabilities.get(label, 0.0),
        brightness=prediction.brightness,
        source="person",
        propensity=1.0,
        labelled_at_ms=prediction.received_at_ms + round(delay_s * 1_000),
        label_received_at_ms=prediction.received_at_ms + round(delay_s * 1_000),
        label_delay_ms=round(delay_s * 1_000),
    )
    return replace(drawn, **changes)


def drift_service(rules: Rules, partitions: int = 1) -> Router[Cameras]:
    """The drift service, bytes in and bytes out."""
    return Router(_drift(rules), NAME, READS, WRITES, CODEC, "", partitions)


def _drift(rules: Rules) -> DriftCore:
    """Nothing is on its way to it but what a test gives it."""
    core = DriftCore(rules)
    core.on_progress(ALL_WORKED, ALL_WORKED)
    return core


class Watched:
    """The drift service and what it knows of one partition.

    Args:
        rules: What the operator decided.
    """

    def __init__(self, rules: Rules = QUICK) -> None:
        self.rules = rules
        self.core = _drift(rules)
        self.service: Router[Cameras] = Router(self.core, NAME, READS, WRITES, CODEC, "", 1)
        self.cameras = self.core.new_state()
        self.table = self.cameras.table
        self.raised: list[tuple[str, str, bool]] = []
        """Camera, kind, and whether it was raised or cleared, in order."""
        self._before: dict[str, set[str]] = {}

    def see(self, *predictions: Prediction) -> None:
        """Predictions, one batch a frame of each camera so that no alarm is missed."""
        for each in predictions:
            self.core.on_predictions([(self.cameras, each)], self._note)

    def see_and_keep(self, predictions: list[Prediction]) -> list[Prediction]:
        """The same, and they are returned."""
        self.see(*predictions)
        return predictions

    def label(self, *outcomes: Outcome) -> None:
        """Outcomes, one by one."""
        for each in outcomes:
            self.core.on_outcomes([(self.cameras, each)], self._note)

    def live(self, camera: Camera, count: int, **changes: Any) -> list[Prediction]:
        """The next frames of *camera*, each labelled truly at once."""
        shots = camera.shots(count, **changes)
        for each in shots:
            self.see(each)
            self.label(*camera.labelled([each]))
        return shots

    def evaluate(self, at_s: float) -> None:
        """Time has gone on to *at_s*."""
        for table, _, rows in self.cameras.placed:
            now_ms = np.full(len(rows), ms(at_s))
            views = dict(self.cameras.with_views(table))
            self._note(table, absences.evaluate(table, rows, now_ms, now_ms, views))

    def report(self, camera: str = "a") -> CameraReport:
        """All that is wrong with a camera."""
        table, row = self.cameras.home(camera)
        return report(table, row, self.rules, self.cameras.shared.newest_ms, ("frames.accepted", 0))

    def statistics(self, camera: str = "a") -> list[DriftStatistic]:
        """Every signal of a camera now; 10,000 is the threshold of frames, 20,000 of labels."""
        table, row = self.cameras.home(camera)
        rows, thresholds = np.array([row]), (np.array([1e4]), np.array([2e4]))
        return [*statistics(table, rows, self.rules, self.cameras.shared.newest_ms, *thresholds)]

    def alarm(self, kind: str, camera: str = "a") -> Alarm:
        """The one alarm of that kind."""
        (found,) = [alarm for alarm in self.report(camera).alarms if alarm.kind == kind]
        return found

    def kinds(self, camera: str = "a") -> set[str]:
        """Kinds of all alarms that are raised."""
        return {alarm.kind for alarm in self.report(camera).alarms}

    def history(self, camera: str = "a") -> list[tuple[str, bool]]:
        """What was raised (True) and cleared, in order."""
        return [(kind, raised) for name, kind, raised in self.raised if name == camera]

    def _note(self, table: Table, rows: set[int]) -> None:
        for row in sorted(rows):
            name = table.names[row]
            now, before = self.kinds(name), self._before.get(name, set())
            self.raised += [(name, kind, True) for kind in sorted(now - before)]
            self.raised += [(name, kind, False) for kind in sorted(before - now)]
            self._before[name] = now
