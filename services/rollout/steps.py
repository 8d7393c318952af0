"""The steps of a rollout: what follows of what is known, as model events. Pure."""

from collections.abc import Mapping

from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent, Stage
from catseye.models.sequential_test import Pairs
from catseye.models.stages import GONE, STANDING, Version
from services.rollout import NAME
from services.rollout.facts import closed, replaced
from services.rollout.rollout_state import Comparison, ModelState, RolloutState
from services.rollout.verdict import (
    Code,
    Inspection,
    Rules,
    bounds,
    inspect_pairs,
    numbers,
    rollback,
    sentence,
    verdict,
)


class Steps:
    """Takes the steps of one model that are due at a moment.

    Args:
        rules: What an operator can turn.
        state: Where it stands; each step changes it.
        model: Name of the model.
        now_ms: Unix milliseconds.
    """

    def __init__(self, rules: Rules, state: RolloutState, model: str, now_ms: int) -> None:
        self._rules = rules
        self._state = state
        self._model = model
        self._now_ms = now_ms

    def due(self) -> list[ModelEvent]:
        """All of them: what the register's newest events lead to, what time has decided, and the next comparison."""
        return [*self._fallen_back(), *self._idle_retired(), *self._put_on_probation(), *self.decided(), *self._next()]

    def decided(self) -> list[ModelEvent]:
        """What the comparison under way has come to."""
        comparison = self._known.comparison
        if comparison is None:
            return []
        inspection = inspect_pairs(self._rules, self._state.pairs(self._model, "all"))
        code = verdict(self._rules, comparison, inspection, self._now_ms)
        match code:
            case "waits":
                return []
            case "comparing":
                steps = [self._progress(comparison, inspection)]
            case "better":
                steps = self._proved(comparison, inspection)
            case "canary_passed":
                steps = self._promoted(comparison, code, inspection)
            case "probation_passed":
                steps = [self._found(comparison, code, inspection, comparison.old, "retired")]
                self._close()
            case _:
                steps = self._refused(comparison, code, inspection)
        return steps

    # -- what the register asks for

    def _fallen_back(self) -> list[ModelEvent]:
        """A champion that was rejected or retired: the one before it that stands best is champion again, if any does.

        That is the one that serves already: `catseye.models.stages` chooses alike.
        """
        known = self._known
        if not known.champion or self._stage(known.champion) not in GONE:
            return []
        former = [version for version in self._state.known().champions if version != (self._model, known.champion)]
        back = max(former, key=self._standing, default=None)
        if back is None or not self._standing(back):
            return []
        gone = self._version(known.champion)
        model, version = back
        self._state.forget_pairs(self._model)
        self._state.put_model(self._model, closed(known))
        own = self._state.of_model(model)
        self._state.put_model(model, replace(own.promoted(version), probation_due=False))
        lead(self._state, back)
        because = f"champion_rejected: {known.champion} was {gone.stage} by {gone.by}; the champion before it is back"
        steps = Steps(self._rules, self._state, model, self._now_ms)
        return [steps._emit((gone.event_id,), version, "champion", because, previous=known.champion)]

    def _idle_retired(self) -> list[ModelEvent]:
        """Shadows that nothing is compared with any more need not predict."""
        known = self._known
        self._state.put_model(self._model, replace(known, idle=()))
        idle = [
            version
            for version in known.idle
            if self._stage(version) == "shadow" and version not in known.queue and not self._is_due(version)
        ]
        because = "probation_ended: another version came before it was over"
        return [self._emit((self._event_id(version),), version, "retired", because) for version in idle]

    def _put_on_probation(self) -> list[ModelEvent]:
        """A new champion, with the one before it as its shadow, unless that one is gone."""
        known = self._known
        if not known.probation_due:
            return []
        self._state.put_model(self._model, replace(known, probation_due=False))
        return self._began_probation(known.champion, known.former[0])

    def _next(self) -> list[ModelEvent]:
        """The candidate that has waited longest becomes the shadow of the champion."""
        known = self._known
        if known.comparison is not None or not known.queue or not known.champion:
            return []
        new, *others = known.queue
        self._state.put_model(self._model, replace(known, queue=tuple(others)))
        comparison = self._began(new, known.champion, probation=False)
        because = (
            f"compared: with champion {known.champion} on at least {self._rules.labels_min} and at most "
            f"{self._rules.labels_max} labelled frames; {len(others)} more wait"
        )
        return [self._emit((comparison.comparison_id,), new, "shadow", because, metrics=bounds(self._rules))]

    # -- what the evidence shows

    def _progress(self, comparison: Comparison, inspection: Inspection) -> ModelEvent:
        """How it stands; seldom, each time at twice as many pairs."""
        self._put(replace(comparison, reported_pairs=inspection.pairs.count))
        return self._found(comparison, "comparing", inspection, comparison.new, "shadow")

    def _proved(self, comparison: Comparison, inspection: Inspection) -> list[ModelEvent]:
        """It is better: a person is asked, or some cameras get it, or all."""
        new, cameras = comparison.new, self._rules.canary_cameras
        if self._rules.approval:
            self._put(replace(comparison, awaits_approval=True))
            return [self._found(comparison, "better", inspection, new, "shadow", named="approval")]
        if cameras:
            self._put(replace(comparison, canary_since_ms=self._now_ms))
            return [self._found(comparison, "better", inspection, new, "champion", named="canary", cameras=cameras)]
        return self._promoted(comparison, "better", inspection)

    def _promoted(self, comparison: Comparison, code: Code, inspection: Inspection) -> list[ModelEvent]:
        new, old = comparison.new, comparison.old
        champion = self._found(comparison, code, inspection, new, "champion", previous=old)
        self._close(new)
        return [champion, *self._began_probation(new, old)]

    def _refused(self, comparison: Comparison, code: Code, inspection: Inspection) -> list[ModelEvent]:
        """The champion stays, or comes back."""
        new, old = comparison.new, comparison.old
        rejected = self._found(comparison, code, inspection, new, "rejected")
        if not comparison.probation:
            self._close()
            return [rejected]
        fallen = None if code == "worse" else self._fallen(comparison)
        why = rollback(self._rules, comparison, inspection, fallen).metrics()
        back = self._found(
            comparison, code, inspection, old, "champion", named=f"rollback_{code}", previous=new, more=why
        )
        self._close(old)
        return [back, rejected]

    def _fallen(self, comparison: Comparison) -> Pairs:
        """Pairs of the class or camera on which the new version turned out to be worse."""
        kind, _, name = comparison.fallen.partition(" ")
        return self._state.pairs(self._model, "class" if kind == "class" else "camera", name)

    def _found(
        self,
        comparison: Comparison,
        code: Code,
        inspection: Inspection,
        version: str,
        stage: Stage,
        *,
        named: str = "",
        previous: str | None = None,
        cameras: tuple[str, ...] = (),
        more: Mapping[str, float] | None = None,
    ) -> ModelEvent:
        """A step that rests on the pairs, with their numbers and *more*; *named* as the code that people read."""
        strata = (self._state.strata(self._model, kind) for kind in ("class", "camera"))
        cause = (comparison.comparison_id, named or code, str(inspection.pairs.count) if code == "comparing" else "")
        because = f"{named or code}: {sentence(self._rules, code, comparison, inspection)}"
        if named == "approval":
            because += f"; a person has to say yes: catseye models promote {version}"
        metrics = numbers(self._rules, inspection, *strata) | dict(more or {})
        return self._emit(cause, version, stage, because, previous=previous, cameras=cameras, metrics=metrics)

    # -- the state

    @property
    def _known(self) -> ModelState:
        return self._state.of_model(self._model)

    def _put(self, comparison: Comparison) -> None:
        self._state.put_model(self._model, replace(self._known, comparison=comparison))

    def _close(self, champion: str = "") -> None:
        """The comparison is over; there may be another *champion*."""
        self._state.forget_pairs(self._model)
        known = replace(self._known, comparison=None)
        self._state.put_model(self._model, known.promoted(champion) if champion else known)
        if champion:
            put_first(self._state, (self._model, champion))

    def _began(self, new: str, old: str, *, probation: bool) -> Comparison:
        comparison = Comparison(
            comparison_id=digest("comparison", self._model, self._event_id(new), self._event_id(old)),
            new=new,
            old=old,
            probation=probation,
            since_ms=self._now_ms,
        )
        self._put(comparison)
        return comparison

    def _began_probation(self, champion: str, before: str) -> list[ModelEvent]:
        if self._stage(before) in GONE:  # there is nothing to go back to
            return []
        comparison = self._began(champion, before, probation=True)
        because = f"probation: {champion} is champion, and has to prove no worse on the same labelled frames"
        return [self._emit((comparison.comparison_id,), before, "shadow", because)]

    def _emit(
        self,
        cause: tuple[str, ...],
        version: str,
        stage: Stage,
        because: str,
        *,
        previous: str | None = None,
        cameras: tuple[str, ...] = (),
        metrics: dict[str, float] | None = None,
    ) -> ModelEvent:
        """The next event of a version, known here from now on."""
        event = replace(
            self._version(version),
            event_id=digest(NAME, *cause, self._model, version, stage),
            stage=stage,
            previous_version=previous,
            because=because,
            by=NAME,
            at_ms=self._now_ms,
            cameras=list(cameras),
            metrics=metrics or {},
            command_id=None,
        )
        self._state.put_version(event)
        return event

    def _version(self, version: str) -> ModelEvent:
        """The newest event of a version that is known. Raises KeyError for another."""
        return self._state.version(self._model, version)

    def _stage(self, version: str) -> Stage:
        return self._version(version).stage

    def _standing(self, version: Version) -> int:
        model, name = version
        waits = name in self._state.of_model(model).queue  # it was rejected, and is wanted again
        return STANDING["candidate" if waits else self._state.version(model, name).stage]

    def _event_id(self, version: str) -> str:
        return self._version(version).event_id

    def _is_due(self, version: str) -> bool:
        """Whether it goes on as the shadow of a new champion."""
        return self._known.probation_due and version == self._known.former[0]


def lead(state: RolloutState, champion: Version) -> None:
    """*champion* serves all cameras from now on; whoever did before under another name serves none."""
    put_first(state, champion)
    for model in state.models():
        known = state.of_model(model)
        if model != champion[0] and known.champion:
            state.forget_pairs(model)
            state.put_model(model, replaced(known))


def put_first(state: RolloutState, champion: Version) -> None:
    """Know *champion* as the one that serves."""
    before = state.known().champions
    state.put_champions([champion, *(version for version in before if version != champion)])
