"""Commands and pairs in, model events out: candidate, shadow, champion on probation, champion, and back.

Laws: of each model at most one comparison runs; a champion that follows another one is on probation; a person's command
holds at any stage; each step is written once, under an id made of what led to it.

Rollout alone writes the register, so its state is what the register holds. What stands there and is not in the state,
because the state was lost or because others wrote there before schema version 3, is noted before anything else.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import digest
from catseye.contract.message import Message
from catseye.contract.records import ModelCommand, ModelEvent, PairedOutcome
from catseye.contract.topics import BY_NAME
from catseye.models.commands import carried_out
from catseye.models.stages import Stages
from catseye.runtime.router import Refusal, Written
from catseye.runtime.stream import Tally
from services.rollout.facts import noted
from services.rollout.rollout_state import Comparison, Kind, RolloutState
from services.rollout.steps import Steps, lead
from services.rollout.verdict import Rules, has_fallen


class RolloutCore(Tally):
    """Compares one candidate of each model at a time with its champion.

    Args:
        rules: What an operator can turn.
        register: What stood on `models` when this process started, oldest first.
    """

    def __init__(self, rules: Rules, register: Sequence[ModelEvent] = ()) -> None:
        super().__init__()
        self._rules = rules
        self._register = register

    def new_state(self) -> RolloutState:
        return RolloutState()

    def begin(self, batch: Sequence[Message], states: Mapping[int, RolloutState], now_ms: int) -> Sequence[Message]:
        """Commands first: a pair is of versions that one of them named before."""
        for state in states.values():
            self._note_register(state)
        return sorted(batch, key=lambda message: not message.topic().endswith(BY_NAME["model.commands"].name))

    def on_model_command(
        self, command: ModelCommand, message: Message, state: RolloutState, now_ms: int
    ) -> list[Written]:
        """Carry out a command, once: what it leads to, and what follows of that; or why it cannot be done."""
        if message.offset() < state.next_command or state.has_seen(command.command_id):
            self.events["command_repeated"] += 1
            return []
        state.command_read(message.offset())
        due = self._emitted(self._due(state, now_ms))  # of what the register holds
        try:
            events = carried_out(state.known(), command, now_ms)
        except BadRecord as fault:
            return [*due, Refusal(message, BadRecord(fault.reason, f"{fault.detail} (command {command.command_id})"))]
        self.events[f"command_{command.action}"] += 1
        for event in events:
            self._note(event, state)
        return [*due, *self._emitted([*events, *self._due(state, now_ms)])]

    def on_paired_outcome(
        self, pair: PairedOutcome, message: Message, state: RolloutState, now_ms: int
    ) -> list[ModelEvent]:
        """Count a frame that both predicted, whichever of the two was champion then; what the comparison comes to.

        Raises:
            BadRecord: its propensity is no chance.
        """
        if message.offset() < state.next_pair:
            self.events["pair_repeated"] += 1
            return []
        state.pair_read(message.offset())
        if not 0 < pair.propensity <= 1:
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {pair.propensity}; it is over 0, at most 1")
        known = state.of_model(pair.model)
        comparison = known.comparison
        if comparison is None or {pair.champion, pair.shadow} != {comparison.new, comparison.old}:
            self.events["pair_of_no_comparison"] += 1
            return []
        if pair.track is not None:
            number = int(digest("vehicle", pair.boot, pair.track)[:15], 16)
            if not state.is_new_vehicle(pair.model, pair.camera, number):
                self.events["pair_of_a_known_vehicle"] += 1
                return []
        self.events["pair"] += 1
        state.put_model(pair.model, replace(known, comparison=self._counted(state, comparison, pair)))
        return self._emitted(Steps(self._rules, state, pair.model, now_ms).decided())

    def on_time(self, states: Mapping[int, RolloutState], now_ms: int) -> list[ModelEvent]:
        """Do what follows of what the register holds at the start, and what time has decided."""
        events: list[ModelEvent] = []
        for state in states.values():
            self._note_register(state)
            events += self._due(state, now_ms)
        return self._emitted(events)

    def _due(self, state: RolloutState, now_ms: int) -> list[ModelEvent]:
        """The steps of all models that are due."""
        return [step for model in state.models() for step in Steps(self._rules, state, model, now_ms).due()]

    def _note_register(self, state: RolloutState) -> None:
        """Note what stands in the register and is not in *state*.

        Asked each time: what was noted in a transaction that was aborted is to be noted again.
        """
        if not state.champions():
            self._know_champions(state)
        for event in self._register:
            if not state.has_seen(event.event_id):
                self.events[f"noted_{event.stage}"] += 1
                self._note(event, state)

    def _know_champions(self, state: RolloutState) -> None:
        """Of a state that has the champion of each name only: learn from the register who serves."""
        stages = Stages()
        for event in self._register:
            if state.has_seen(event.event_id):
                stages.on_event(event)
        if champions := stages.champions():
            state.put_champions(champions)
            lead(state, champions[0])

    def _note(self, event: ModelEvent, state: RolloutState) -> None:
        """Know an event that stands in the register, or will."""
        before = state.of_model(event.model)
        known = state.has_version(event.model, event.version)
        stage = state.version(event.model, event.version).stage if known else None
        after = noted(before, event, stage, anyone_serves=bool(state.champions() or before.champion))
        if after.comparison != before.comparison:
            state.forget_pairs(event.model)
        state.put_model(event.model, after)
        if after.champion != before.champion:
            lead(state, (event.model, after.champion))
        # Whoever was something before is a candidate no more: the same to all who read the register.
        state.put_version(replace(event, stage=stage) if stage and event.stage == "candidate" else event)

    def _counted(self, state: RolloutState, comparison: Comparison, pair: PairedOutcome) -> Comparison:
        """Add a pair to all, to its class and to its camera; see whether the new version has fallen on those."""
        shadow_right, champion_right = pair.shadow_predicted == pair.label, pair.champion_predicted == pair.label
        new_right, old_right = shadow_right, champion_right
        if pair.shadow == comparison.old:
            new_right, old_right = champion_right, shadow_right
        strata: dict[Kind, tuple[str, int]] = {
            "all": ("", 1),
            "class": (pair.label, comparison.classes),
            "camera": (pair.camera, comparison.cameras),
        }
        fallen, counts, least = comparison.fallen, dict[Kind, int](), 1.0
        for kind, (name, count) in strata.items():
            before = state.pairs(pair.model, kind, name)
            pairs = before.plus(pair.propensity, new_right=new_right, old_right=old_right)
            state.put_pairs(pair.model, kind, name, pairs)
            counts[kind] = count + (kind != "all" and not before.cells)
            if kind == "all":
                least = self._rules.least(pairs)
            elif not fallen and has_fallen(self._rules, pairs, least, counts[kind]):
                fallen = f"{kind} {name}"
        return replace(comparison, classes=counts["class"], cameras=counts["camera"], fallen=fallen)

    def _emitted(self, events: list[ModelEvent]) -> list[ModelEvent]:
        for event in events:
            self.events[f"emitted_{event.stage}"] += 1
        return events
