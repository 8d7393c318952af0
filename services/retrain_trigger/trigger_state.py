"""What the trigger knows: a fold over its logs. Pure.

Law: a record that was taken in before changes nothing, so logs may be read again from any place, and alerts may be
written again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from catseye.contract.records import Alert, ModelEvent, RetrainDecision, TrainingRequest
from catseye.models.stages import Stages
from services.retrain_trigger import NAME

ENDED_MOST: Final = 100_000
"""Alerts that are over whose last revision is kept, so that an older record of theirs does not open them again."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A decision that was accepted, and what became of it.

    Attributes:
        decision: As it was written.
        version: Version that was announced for it; empty before.
        settled: Whether that version has been made champion, rejected or retired.
        rejected: Code of the reason with which it was rejected; empty while it was not.
    """

    decision: RetrainDecision
    version: str = ""
    settled: bool = False
    rejected: str = ""


class TriggerState:
    """Open alerts, champion, trainings, requests, and what was answered to them."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.champion: ModelEvent | None = None
        self.trainings: dict[str, Training] = {}
        self.requests: dict[str, TrainingRequest] = {}
        self._ids: set[str] = set()
        self._reasons: set[tuple[str, str]] = set()
        self._answered: set[str] = set()
        self._ended: dict[str, int] = {}
        self._born_ms: dict[tuple[str, str], int] = {}
        self._stages = Stages()

    def on_alert(self, alert: Alert) -> None:
        """Take one state in the life of an alert; of two records the one with the greater revision holds."""
        open_ = self.alerts.get(alert.alert_id)
        revision = self._ended.get(alert.alert_id, -1) if open_ is None else open_.revision
        # At the same revision a person and the service wrote at the same time: the later record holds while it is open.
        if alert.revision < revision or (open_ is None and alert.revision == revision):
            return
        self.alerts.pop(alert.alert_id, None)
        self._ended.pop(alert.alert_id, None)
        if alert.state != "resolved":
            self.alerts[alert.alert_id] = alert
            return
        self._ended[alert.alert_id] = alert.revision
        if len(self._ended) > ENDED_MOST:
            del self._ended[next(iter(self._ended))]

    def on_model(self, event: ModelEvent) -> None:
        """Take one step in the life of a version."""
        self._born_ms.setdefault((event.model, event.version), event.at_ms)
        self._stages.on_event(event)
        self.champion = self._stages.serving("champion").everywhere
        training = self.trainings.get(event.decision_id or "")
        if training is not None and not training.version:
            self.trainings[training.decision.decision_id] = replace(training, version=event.version)
        if event.stage in ("champion", "rejected", "retired"):
            for decision_id, other in self.trainings.items():
                if other.version == event.version and other.decision.model == event.model:
                    rejected = event.because.partition(":")[0] if event.stage == "rejected" else other.rejected
                    self.trainings[decision_id] = replace(other, settled=True, rejected=rejected)

    def on_decision(self, decision: RetrainDecision) -> None:
        """Take a decision that stands in the log."""
        if decision.decision_id in self._ids:
            return
        self._ids.add(decision.decision_id)
        # Before people's requests had a topic of their own they stood here too, as decisions that nobody had made yet.
        if decision.by != NAME and not decision.accepted:
            return
        if decision.accepted:
            self.trainings[decision.decision_id] = Training(decision=decision)
        for cause in decision.causes:
            self._reasons.add((cause, decision.because))
            self._answered.add(cause)
            self.requests.pop(cause, None)

    def on_request(self, request: TrainingRequest) -> None:
        """Take what a person asks for, unless it was answered."""
        if request.request_id not in self._answered:
            self.requests[request.request_id] = request

    @property
    def last(self) -> Training | None:
        """The training that was decided last."""
        return next(reversed(self.trainings.values()), None)

    @property
    def trained_ms(self) -> int:
        """When the champion first stood in the log, Unix milliseconds: later labels are new to it. 0 without one."""
        return self._born_ms[self.champion.model, self.champion.version] if self.champion else 0

    def unanswered(self, causes: Iterable[str], because: str) -> list[str]:
        """Those of *causes* to which *because* was not yet given as an answer."""
        return [cause for cause in causes if (cause, because) not in self._reasons]
