"""A fleet as pages may find it: hours of records of every topic that view reads, drawn from a seed.

It has what a person must be able to tell apart: a camera in fog with its alert and frames before and after, one that is
silent, one that learns, a new champion an hour ago, a shadow that races it, refused records.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from catseye.contract.identity import dead_letter_id, digest, prediction_id
from catseye.contract.records import (
    AcceptedFrame,
    Alert,
    CameraReport,
    DeadLetter,
    DriftStatistic,
    ModelEvent,
    Outcome,
    PairedOutcome,
    Place,
    Prediction,
    Record,
    RetrainDecision,
)

MODEL = "vehicles"
CLASSES = ("bike", "car", "juggernaut", "minibus", "pickup", "truck")
SIGNALS = ("brightness", "contrast", "sharpness", "entropy", "embedding", "loss", "telemetry.temperature")
MINUTE_MS = 60_000
PREFIX = "catseye."

Row = tuple[str, Record]


def crops(root: Path) -> list[tuple[str, bytes]]:
    """Class and JPEG of each of the example's crops."""
    folder = root / "infra" / "example" / "crops"
    return [(path.parent.name, path.read_bytes()) for path in sorted(folder.glob("*/*.jpg"))]


class Fleet:
    """Draws the records.

    Args:
        names: Cameras; the second is in fog, the third learns, the last is silent for three minutes.
        pictures: Class and JPEG of what passes.
        now_ms: End of the past, Unix milliseconds.
        seed: The same gives the same.
        sha256: Of the model file.
    """

    def __init__(
        self, names: Sequence[str], pictures: Sequence[tuple[str, bytes]], now_ms: int, seed: int = 1, sha256: str = ""
    ) -> None:
        self.names = list(names)
        self._pictures = pictures
        self._now_ms = now_ms
        self._dice = Random(seed)
        self._sha256 = sha256 or "0" * 64
        self._offset = 0
        self.frames: dict[int, AcceptedFrame] = {}
        """Frames by offset, of partition 0, that the records name."""
        self.since_ms = now_ms - 40 * MINUTE_MS

    def past(self, minutes: int = 180) -> Iterator[Row]:
        """Records of the last *minutes*."""
        for event in self.model_events():
            yield "models", event
        for minute in range(minutes, 0, -1):
            at_ms = self._now_ms - minute * MINUTE_MS + 30_000
            version = "1" if minute > 60 else "2"
            for number, camera in enumerate(self.names):
                if number == len(self.names) - 1 and len(self.names) > 3 and minute <= 3:
                    continue
                foggy = number == 1 and at_ms >= self.since_ms
                yield from self._minute(camera, at_ms, version, foggy=foggy, learns=number == 2)
            yield from self._pairs(at_ms)
        yield from self.now()
        yield from self.alerts()
        for number in range(4):
            yield "retraining", self._decision(number)
            yield "dead-letters", self.dead_letter(number)

    def now(self) -> Iterator[Row]:
        """The newest frame of each camera and its prediction."""
        for number, camera in enumerate(self.names):
            late_ms = 180_000 if number == len(self.names) - 1 and len(self.names) > 3 else 1_000
            yield from self.passed(camera, self._now_ms - late_ms, "2", foggy=number == 1)

    def passed(self, camera: str, at_ms: int, version: str, *, foggy: bool = False, kept: bool = True) -> Iterator[Row]:
        """One vehicle: frame and prediction."""
        label, jpeg = self._dice.choice(self._pictures)
        self._offset += 1
        frame = AcceptedFrame(
            camera=camera,
            boot="b",
            sequence=self._offset,
            captured_at_ms=at_ms - self._dice.randrange(5, 60),
            received_at_ms=at_ms,
            jpeg=jpeg,
            width=100,
            height=100,
            brightness=0.7 if foggy else 0.45,
            contrast=0.08 if foggy else 0.2,
            sharpness=100.0,
            dark_share=0.0,
            bright_share=0.0,
            perceptual_hash=1,
        )
        if kept:
            self.frames[self._offset] = frame
        yield "frames.accepted", frame
        yield "predictions", self.prediction(camera, at_ms, version, label if not foggy else "car", self._offset)

    def prediction(self, camera: str, at_ms: int, version: str, label: str, offset: int) -> Prediction:
        confidence = self._dice.uniform(0.55, 0.99)
        others = {name: (1 - confidence) / (len(CLASSES) - 1) for name in CLASSES}
        return Prediction(
            camera=camera,
            boot="b",
            sequence=offset,
            captured_at_ms=at_ms - self._dice.randrange(5, 60),
            received_at_ms=at_ms,
            predicted_at_ms=at_ms + self._dice.randrange(8, 120),
            prediction_id=prediction_id(camera, "b", offset, MODEL, version, "champion"),
            model=MODEL,
            version=version,
            role="champion",
            frame_partition=0,
            frame_offset=offset,
            label=label,
            probabilities=others | {label: confidence},
            brightness=0.5,
            contrast=0.2,
            sharpness=100.0,
            dark_share=0.0,
            bright_share=0.0,
            perceptual_hash=1,
            model_sha256=self._sha256,
            embedding=[],
            telemetry={"temperature": 21 + 6 * math.sin(at_ms / 4e6), "voltage": 12 + self._dice.uniform(-0.2, 0.2)},
        )

    def _minute(self, camera: str, at_ms: int, version: str, *, foggy: bool, learns: bool) -> Iterator[Row]:
        for count in range(self._dice.randrange(2, 6)):
            label = self._dice.choices(CLASSES, (1, 8, 1, 1, 3, 2))[0]
            yield "predictions", self.prediction(camera, at_ms + count, version, label, 0)
        wrong = 0.34 if foggy else 0.06 if version == "1" else 0.03
        yield "outcomes", self._outcome(camera, at_ms, wrong)
        for signal in SIGNALS:
            yield "statistics", self._statistic(camera, signal, at_ms, version, wrong, foggy=foggy, learns=learns)
        yield (
            "drift.reports",
            CameraReport(
                camera=camera,
                at_ms=at_ms,
                model=MODEL,
                version=version,
                version_since_ms=self._now_ms - 60 * MINUTE_MS,
                alarms=[],
                learning_left=140 if learns else 0,
                recent_labels=0.0 if learns else 240.0,
                recent_errors=240.0 * wrong,
                estimated_accuracy=1 - wrong,
                estimate_valid=True,
            ),
        )

    def _outcome(self, camera: str, at_ms: int, wrong: float) -> Outcome:
        label = self._dice.choice(CLASSES)
        predicted = label if self._dice.random() > wrong else "car"
        return Outcome(
            camera=camera,
            boot="b",
            sequence=self._offset,
            captured_at_ms=at_ms,
            received_at_ms=at_ms,
            predicted_at_ms=at_ms,
            prediction_id="0" * 32,
            model=MODEL,
            version="1",
            role="champion",
            frame_partition=0,
            frame_offset=self._offset,
            predicted=predicted,
            confidence=0.8,
            change="matched",
            label=label,
            correct=label == predicted,
            label_probability=0.5,
            brightness=0.5,
            source="person",
            propensity=1.0,
            labelled_at_ms=at_ms,
            label_received_at_ms=at_ms,
            label_delay_ms=1_000,
        )

    def _statistic(
        self, camera: str, signal: str, at_ms: int, version: str, wrong: float, *, foggy: bool, learns: bool
    ) -> DriftStatistic:
        reference = {"loss": 0.05, "telemetry.temperature": 21.0}.get(signal, 0.45)
        estimate = wrong + self._dice.uniform(-0.01, 0.01) if signal == "loss" else reference
        grown = (at_ms - self.since_ms) / MINUTE_MS
        drifts = foggy and signal in ("brightness", "contrast", "embedding", "loss")
        evidence = 10 ** (min(6.5, 0.5 * grown) if drifts else self._dice.uniform(-1, 1.2))
        return DriftStatistic(
            camera=camera,
            signal=signal,
            phase="day",
            detector="e-SR",
            at_ms=at_ms,
            model=MODEL,
            version=version,
            count=1,
            estimate=estimate + (0.25 if drifts and signal != "loss" else 0),
            reference=reference,
            reference_name="1/day/1000",
            evidence=evidence,
            threshold=1e6,
            learning_left=140 if learns else 0,
            suspect_since_ms=self.since_ms if drifts else None,
            low=max(estimate - 0.03, 0.0) if signal == "loss" else None,
            high=min(estimate + 0.04, 1.0) if signal == "loss" else None,
        )

    def _pairs(self, at_ms: int) -> Iterator[Row]:
        for camera in self.names[:4]:
            label = self._dice.choice(CLASSES)
            champion, shadow = (label if self._dice.random() < right else "car" for right in (0.9, 0.95))
            yield "outcomes.paired", self.pair(camera, at_ms, label, champion, shadow)

    def pair(self, camera: str, at_ms: int, label: str, champion: str, shadow: str) -> PairedOutcome:
        """A labelled frame that both predicted."""
        return PairedOutcome(
            camera=camera,
            boot="b",
            sequence=self._offset,
            received_at_ms=at_ms,
            label_received_at_ms=at_ms,
            model=MODEL,
            champion="2",
            shadow="3",
            label=label,
            champion_predicted=champion,
            shadow_predicted=shadow,
            champion_label_probability=0.5,
            shadow_label_probability=0.5,
            source="person",
            propensity=1.0,
            frame_partition=0,
            frame_offset=self._offset,
        )

    def model_events(self) -> list[ModelEvent]:
        """Version 1 served, 2 serves, 3 races it and waits for a person, 4 waits for its race."""
        steps: tuple[tuple[str, str, str, str, int, dict[str, float]], ...] = (
            ("1", "champion", "registered", "ada", 200, {}),
            ("2", "candidate", "trained", "trainer", 90, {}),
            ("2", "champion", "better: on 212 labelled frames 2 is right on 97.2% and 1 on 94.1%", "rollout", 60, {}),
            ("3", "candidate", "trained", "trainer", 50, {}),
            ("3", "shadow", "compared: with champion 2 on at least 50 labelled frames", "rollout", 49, {}),
            ("4", "candidate", "trained", "ada", 15, {}),
            ("3", "shadow", "approval: it is better, and a person has to say yes", "rollout", 12, _METRICS),
        )
        return [
            ModelEvent(
                event_id=digest("event", number),
                model=MODEL,
                version=version,
                stage=stage,  # type: ignore[arg-type]
                sha256=self._sha256,
                signature=b"\x00" * 64,
                because=because,
                by=by,
                at_ms=self._now_ms - minutes * MINUTE_MS,
                metrics=metrics,
                dataset_sha256="ab" * 32 if by == "trainer" else None,
            )
            for number, (version, stage, because, by, minutes, metrics) in enumerate(steps)
        ]

    def alerts(self) -> list[Row]:
        """Fog on one camera, silence on another, and one that is over."""
        foggy = self.names[min(1, len(self.names) - 1)]
        return [
            ("alerts", self.alert(1, foggy, "input", "critical")),
            ("alerts", self.alert(2, self.names[-1], "camera_silent", "warning")),
            ("alerts", self.alert(3, self.names[0], "class_mix", "warning", state="resolved")),
        ]

    def alert(self, number: int, camera: str, kind: str, severity: str, state: str = "opened") -> Alert:
        offsets = sorted(self.frames)
        return Alert(
            alert_id=digest("alert", number),
            revision=2,
            state=state,  # type: ignore[arg-type]
            kind=kind,
            severity=severity,  # type: ignore[arg-type]
            camera=camera,
            cameras=[camera],
            signal="contrast",
            phase="day",
            detector="e-SR",
            estimate=0.08,
            reference=0.2,
            evidence=3e6,
            threshold=1e6,
            model=MODEL,
            version="2",
            since_ms=self.since_ms,
            opened_at_ms=self.since_ms + 5 * MINUTE_MS,
            updated_at_ms=self._now_ms - 60_000,
            resolved_at_ms=self._now_ms if state == "resolved" else None,
            explanation=f"Pictures of {camera} have less contrast than usual: 0.08, usual is 0.2.",
            by="incidents",
            examples_before=self._places(offsets[:4]) if kind == "input" else [],
            examples_after=self._places(offsets[-4:]) if kind == "input" else [],
        )

    def _places(self, offsets: Sequence[int]) -> list[Place]:
        return [Place(topic=f"{PREFIX}frames.accepted", partition=0, offset=offset) for offset in offsets]

    def _decision(self, number: int) -> RetrainDecision:
        return RetrainDecision(
            decision_id=digest("decision", number),
            model=MODEL,
            base_version="2",
            accepted=number == 3,
            because="asked_for" if number == 3 else "too_few_labels",
            detail="" if number == 3 else "There are 120 labels since the change; 200 are needed.",
            causes=[],
            by="policy",
            decided_at_ms=self._now_ms - (10 - number) * MINUTE_MS,
        )

    def dead_letter(self, number: int) -> DeadLetter:
        """A refused record."""
        return DeadLetter(
            dead_letter_id=dead_letter_id(f"{PREFIX}frames", 0, number),
            service="ingest",
            reason=("not_a_jpeg", "jpeg_truncated")[number % 2],
            detail=("It begins with no start marker.", "It ends before its end marker.")[number % 2],
            topic=f"{PREFIX}frames",
            partition=0,
            offset=number,
            written_at_ms=self._now_ms - 1_000,
            refused_at_ms=self._now_ms - number * MINUTE_MS,
            camera=self.names[0],
            value=b"\x00\x01",
        )


_METRICS = {
    "pairs": 400.0,
    "wins": 31.0,
    "losses": 17.0,
    "accuracy_new": 0.952,
    "accuracy_old": 0.917,
    "evidence_better": 6.1,
    "evidence_better_needed": 20.0,
    "evidence_worse": 0.12,
    "evidence_worse_needed": 20.0,
    "labels_to_promote": 300.0,
    "class/truck/pairs": 81.0,
    "class/truck/difference": -0.012,
}
