"""What the demo counts and computes; pure. Live while it runs, whole at the end from the topics and the ledger."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.local.checker import Report
from infra.local.evidence import LABEL_TOPICS, FrameKey, Ledger, Log, OutcomeAt
from infra.local.watch import Sighting

RECENT_MS = 5_000.0
"""What "now" means on the screen, and the width of a bin of the timeline."""
ACCURACY_MS = 60_000.0
"""Accuracy on the screen is that of the labels that came in so long: a mean since the start hides what fell today."""
BEHIND_MS = 1_000.0
"""A machine on which half of the frames wait longer for their prediction does not keep up."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """Smallest of *ordered* (ascending) that *share* (over 0, to 1) of them do not exceed; NaN of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass
class Camera:
    """What is known of one camera while the road runs.

    Attributes:
        published: Copies of frames that the broker has, by the ledger or by their prediction.
        labelled: Frames whose label is known, since the start.
        right: Those of them that were predicted right.
        recent: When the predictions of the last seconds were seen.
        timed: The same with their latencies, ms; these come when the ledger tells when a frame was due.
        judged: Frames whose label came in the last minute: when, and whether the prediction was right.
        lately_labelled: How many these are.
        lately_right: How many of them were predicted right.
    """

    published: int = 0
    predictions: int = 0
    labelled: int = 0
    right: int = 0
    dead: int = 0
    duplicates: int = 0
    recent: deque[float] = field(default_factory=deque)
    timed: deque[tuple[float, float]] = field(default_factory=deque)
    judged: dict[FrameKey, tuple[float, bool]] = field(default_factory=dict)
    lately_labelled: int = 0
    lately_right: int = 0

    def judge(self, frame: FrameKey, seen_at_ms: float, *, right: bool) -> None:
        """Count the label of *frame*, for which none counts now."""
        self.labelled += 1
        self.right += right
        self.judged[frame] = (seen_at_ms, right)
        self.lately_labelled += 1
        self.lately_right += right

    def take_back(self, frame: FrameKey, *, right: bool) -> None:
        """Count a label of *frame* no more: another one replaces it, or none."""
        self.labelled -= 1
        self.right -= right
        self._judged_no_more(frame)

    def _judged_no_more(self, frame: FrameKey) -> None:
        if held := self.judged.pop(frame, None):
            self.lately_labelled -= 1
            self.lately_right -= held[1]

    def forget(self, now_ms: float) -> None:
        """Drop what is not recent any more."""
        while self.recent and self.recent[0] < now_ms - RECENT_MS:
            self.recent.popleft()
        while self.timed and self.timed[0][0] < now_ms - RECENT_MS:
            self.timed.popleft()
        while self.judged and next(iter(self.judged.values()))[0] < now_ms - ACCURACY_MS:
            self._judged_no_more(next(iter(self.judged)))

    @property
    def accuracy(self) -> float:
        """Share of the frames whose label came in the last minute that were predicted right; NaN without one."""
        return self.lately_right / self.lately_labelled if self.lately_labelled else math.nan

    @property
    def accuracy_since_start(self) -> float:
        """The same of all labels so far."""
        return self.right / self.labelled if self.labelled else math.nan

    @property
    def latencies_ms(self) -> list[float]:
        """Recent latencies, ascending."""
        return sorted(latency for _, latency in self.timed)


class Scoreboard:
    """Puts together what the publisher's ledger and a reader say, in any order."""

    def __init__(self) -> None:
        self.cameras: dict[str, Camera] = {}
        self.labels_published = 0
        self.outcomes = 0
        self.unmatched = 0
        self.labels_dead = 0
        self.seen_at_ms: dict[FrameKey, float] = {}
        self.reasons: Counter[str] = Counter()
        self.began_ms: float | None = None  # when the first frame was due
        self.alerts: dict[str, Sighting] = {}  # newest record of each
        # Alerts that opened or ended, decisions and events of models, until somebody takes them.
        self.news: list[Sighting] = []
        self.steps: list[Sighting] = []  # decisions and events of models, all
        self._intended_ms: dict[FrameKey, float] = {}
        self._open: set[FrameKey] = set()
        self._ahead: set[FrameKey] = set()  # frames whose prediction came before their line in the ledger
        self._ended: set[FrameKey] = set()
        self._outcomes: dict[FrameKey, tuple[str, bool]] = {}

    def on_ledger(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """The broker acknowledged these."""
        for entry in entries:
            if entry["kind"] == "label":
                self.labels_published += 1
            elif entry["kind"] == "frame":
                self._published((entry["camera"], entry["boot"], entry["sequence"]), entry["intended_at_ms"])

    def on_sightings(self, sightings: Iterable[Sighting]) -> None:
        """A reader saw these."""
        for seen in sightings:
            frame = (seen.camera, seen.boot, seen.sequence)
            match seen.topic:
                case "predictions":
                    self._predicted(frame, seen)
                case "outcomes":
                    self.outcomes += 1
                    self._labelled(frame, seen)
                case "labels.unmatched":
                    self.unmatched += 1
                case "dead-letters":
                    self.reasons[seen.value] += 1
                    if seen.other in LABEL_TOPICS:
                        self.labels_dead += 1
                    else:
                        self._camera(seen.camera or "?").dead += 1
                        self._end(frame)
                case "frames.repeated":
                    self._camera(seen.camera).duplicates = int(seen.value)
                case "alerts":
                    self.alerts[seen.name] = seen
                    if seen.other in ("opened", "resolved"):
                        self.news.append(seen)
                case "models" | "retraining":
                    self.news.append(seen)
                    self.steps.append(seen)

    @property
    def frames_open(self) -> set[FrameKey]:
        """Acknowledged frames that have no end yet."""
        return self._open

    @property
    def labels_open(self) -> int:
        """Acknowledged labels that have no end yet."""
        return self.labels_published - self.outcomes - self.unmatched - self.labels_dead

    @property
    def alerts_open(self) -> list[Sighting]:
        """Alerts that want to be looked at, in the order in which they opened."""
        return [alert for alert in self.alerts.values() if alert.other not in ("resolved", "suppressed")]

    @property
    def total(self) -> Camera:
        """All cameras as one."""
        whole = Camera()
        for camera in self.cameras.values():
            whole.published += camera.published
            whole.predictions += camera.predictions
            whole.labelled += camera.labelled
            whole.right += camera.right
            whole.dead += camera.dead
            whole.duplicates += camera.duplicates
            whole.recent.extend(camera.recent)
            whole.timed.extend(camera.timed)
            whole.lately_labelled += camera.lately_labelled
            whole.lately_right += camera.lately_right
        return whole

    @property
    def behind_ms(self) -> float:
        """How long half of the frames that now get a prediction wait for it, where that is too long; else 0."""
        waits_ms = percentile(self.total.latencies_ms, 0.5)
        return waits_ms if waits_ms > BEHIND_MS else 0.0

    def forget(self, now_ms: float) -> None:
        """Drop what is not recent any more: predictions after `RECENT_MS`, labels after `ACCURACY_MS`."""
        for camera in self.cameras.values():
            camera.forget(now_ms)

    def _camera(self, name: str) -> Camera:
        return self.cameras.setdefault(name, Camera())

    def _published(self, frame: FrameKey, intended_at_ms: float) -> None:
        camera = self._camera(frame[0])
        if frame in self._ahead:
            self._ahead.discard(frame)
        else:
            camera.published += 1
        self.began_ms = min(self.began_ms or intended_at_ms, intended_at_ms)
        if frame in self._intended_ms:
            return
        self._intended_ms[frame] = intended_at_ms
        if frame in self.seen_at_ms:
            self._time(camera, frame)
        if frame not in self._ended:
            self._open.add(frame)

    def _time(self, camera: Camera, frame: FrameKey) -> None:
        seen_at_ms = self.seen_at_ms[frame]
        camera.timed.append((seen_at_ms, seen_at_ms - self._intended_ms[frame]))

    def _predicted(self, frame: FrameKey, seen: Sighting) -> None:
        camera = self._camera(seen.camera)
        camera.predictions += 1
        self.seen_at_ms.setdefault(frame, seen.seen_at_ms)
        camera.recent.append(seen.seen_at_ms)
        if frame in self._intended_ms:
            self._time(camera, frame)
        elif frame not in self._ended:
            self._ahead.add(frame)
            camera.published += 1
        self._end(frame)

    def _end(self, frame: FrameKey) -> None:
        self._ended.add(frame)
        self._open.discard(frame)

    def _labelled(self, frame: FrameKey, seen: Sighting) -> None:
        camera = self._camera(seen.camera)
        if before := self._outcomes.pop(frame, None):
            camera.take_back(frame, right=before[1])
        if seen.value:
            right = seen.value == seen.other
            self._outcomes[frame] = (seen.value, right)
            camera.judge(frame, seen.seen_at_ms, right=right)


def final_outcomes(log: Log) -> list[OutcomeAt]:
    """The outcome that holds of each prediction, those that were withdrawn left out."""
    holds = {outcome.prediction_id: outcome for outcome in log.outcomes}
    return [outcome for outcome in holds.values() if outcome.label[1] is not None]


def accuracy_figures(ledger: Ledger, log: Log, started_at_ms: float) -> dict[str, Any]:
    """Accuracy over all frames whose true label is known: in all, by camera, and by camera in bins of 5 s."""
    scores: dict[str, list[bool]] = {}
    bins: dict[tuple[float, str], list[bool]] = {}
    for outcome in final_outcomes(log):
        frame, label, _ = outcome.label
        sent = ledger.frames.get(frame)
        if sent is None:
            continue  # its acknowledgement never came
        right = outcome.predicted == label
        at_s = (sent.intended_at_ms - started_at_ms) // RECENT_MS * RECENT_MS / 1_000
        scores.setdefault(frame[0], []).append(right)
        bins.setdefault((at_s, frame[0]), []).append(right)
    every = [right for camera in scores.values() for right in camera]
    return {
        "accuracy": _share(every),
        "accuracy_by_camera": {camera: _share(scores[camera]) for camera in sorted(scores)},
        "accuracy_timeline": [
            {"at_s": at_s, "camera": camera, "n": len(found), "accuracy": _share(found)}
            for (at_s, camera), found in sorted(bins.items())
        ],
    }


def latencies_ms(ledger: Ledger, log: Log, seen_at_ms: Mapping[FrameKey, float]) -> list[float]:
    """From the moment each frame was due to the moment a reader had its prediction, ascending, milliseconds.

    Frames that became dead letters have none; what should have come and never came counts as infinite.
    """
    refused = {letter.frame for letter in log.dead if letter.frame is not None}
    return sorted(
        seen_at_ms.get(frame, math.inf) - sent.intended_at_ms
        for frame, sent in ledger.frames.items()
        if frame in seen_at_ms or frame not in refused
    )


def summary(
    ledger: Ledger, log: Log, report: Report, seen_at_ms: Mapping[FrameKey, float], started_at_ms: float
) -> dict[str, Any]:
    """The object of `infra/demo --json`, but for alerts, decisions, models, durations; an infinite latency is null."""
    ordered = latencies_ms(ledger, log, seen_at_ms)
    return {
        "frames_published": report.frames_acknowledged,
        "accepted": report.accepted,
        "dead": report.dead,
        "duplicates": report.duplicates,
        "predictions": report.predictions,
        "lost": report.lost,
        "repeated": report.repeated,
        "labels_published": report.labels_acknowledged,
        "outcomes": report.outcomes,
        "labels_unmatched": report.unmatched.total(),
        **accuracy_figures(ledger, log, started_at_ms),
        "latency_ms": {
            "p50": round(percentile(ordered, 0.5), 1),
            "p99": round(percentile(ordered, 0.99), 1),
            "max": round(ordered[-1] if ordered else math.nan, 1),
        },
    }


def _share(verdicts: Sequence[bool]) -> float:
    return round(sum(verdicts) / len(verdicts), 5) if verdicts else math.nan
