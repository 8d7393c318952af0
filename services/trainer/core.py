"""What to do with a decision to retrain. Law: one answer a decision, however often it is read.

The answer is a command to register what was made: a candidate, or a rejection with its reason; rollout makes the model
event of it, which carries the decision's id. Its own id is made of the decision alone, so that a training that a crash
cut short and that was done again says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelCommand, ModelEvent, RetrainDecision, Stage
from catseye.models.stages import Stages
from services.trainer.lessons import Lesson, lesson_of

BY = "trainer"


@dataclass(frozen=True, slots=True)
class Train:
    """Fine-tune *champion* for a decision, mindful of the candidates that were made of it before and rejected."""

    champion: ModelEvent
    lessons: tuple[Lesson, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer a decision without a training; *because* begins with a stable code."""

    because: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing to do: *why* is for the log."""

    why: str


class Register:
    """What the events on `models` say, in their order."""

    def __init__(self) -> None:
        self._stages = Stages()
        self._answered: set[str] = set()
        self._trained: set[tuple[str, str]] = set()
        self._lessons: list[Lesson] = []

    def on_event(self, event: ModelEvent) -> None:
        """Take one event in."""
        self._stages.on_event(event)
        if event.decision_id is not None:
            self._answered.add(event.decision_id)
            self._trained.add((event.model, event.version))
        if event.stage == "champion" and not event.cameras:
            self._lessons = []  # they were about another one
        elif event.stage == "rejected" and (event.model, event.version) in self._trained:
            lesson = lesson_of(event)
            self._lessons += [lesson] if lesson is not None else []

    def on_decision(self, decision: RetrainDecision) -> Train | Refuse | Pass:
        """What to do with *decision*."""
        if not decision.accepted:
            return Pass("it was decided not to train")
        if decision.decision_id in self._answered:
            return Pass("answered before")
        champion = self._stages.serving("champion").everywhere
        if champion is None:
            return Refuse(f"no_champion: model {decision.model} has no champion to go on from")
        if decision.model != champion.model:
            return Refuse(
                f"superseded: the decision was about model {decision.model}, the champion is now {champion.model} "
                f"{champion.version}"
            )
        if decision.base_version not in ("", champion.version):
            return Refuse(
                f"superseded: the decision was about version {decision.base_version}, the champion is now "
                f"{champion.version}"
            )
        return Train(champion, tuple(self._lessons))


def answer(
    decision: RetrainDecision,
    stage: Stage,
    because: str,
    at_ms: int,
    *,
    sha256: str | None = None,
    signature: bytes | None = None,
    dataset_sha256: str | None = None,
    metrics: Mapping[str, float] | None = None,
) -> ModelCommand:
    """The command that answers *decision*.

    Args:
        decision: What was asked.
        stage: candidate or rejected.
        because: Why; begins with a stable code where it is a rejection.
        at_ms: Unix milliseconds.
        sha256: Of the model file; None when none was made. Then the version is named after the decision.
        signature: Of the file.
        dataset_sha256: Of the manifest, when there is one.
        metrics: Numbers that the answer rests on.
    """
    return ModelCommand(
        command_id=digest("training", decision.decision_id),
        action="register",
        model=decision.model,
        version=(sha256 or decision.decision_id)[:12],
        stage=stage,
        sha256=sha256,
        signature=signature,
        reason=because,
        by=BY,
        at_ms=at_ms,
        metrics=dict(metrics or {}),
        dataset_sha256=dataset_sha256,
        decision_id=decision.decision_id,
    )


def changed_cameras(decision: RetrainDecision, alerts: Mapping[str, Alert]) -> dict[str, int]:
    """Camera to the time since when it may have changed, Unix milliseconds, by the alerts that caused *decision*.

    Args:
        decision: Its causes name alerts, and perhaps requests of people, which name no camera.
        alerts: Newest record of each alert, by id.
    """
    since: dict[str, int] = {}
    causes = [alerts[cause] for cause in decision.causes if cause in alerts]
    named = [(camera, alert.since_ms) for alert in causes for camera in alert.cameras]
    # An alert names some cameras of a large incident only: each of them has one of its own in it.
    incidents = {alert.incident_id for alert in causes if alert.incident_id}
    others = [alert for alert in alerts.values() if alert.incident_id in incidents]
    named += [(alert.camera, alert.since_ms) for alert in (*causes, *others) if alert.camera]
    for camera, since_ms in named:
        since[camera] = min(since_ms, since.get(camera, since_ms))
    return since
