"""Commands and pairs in, model events out: candidate, shadow, champion on probation, champion, and back.

Laws: of each model at most one comparison runs; a champion that follows another one is on probation; a person's command
holds at any stage; each step is written once, under an id made of what led to it.

Rollout alone writes the register, so its state is what the register says. What stands there and is not in the state,
because the state was lost or because others wrote there before schema version 3, is noted before anything else.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.message import Message
from catseye.contract.records import ModelCommand, ModelEvent, PairedOutcome
from catseye.contract.topics import BY_NAME
from catseye.models.commands import carried_out
from catseye.runtime.router import Refusal, Written
from catseye.runtime.stream import Tally
from services.rollout.book import Book, Comparison, Kind
from services.rollout.facts import noted
from services.rollout.steps import Steps
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

    def new_state(self) -> Book:
        return Book()

    def begin(self, batch: Sequence[Message], states: Mapping[int, Book], now_ms: int) -> Sequence[Message]:
        """Commands first: a pair is of versions that one of them named before."""
        for book in states.values():
            self._note_register(book)
        return sorted(batch, key=lambda message: not message.topic().endswith(BY_NAME["model.commands"].name))

    def on_model_command(self, command: ModelCommand, message: Message, book: Book, now_ms: int) -> list[Written]:
        """Carry out a command, once: what it leads to, and what follows of that; or why it cannot be done."""
        if message.offset() < book.next_command or book.has_seen(command.command_id):
            self.events["command_repeated"] += 1
            return []
        book.command_read(message.offset())
        steps = Steps(self._rules, book, command.model, now_ms)
        due = self._counted_by_stage(steps.due())  # of what the register said
        try:
            events = carried_out(book.known(command.model), command, now_ms)
        except BadRecord as fault:
            return [*due, Refusal(message, BadRecord(fault.reason, f"{fault.detail} (command {command.command_id})"))]
        self.events[f"command_{command.action}"] += 1
        for event in events:
            self._note(event, book)
        return [*due, *self._counted_by_stage([*events, *steps.due()])]

    def on_paired_outcome(self, pair: PairedOutcome, message: Message, book: Book, now_ms: int) -> list[ModelEvent]:
        """Count a frame that both predicted, whichever of the two was champion then; what the comparison comes to.

        Raises:
            BadRecord: its propensity is no chance.
        """
        if message.offset() < book.next_pair:
            self.events["pair_repeated"] += 1
            return []
        book.pair_read(message.offset())
        if not 0 < pair.propensity <= 1:
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {pair.propensity}; it is over 0, at most 1")
        line = book.line(pair.model)
        comparison = line.comparison
        if comparison is None or {pair.champion, pair.shadow} != {comparison.new, comparison.old}:
            self.events["pair_of_no_comparison"] += 1
            return []
        self.events["pair"] += 1
        book.put_line(pair.model, replace(line, comparison=self._counted(book, comparison, pair)))
        return self._counted_by_stage(Steps(self._rules, book, pair.model, now_ms).judged())

    def on_time(self, states: Mapping[int, Book], now_ms: int) -> list[ModelEvent]:
        """Do what follows of what the register said at the start, and what time has decided."""
        events: list[ModelEvent] = []
        for book in states.values():
            self._note_register(book)
            for model in book.models():
                events += Steps(self._rules, book, model, now_ms).due()
        return self._counted_by_stage(events)

    def _note_register(self, book: Book) -> None:
        """Note what stands in the register and is not in *book*.

        Asked each time: what was noted in a transaction that was aborted is to be noted again.
        """
        for event in self._register:
            if not book.has_seen(event.event_id):
                self.events[f"noted_{event.stage}"] += 1
                self._note(event, book)

    def _note(self, event: ModelEvent, book: Book) -> None:
        """Know an event that stands in the register, or will."""
        before = book.line(event.model)
        known = book.has_version(event.model, event.version)
        stage = book.version(event.model, event.version).stage if known else None
        line = noted(before, event, stage)
        if line.comparison != before.comparison:
            book.forget_pairs(event.model)
        book.put_line(event.model, line)
        # Whoever was something before is a candidate no more: the same to all who read the register.
        book.put_version(replace(event, stage=stage) if stage and event.stage == "candidate" else event)

    def _counted(self, book: Book, comparison: Comparison, pair: PairedOutcome) -> Comparison:
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
            before = book.pairs(pair.model, kind, name)
            pairs = before.plus(pair.propensity, new_right=new_right, old_right=old_right)
            book.put_pairs(pair.model, kind, name, pairs)
            counts[kind] = count + (kind != "all" and not before.cells)
            if kind == "all":
                least = self._rules.least(pairs)
            elif not fallen and has_fallen(self._rules, pairs, least, counts[kind]):
                fallen = f"{kind} {name}"
        return replace(comparison, classes=counts["class"], cameras=counts["camera"], fallen=fallen)

    def _counted_by_stage(self, events: list[ModelEvent]) -> list[ModelEvent]:
        for event in events:
            self.events[f"said_{event.stage}"] += 1
        return events
