"""Whether to train, and why. Pure.

Law: no camera's fault, no alert that a person silenced and no lack of labels ever starts a training; at most one
training runs at a time; and what was answered once is answered the same way once.

Ids are digests of causes: the same log gives the same ids, whoever reads it, and whenever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from catseye.contract.alert_kinds import KINDS, LABELS_MISSING
from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelEvent, RetrainDecision
from services.retrain_trigger import NAME
from services.retrain_trigger.labels import Count, Held, count
from services.retrain_trigger.trigger_state import Training, TriggerState

MAY_TRAIN: Final = tuple(row.name for row in KINDS.values() if row.may_train)
"""Kinds of alert that may be made to count; a camera's fault and missing labels never can."""
TRAIN_BY_DEFAULT: Final = tuple(row.name for row in KINDS.values() if row.trains_by_default)
SEEN_WITHOUT_LABELS: Final = frozenset(row.name for row in KINDS.values() if row.is_seen_without_labels)
"""Kinds that can be raised although the model answers as well as before."""
CAMERA_FAULTS: Final = frozenset(row.name for row in KINDS.values() if row.is_camera_fault)
REQUEST: Final = "request"
"""Why a training starts for which a person asked."""
WEEK_MS: Final = 7 * 86_400_000
MEASURED: Final = frozenset({"gate", "worse", "class_worse", "camera_worse", "no_difference"})
"""Codes of rejections of a candidate that was measured: the next training learns from it. Wrong labels, for one, teach
nothing, and time alone mends them."""
_NAMED_MOST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an operator can turn; times are in milliseconds.

    Attributes:
        kinds: Kinds of alert that may start a training.
        confirm_ms: How long an alert must have been open.
        needs_impaired: Of these kinds an alert counts only once accuracy has fallen: it is critical then.
        cool_down_ms: Shortest time from one accepted decision to the next.
        retry_ms: The same after a candidate that was measured and rejected; doubles with each in a row.
        labels: Labels that a training needs.
        labels_of_class: With so many among them a class is present.
        classes: So many classes must be present.
        budget: Most trainings in seven days that nobody asked for.
        training_timeout_ms: After so long without a candidate a training is lost.
        comparison_timeout_ms: So long a candidate that is neither champion nor rejected holds others back.
        schedule_ms: So long after the last training another one is due; 0 is never.
    """

    kinds: frozenset[str] = frozenset(TRAIN_BY_DEFAULT)
    confirm_ms: int = 30_000
    needs_impaired: frozenset[str] = SEEN_WITHOUT_LABELS
    cool_down_ms: int = 3_600_000
    retry_ms: int = 600_000
    labels: int = 200
    labels_of_class: int = 10
    classes: int = 2
    budget: int = 7
    training_timeout_ms: int = 6 * 3_600_000
    comparison_timeout_ms: int = 24 * 3_600_000
    schedule_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What speaks for a training.

    Attributes:
        because: drift, schedule or request.
        causes: Ids of alerts or of the request.
        cameras: Whose labels count; None for all.
        since_ms: Labels of frames from then on count, Unix milliseconds.
        why: One clause for a person.
    """

    because: str
    causes: list[str]
    cameras: frozenset[str] | None
    since_ms: int
    why: str


@dataclass(frozen=True)
class Refusal:
    """Why not.

    Attributes:
        because: Stable code.
        detail: One sentence with the numbers.
    """

    because: str
    detail: str


def decide(rules: Rules, state: TriggerState, labels: Mapping[str, Held], now_ms: int) -> list[RetrainDecision]:
    """What is decided now, at most one yes among it. It becomes true when the state takes it in, once it is written.

    Args:
        rules: What an operator can turn.
        state: What is known.
        labels: What is known of each camera's labels.
        now_ms: Unix milliseconds.
    """
    return _Decider(rules, state, labels, now_ms).all()


class _Decider:
    def __init__(self, rules: Rules, state: TriggerState, labels: Mapping[str, Held], now_ms: int) -> None:
        self._rules = rules
        self._state = state
        self._labels = labels
        self._now_ms = now_ms
        self._faulty = {alert.camera for alert in state.alerts.values() if alert.kind in CAMERA_FAULTS}
        self._unlabelled = {alert.camera for alert in state.alerts.values() if alert.kind == LABELS_MISSING}

    def all(self) -> list[RetrainDecision]:
        counting, decisions = self._sifted()
        for ask in (*self._requests(), *self._drift(counting), *self._schedule()):
            tally = self._count(ask)
            refusal = self._refusal(ask, tally)
            if refusal is None:
                # Whatever else speaks for a training meets a running one at the next evaluation.
                return [*decisions, self._accepted(ask, tally)]
            decisions += self._declined(refusal, ask.causes, tally)
        return decisions

    # -- which alerts count

    def _sifted(self) -> tuple[list[Alert], list[RetrainDecision]]:
        """Alerts that speak for a training, and the decisions on those that do not."""
        counting: list[Alert] = []
        refused: dict[str, tuple[list[Alert], str]] = {}
        for alert in sorted(self._state.alerts.values(), key=lambda alert: alert.alert_id):
            refusal = self._of_alert(alert)
            if refusal is None:
                # One that comes and goes has been open since it came back.
                opened_at_ms = alert.reopened_at_ms or alert.opened_at_ms
                if self._now_ms - opened_at_ms >= self._rules.confirm_ms:
                    counting.append(alert)
            else:
                refused.setdefault(refusal.because, ([], refusal.detail))[0].append(alert)
        decisions: list[RetrainDecision] = []
        for because, (alerts, detail) in refused.items():
            fresh = self._state.unanswered([alert.alert_id for alert in alerts], because)
            sentence = f"{_named([alert for alert in alerts if alert.alert_id in fresh])}: {detail}"
            decisions += self._declined(Refusal(because, sentence), fresh, Count({}, 0))
        return counting, decisions

    def _of_alert(self, alert: Alert) -> Refusal | None:  # noqa: PLR0911 - one line for each rule reads best
        champion = self._state.champion
        if alert.state == "suppressed":
            return Refusal("suppressed", "it is silenced, by a person or by a fault that explains it")
        if alert.kind in CAMERA_FAULTS:
            return Refusal("camera_fault", "a camera that does not see well is mended, not learnt from")
        if alert.kind == LABELS_MISSING:
            return Refusal("labels_missing", "without labels there is nothing to learn from")
        if alert.kind not in self._rules.kinds:
            return Refusal("kind_not_counted", "CATSEYE_RETRAIN_TRIGGER_KINDS does not name this kind")
        if alert.camera is not None and alert.camera in self._faulty:
            return Refusal("camera_fault", "a fault of the same camera is open")
        if champion is not None and (alert.model, alert.version) != (champion.model, champion.version):
            return Refusal("other_version", f"it is not about the champion, {champion.model} {champion.version}")
        if alert.kind in self._rules.needs_impaired and alert.severity != "critical":
            return Refusal("accuracy_holds", "the road changed, and the answers are as good as before so far")
        return None

    # -- what speaks for a training

    def _requests(self) -> list[Ask]:
        return [
            Ask(
                because=REQUEST,
                causes=[request.request_id],
                cameras=None,
                since_ms=self._state.trained_ms,
                why=f"{request.by} asked for it",
            )
            for request in self._state.requests.values()
        ]

    def _drift(self, alerts: Sequence[Alert]) -> list[Ask]:
        """All alerts that count, as one reason; without those on which a training has begun."""
        last = self._state.last
        begun = set(last.decision.causes) if last is not None and self._holds_back(last) else set()
        alerts = [alert for alert in alerts if alert.alert_id not in begun]
        if not alerts:
            return []
        # The fleet's own alert names no camera: then all count.
        whole = any(alert.camera is None for alert in alerts)
        return [
            Ask(
                because="drift",
                causes=[alert.alert_id for alert in alerts],
                cameras=None if whole else frozenset(alert.camera for alert in alerts if alert.camera is not None),
                since_ms=max(self._state.trained_ms, min(alert.since_ms for alert in alerts)),
                why=_named(alerts),
            )
        ]

    def _schedule(self) -> list[Ask]:
        champion, last = self._state.champion, self._state.last
        if not self._rules.schedule_ms or champion is None:
            return []
        trained_ms = max(self._state.trained_ms, last.decision.decided_at_ms if last is not None else 0)
        turns = (self._now_ms - trained_ms) // self._rules.schedule_ms
        if turns < 1:
            return []
        cause = digest("schedule", champion.model, champion.version, trained_ms, turns)
        why = f"the last training was {_span(self._now_ms - trained_ms)} ago"
        return [Ask(because="schedule", causes=[cause], cameras=None, since_ms=self._state.trained_ms, why=why)]

    # -- what speaks against it

    def _refusal(self, ask: Ask, tally: Count) -> Refusal | None:
        if self._state.champion is None:
            how = "`catseye models register FILE --stage champion`"
            return Refusal("no_champion", f"no model is champion yet: {how} names one")
        running = self._running()
        if running is not None:
            return running
        if ask.because != REQUEST:
            spared = self._spared() or self._without_labels(ask)
            if spared is not None:
                return spared
        present = [name for name, labels in tally.by_class.items() if labels >= self._rules.labels_of_class]
        if tally.total < self._rules.labels or len(present) < self._rules.classes:
            return Refusal("too_few_labels", f"{self._numbers(ask, tally)}; {self._needed()}")
        return None

    def _running(self) -> Refusal | None:
        last = self._state.last
        if last is None or not self._holds_back(last):
            return None
        decision_id, since = last.decision.decision_id, _span(self._now_ms - last.decision.decided_at_ms)
        if not last.version:
            return Refusal("training_open", f"training {decision_id} was decided {since} ago and has no candidate yet")
        return Refusal("candidate_open", f"{last.version}, decided {since} ago, is still compared with the champion")

    def _holds_back(self, training: Training) -> bool:
        """Whether a training runs, or what came of it is neither champion nor rejected."""
        ran_ms = self._now_ms - training.decision.decided_at_ms
        if not training.version:
            return ran_ms < self._rules.training_timeout_ms
        return not training.settled and ran_ms < self._rules.comparison_timeout_ms

    def _spared(self) -> Refusal | None:
        """What keeps trainings rare."""
        last = self._state.last
        wait_ms = self._wait_ms()
        since_ms = self._now_ms - last.decision.decided_at_ms if last is not None else wait_ms
        if since_ms < wait_ms:
            wait = f"{_span(wait_ms)} must pass"
            return Refusal("cool_down", f"the last training was decided {_span(since_ms)} ago; {wait}")
        week = [
            training
            for training in self._state.trainings.values()
            if self._now_ms - training.decision.decided_at_ms < WEEK_MS
        ]
        if len(week) >= self._rules.budget:
            return Refusal("budget", f"{len(week)} trainings in the last seven days; {self._rules.budget} are allowed")
        return None

    def _wait_ms(self) -> int:
        """Shortest time from the last decision to the next."""
        in_a_row = 0
        for training in reversed(self._state.trainings.values()):
            if training.rejected not in MEASURED:
                break
            in_a_row += 1
        if not in_a_row:
            return self._rules.cool_down_ms
        return min(self._rules.cool_down_ms, self._rules.retry_ms << (in_a_row - 1))

    def _without_labels(self, ask: Ask) -> Refusal | None:
        everywhere = None in self._unlabelled
        if everywhere or (ask.cameras is not None and ask.cameras <= self._unlabelled):
            where = "of the fleet" if everywhere else "of the cameras concerned"
            return Refusal("labels_missing", f"the labels {where} have stopped: there is an open alert")
        return None

    # -- labels

    def _count(self, ask: Ask) -> Count:
        cameras = set(self._labels) if ask.cameras is None else ask.cameras
        learnt = [training for training in self._state.trainings.values() if training.version]
        # What a training has seen is not fresh, whether or not its candidate was any good.
        since_ms = max([ask.since_ms, *(training.decision.decided_at_ms for training in learnt)])
        known = [self._labels[camera] for camera in sorted(cameras - self._faulty) if camera in self._labels]
        return count(known, since_ms)

    def _numbers(self, ask: Ask, tally: Count) -> str:
        where = "all cameras" if ask.cameras is None else _listed(sorted(ask.cameras))
        classes = ", ".join(f"{name} {labels}" for name, labels in tally.by_class.items()) or "none"
        return f"{ask.why}; {tally.total} fresh labels of {where} ({classes})"

    def _needed(self) -> str:
        rules = self._rules
        return f"{rules.labels} are needed, with {rules.labels_of_class} of each of {rules.classes} classes"

    # -- records

    def _accepted(self, ask: Ask, tally: Count) -> RetrainDecision:
        # The training before is a cause too: an alert that it did not end may lead to another one.
        before = self._state.last.decision.decision_id if self._state.last is not None else ""
        decision_id = digest("retraining", "yes", before, ask.because, *ask.causes)
        return self._record(decision_id, True, Refusal(ask.because, self._numbers(ask, tally)), ask.causes, tally)

    def _declined(self, refusal: Refusal, causes: Sequence[str], tally: Count) -> list[RetrainDecision]:
        fresh = self._state.unanswered(causes, refusal.because)
        if not fresh:
            return []
        return [self._record(digest("retraining", "no", refusal.because, *fresh), False, refusal, fresh, tally)]

    def _record(
        self, decision_id: str, accepted: bool, verdict: Refusal, causes: Sequence[str], tally: Count
    ) -> RetrainDecision:
        champion: ModelEvent | None = self._state.champion
        return RetrainDecision(
            decision_id=decision_id,
            model=champion.model if champion else "",
            base_version=champion.version if champion else "",
            accepted=accepted,
            because=verdict.because,
            detail=verdict.detail,
            causes=list(causes),
            fresh_labels=tally.by_class,
            by=NAME,
            decided_at_ms=self._now_ms,
        )


def _named(alerts: Sequence[Alert]) -> str:
    return _listed([f"{alert.kind} on {alert.camera or alert.group or 'the fleet'}" for alert in alerts])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_MOST])
    return shown if len(names) <= _NAMED_MOST else f"{shown} and {len(names) - _NAMED_MOST} more"


def _span(ms: int) -> str:
    """A length of time as a person writes it."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= 2 * length:
            return f"{ms / length:.1f} {unit}"
    return f"{ms / 1_000:.0f} s"
