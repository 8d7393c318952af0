"""Records of every topic that view reads, drawn from a seed: some cameras, an hour, corrections, refusals, a race."""

from random import Random

from catseye.contract.identity import dead_letter_id, prediction_id
from catseye.contract.records import (
    AcceptedFrame,
    Alert,
    Backlog,
    CameraReport,
    DeadLetter,
    DriftStatistic,
    Heartbeat,
    ModelEvent,
    Outcome,
    PairedOutcome,
    Prediction,
    Record,
    RetrainDecision,
)

BEGIN_MS = 1_790_000_000_000
CLASSES = ("car", "lorry", "bus")
MODEL = "roads"


class Road:
    """Draws records.

    Args:
        seed: The same gives the same.
        jpeg: Picture of every frame.
        begin_ms: Time of the first record, Unix milliseconds.
        step_ms: Most from one record to the next, milliseconds.
    """

    def __init__(self, seed: int, jpeg: bytes, begin_ms: int = BEGIN_MS, step_ms: int = 4_000) -> None:
        self._step_ms = step_ms
        self._dice = Random(seed)
        self._jpeg = jpeg
        self._now_ms = begin_ms
        self._sequence = 0
        self._revision = 0
        self._offset = 0

    def records(self, count: int, cameras: int = 4) -> list[tuple[str, Record]]:
        """*count* records with the names of their topics, in the order of time."""
        makers = [
            *[("frames.accepted", self._frame)] * 5,
            *[("predictions", self._prediction)] * 10,
            *[("outcomes", self._outcome)] * 4,
            *[("statistics", self._statistic)] * 6,
            ("outcomes.paired", self._paired),
            ("drift.reports", self._report),
            ("alerts", self._alert),
            ("retraining", self._decision),
            ("models", self._model),
            ("dead-letters", self._dead_letter),
            ("heartbeats", self._heartbeat),
        ]
        drawn: list[tuple[str, Record]] = []
        for _ in range(count):
            self._now_ms += self._dice.randrange(self._step_ms)
            self._sequence += 1
            topic, make = self._dice.choice(makers)
            drawn.append((topic, make(f"gate-{self._dice.randrange(cameras)}")))
        return drawn

    def _frame(self, camera: str) -> AcceptedFrame:
        return AcceptedFrame(
            camera=camera,
            boot="b",
            sequence=self._sequence,
            captured_at_ms=self._now_ms,
            received_at_ms=self._now_ms,
            jpeg=self._jpeg,
            width=64,
            height=48,
            brightness=0.5,
            contrast=0.2,
            sharpness=100.0,
            dark_share=0.0,
            bright_share=0.0,
            perceptual_hash=1,
        )

    def _prediction(self, camera: str) -> Prediction:
        label = self._dice.choice(CLASSES)
        others = {name: 0.1 for name in CLASSES if name != label}
        return Prediction(
            camera=camera,
            boot="b",
            sequence=self._sequence,
            captured_at_ms=self._now_ms - 50,
            received_at_ms=self._now_ms,
            predicted_at_ms=self._now_ms + self._dice.randrange(1, 500),
            prediction_id=prediction_id(camera, "b", self._sequence, MODEL, "1", "champion"),
            model=MODEL,
            version=self._dice.choice("12"),
            role="champion",
            frame_partition=0,
            frame_offset=self._sequence,
            label=label,
            probabilities={label: 0.8, **others},
            brightness=0.5,
            contrast=0.2,
            sharpness=100.0,
            dark_share=0.0,
            bright_share=0.0,
            perceptual_hash=1,
            model_sha256="0" * 64,
            embedding=[],
            telemetry={"temperature": self._dice.random()},
        )

    def _outcome(self, camera: str) -> Outcome:
        label = self._dice.choice(CLASSES)
        return Outcome(
            camera=camera,
            boot="b",
            sequence=self._sequence,
            captured_at_ms=self._now_ms,
            received_at_ms=self._now_ms,
            predicted_at_ms=self._now_ms,
            prediction_id="0" * 32,
            model=MODEL,
            version="1",
            role=self._dice.choice(("champion", "shadow")),
            frame_partition=0,
            frame_offset=self._sequence,
            predicted="car",
            confidence=0.8,
            change=self._dice.choice(("matched", "corrected")),
            label=label,
            correct=label == "car",
            label_probability=0.5,
            brightness=0.5,
            source="person",
            propensity=1.0,
            labelled_at_ms=self._now_ms,
            label_received_at_ms=self._now_ms,
            label_delay_ms=1_000,
        )

    def _paired(self, camera: str) -> PairedOutcome:
        return PairedOutcome(
            camera=camera,
            boot="b",
            sequence=self._sequence,
            received_at_ms=self._now_ms,
            label_received_at_ms=self._now_ms,
            model=MODEL,
            champion="1",
            shadow="2",
            label="car",
            champion_predicted=self._dice.choice(CLASSES),
            shadow_predicted=self._dice.choice(CLASSES),
            champion_label_probability=0.5,
            shadow_label_probability=0.5,
            source="person",
            propensity=1.0,
            frame_partition=0,
            frame_offset=self._sequence,
        )

    def _statistic(self, camera: str) -> DriftStatistic:
        signal = self._dice.choice(("brightness", "loss", "telemetry.temperature"))
        estimate = self._dice.random()
        return DriftStatistic(
            camera=camera,
            signal=signal,
            phase="day",
            detector="e-SR",
            at_ms=self._now_ms,
            model=MODEL,
            version="1",
            count=self._sequence,
            estimate=estimate,
            reference=0.5,
            reference_name="1/day/1000",
            evidence=10 ** self._dice.uniform(-1, 7),
            threshold=1e6,
            learning_left=0,
            low=max(estimate - 0.1, 0.0) if signal == "loss" else None,
            high=min(estimate + 0.1, 1.0) if signal == "loss" else None,
        )

    def _report(self, camera: str) -> CameraReport:
        return CameraReport(
            camera=camera,
            at_ms=self._now_ms,
            model=MODEL,
            version="1",
            version_since_ms=BEGIN_MS,
            alarms=[],
            learning_left=self._dice.randrange(3),
            recent_labels=40.0,
            recent_errors=self._dice.uniform(0, 40),
            estimated_accuracy=0.9,
            estimate_valid=self._dice.random() < 0.5,
        )

    def _alert(self, camera: str) -> Alert:
        self._revision += 1
        number = self._dice.randrange(10)
        return Alert(
            alert_id=f"{number:032x}",
            revision=self._revision,
            state=self._dice.choice(("opened", "updated", "resolved")),
            kind="input",
            severity="warning",
            camera=camera,
            cameras=[camera],
            signal="brightness",
            phase="day",
            detector="e-SR",
            estimate=0.1,
            reference=0.5,
            evidence=1e7,
            threshold=1e6,
            model=MODEL,
            version="1",
            since_ms=self._now_ms,
            opened_at_ms=self._now_ms,
            updated_at_ms=self._now_ms,
            explanation="It is darker than usual.",
            by="incidents",
        )

    def _decision(self, _: str) -> RetrainDecision:
        return RetrainDecision(
            decision_id=f"{self._sequence:032x}",
            model=MODEL,
            base_version="1",
            accepted=False,
            because="too_few_labels",
            detail="There are 12 labels; 200 are needed.",
            causes=[],
            by="policy",
            decided_at_ms=self._now_ms,
        )

    def _model(self, _: str) -> ModelEvent:
        return ModelEvent(
            event_id=f"{self._sequence:032x}",
            model=MODEL,
            version="2",
            stage="shadow",
            sha256="0" * 64,
            signature=b"\x00" * 64,
            because="registered",
            by="trainer",
            at_ms=self._now_ms,
        )

    def _heartbeat(self, _: str) -> Heartbeat:
        waits = Backlog(topic="predictions", records=self._dice.randrange(100), oldest_ms=self._dice.randrange(9_000))
        return Heartbeat(
            service=self._dice.choice(("drift", "ingest")),
            instance="0",
            host="h",
            pid=1,
            started_at_ms=0,
            at_ms=self._now_ms,
            every_ms=3_000,
            state="ready",
            backlogs=[waits],
        )

    def _dead_letter(self, camera: str) -> DeadLetter:
        self._offset += 1
        return DeadLetter(
            dead_letter_id=dead_letter_id("catseye.frames", 0, self._offset),
            service="ingest",
            reason=self._dice.choice(("not_a_jpeg", "jpeg_truncated")),
            detail="It begins with no start marker.",
            topic="catseye.frames",
            partition=0,
            offset=self._offset,
            written_at_ms=self._now_ms,
            refused_at_ms=self._now_ms,
            camera=camera,
            value=b"\x00\x01",
        )
