"""Plays a road through the services in virtual time, without a broker: pictures in, alerts out, all of it repeatable.

What the simulator sends is measured as ingest does, predicted by the example's model, joined by ground truth, watched
by drift and told by incidents, each by its own code, as messages with bytes. What a network and queues add is missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedLabel, Alert, CameraReport, DriftStatistic, Prediction
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from catseye.runtime.stream import Output
from services.drift.rules import Rules
from services.ingest.quality import Quality, measure
from services.simulator.core import Due, FrameDue, LabelDue, Plan
from services.simulator.pictures import Appearance, Pictures
from services.simulator.play import frames_and_labels
from tests.simulation.cameras import drift_service
from tests.simulation.incidents import START_MS, Incidents
from tests.simulation.partitions import FakeMessage
from tests.simulation.test_join import routed as joining

EXAMPLE = Path(__file__).resolve().parents[2] / "infra" / "example"
CODEC = Codec()
BATCH_MS = 500
"""A worker's usual transaction."""
PREDICTED_AFTER_MS = 30
HORIZON_MS = 3_600_000
_MICRO_BATCH = 16
_WORSE_SHARE = 0.35


class View(NamedTuple):
    """What ingest and inference make of a picture."""

    quality: Quality
    bits_per_pixel: float
    probabilities: dict[str, float]
    embedding: list[float]


class Lens:
    """Measures and predicts; each distinct picture once.

    Args:
        onnx: The model.
    """

    def __init__(self, onnx: bytes) -> None:
        self._net = Net(onnx)
        self._views: dict[bytes, View] = {}

    def see(self, jpegs: Iterable[bytes]) -> list[View]:
        """Views of *jpegs*; those that are new are predicted in micro-batches."""
        wanted = list(jpegs)
        new = [jpeg for jpeg in dict.fromkeys(wanted) if jpeg not in self._views]
        for start in range(0, len(new), _MICRO_BATCH):
            some = new[start : start + _MICRO_BATCH]
            crops = [decode_rgb(jpeg) for jpeg in some]
            answer = self._net.predict(crops)
            for jpeg, crop, chances, embedding in zip(some, crops, answer.probabilities, answer.embedding, strict=True):
                bits = 8 * len(jpeg) / (crop.shape[0] * crop.shape[1])
                self._views[jpeg] = View(measure(crop), bits, self._named(chances), embedding.tolist())
        return [self._views[jpeg] for jpeg in wanted]

    def _named(self, chances: NDArray[np.float32]) -> dict[str, float]:
        return dict(zip(self._net.spec.classes, chances.tolist(), strict=True))


def example_pictures(seed: int = 1, check: Appearance | None = None) -> Pictures:
    """The crops that are shipped."""
    return Pictures(EXAMPLE / "crops", seed, check or Appearance())


def example_lens() -> Lens:
    """The model that is shipped."""
    return Lens((EXAMPLE / "vehicles.onnx").read_bytes())


@dataclass
class Played:
    """What came of a road.

    Attributes:
        frames: How many were predicted.
        alerts: All records of incidents, in order.
        reports: All records of drift about cameras, in order.
        statistics: The last record of each camera, phase and signal.
        ended_ms: Event time of the end.
    """

    frames: int = 0
    alerts: list[Alert] = field(default_factory=list)
    reports: list[CameraReport] = field(default_factory=list)
    statistics: dict[tuple[str, str, str], DriftStatistic] = field(default_factory=dict)
    ended_ms: int = 0

    def opened(self) -> list[tuple[str | None, str]]:
        """Camera and last kind of each alert that a person saw."""
        last = {alert.alert_id: alert for alert in self.alerts if alert.state in ("opened", "updated")}
        return [(alert.camera, alert.kind) for alert in last.values()]


class VirtualRoad:
    """The services behind one road, on one partition.

    Args:
        lens: What looks at pictures.
        rules: Of drift.
        worse_from_ms: From this time of the road on a worse version of the model predicts; None never.
        telemetry: Whether frames carry the readings of their devices.
    """

    def __init__(self, lens: Lens, rules: Rules, *, worse_from_ms: float | None = None, telemetry: bool = True) -> None:
        self._lens = lens
        self._telemetry = telemetry
        self._worse_from_ms = worse_from_ms
        self._truth = joining(HORIZON_MS, BATCH_MS)
        self._joined = self._truth.new_state()
        self._drift = drift_service(rules)
        self._cameras = self._drift.new_state()
        self._incidents = Incidents()
        self.played = Played()

    def play(self, plan: Plan, pictures: Pictures, until_ms: float | None = None) -> Played:
        """Play *plan*, up to *until_ms* of the road, by default for as long as it takes frames."""
        until_ms = plan.duration_ms if until_ms is None else until_ms
        due: list[tuple[Due, bytes | None]] = []
        batch_ends_ms = BATCH_MS
        for item in frames_and_labels(plan, pictures):
            while item[0].at_ms >= batch_ends_ms:
                self._batch(due, batch_ends_ms)
                due, batch_ends_ms = [], batch_ends_ms + BATCH_MS
            if item[0].at_ms >= until_ms:
                break
            due.append(item)
        self.played.alerts = self._incidents.alerts
        return self.played

    def _batch(self, due: Sequence[tuple[Due, bytes | None]], now_ms: int) -> None:
        """Half a second of the road through all services, as their workers would take it."""
        jpegs = [jpeg for item, jpeg in due if jpeg is not None and self._is_accepted(item)]
        views = iter(self._lens.see(jpegs))
        messages = []
        for item, jpeg in due:
            if isinstance(item, LabelDue):
                messages.append(_message("labels.accepted", _label(item)))
            elif jpeg is not None and self._is_accepted(item):
                messages.append(_message("predictions", self._prediction(item, next(views))))
        clock_ms = START_MS + now_ms
        joined = self._truth.on_batch(messages, {0: self._joined}, clock_ms)
        self._joined.commit()
        batch = [message for message in messages if message.topic_name == "predictions"]
        batch += [FakeMessage(topic, value) for topic, _, _, value, *_ in joined if topic == "outcomes"]
        reported = self._drift.on_batch(batch, {0: self._cameras}, clock_ms) if batch else []
        reported += self._drift.on_time({0: self._cameras}, clock_ms)
        self._cameras.commit()
        self._notified(reported)
        self.played.ended_ms = clock_ms

    def _notified(self, reported: Sequence[Output]) -> None:
        reports = []
        for output in reported:
            if output.topic == "drift.reports":
                reports.append(CODEC.decode(output.value, CameraReport))
            elif output.topic == "statistics":
                statistic = CODEC.decode(output.value, DriftStatistic)
                self.played.statistics[statistic.camera, statistic.phase, statistic.signal] = statistic
            else:
                raise AssertionError(f"drift wrote to {output.topic}: {output.value!r}")
        self.played.reports += reports
        if reports:
            self._incidents.take(*reports)

    def _is_accepted(self, item: Due) -> bool:
        """Ingest drops what comes twice and refuses what is damaged."""
        return isinstance(item, FrameDue) and not item.copy and not item.corrupt

    def _prediction(self, due: FrameDue, view: View) -> Prediction:
        worse = self._worse_from_ms is not None and due.at_ms >= self._worse_from_ms
        version, chances = ("v2", _worse(view)) if worse else ("v1", view.probabilities)
        received_ms = START_MS + int(due.at_ms)
        self.played.frames += 1
        return Prediction(
            camera=due.camera,
            boot="b",
            sequence=due.sequence,
            captured_at_ms=START_MS + int(due.taken_at_ms) + due.clock_off_ms,
            received_at_ms=received_ms,
            predicted_at_ms=received_ms + PREDICTED_AFTER_MS,
            prediction_id=prediction_id(due.camera, "b", due.sequence, "vehicles", version, "champion"),
            model="vehicles",
            version=version,
            role="champion",
            frame_partition=0,
            frame_offset=self.played.frames,
            label=max(chances, key=chances.__getitem__),
            probabilities=chances,
            model_sha256="0" * 64,
            embedding=view.embedding,
            telemetry=dict(due.telemetry) if self._telemetry else {},
            bits_per_pixel=view.bits_per_pixel,
            **view.quality._asdict(),
        )


def _message(topic: str, record: AcceptedLabel | Prediction) -> FakeMessage:
    return FakeMessage(topic, CODEC.encode(record), name=record.camera.encode())


def _label(due: LabelDue) -> AcceptedLabel:
    return AcceptedLabel(
        camera=due.camera,
        boot="b",
        sequence=due.sequence,
        label=due.label,
        labelled_at_ms=START_MS + int(due.labelled_at_ms),
        source="simulator",
        received_at_ms=START_MS + int(due.at_ms),
    )


def _worse(view: View) -> dict[str, float]:
    """What a worse model says: of one picture in three it means the next class. The same of the same picture."""
    lot = view.quality.perceptual_hash % 1_000 / 1_000
    if lot >= _WORSE_SHARE:
        return view.probabilities
    names, chances = list(view.probabilities), list(view.probabilities.values())
    return dict(zip(names, [*chances[-1:], *chances[:-1]], strict=True))
