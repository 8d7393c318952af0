"""Model events and pairs in, model events out: candidate, shadow, champion on probation, champion, and back.

Laws: of each model at most one comparison runs; a champion that follows another one is on probation; a person's word
holds at any stage; each step is written once, under an id made of what led to it.

What the register says is noted at once and acted on when it has been silent for a while: what belongs together (one is
champion again, the other rejected) is read whole, and a register that is read again from the start leads to nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.dead_letters import dead_letter, source_of
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.message import Message
from catseye.contract.records import ModelEvent, PairedOutcome
from catseye.contract.topics import full_name
from catseye.runtime.stream import Output, Tally
from services.rollout import NAME
from services.rollout.book import Book, Comparison, Kind
from services.rollout.facts import noted
from services.rollout.steps import Steps
from services.rollout.verdict import Rules, has_fallen

QUIET_MS: Final = 1_000
"""So long the register must have said nothing new."""


class RolloutCore(Tally):
    """Compares one candidate of each model at a time with its champion.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        rules: What an operator can turn.
    """

    def __init__(self, codec: Codec, prefix: str, rules: Rules) -> None:
        super().__init__()
        self._codec = codec
        self._rules = rules
        self._models = full_name("models", prefix)
        self._dead_letters = full_name("dead-letters", prefix)
        self._heard_ms: int | None = None  # when the register last said something new, by our clock

    def new_state(self) -> Book:
        return Book()

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, Book], now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        # The register first: a pair is of versions that it named before.
        for message in sorted(batch, key=lambda message: message.topic() != self._models):
            book, partition = states[message.partition()], message.partition()
            try:
                if message.topic() == self._models:
                    self.on_model(self._codec.decode(message.value(), ModelEvent), book, now_ms)
                else:
                    pair = self._codec.decode(message.value(), PairedOutcome)
                    if steps := self.on_pair(pair, message.offset(), book, now_ms):
                        outputs += self._outputs(steps.judged(), partition)
            except BadRecord as fault:
                self.events[f"dead_{fault.reason}"] += 1
                letter = self._codec.encode(dead_letter(NAME, message, fault, now_ms))
                outputs.append(Output(self._dead_letters, partition, source_of(message), letter))
        return outputs

    def on_time(self, states: Mapping[int, Book], now_ms: int) -> list[Output]:
        """Do what the register asks for, and what time has decided."""
        if not self._is_quiet(now_ms):
            return []
        outputs: list[Output] = []
        for partition, book in states.items():
            for model in book.models():
                steps = Steps(self._rules, book, model, now_ms)
                outputs += self._outputs(steps.due(), partition)
        return outputs

    def on_model(self, event: ModelEvent, book: Book, now_ms: int) -> None:
        """Note a word of the register, unless it is our own or was read before."""
        if book.has_seen(event.event_id):
            self.events["model_event_repeated"] += 1
            return
        self.events[f"heard_{event.stage}"] += 1
        self._heard_ms = now_ms
        before = book.line(event.model)
        known = book.has_version(event.model, event.version)
        stage = book.version(event.model, event.version).stage if known else None
        line = noted(before, event, stage)
        if line.comparison != before.comparison:
            book.forget_pairs(event.model)
        book.put_line(event.model, line)
        # Whoever was something before is a candidate no more: the same to all who read the register.
        book.put_version(replace(event, stage=stage) if stage and event.stage == "candidate" else event)

    def on_pair(self, pair: PairedOutcome, offset: int, book: Book, now_ms: int) -> Steps | None:
        """Count a frame that both predicted, whichever of the two was champion then; what is to be looked at, if any.

        Raises:
            BadRecord: its propensity is no chance.
        """
        if offset < book.next_pair:
            self.events["pair_repeated"] += 1
            return None
        book.pair_read(offset)
        if not 0 < pair.propensity <= 1:
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {pair.propensity}; it is over 0, at most 1")
        line = book.line(pair.model)
        comparison = line.comparison
        if comparison is None or {pair.champion, pair.shadow} != {comparison.new, comparison.old}:
            self.events["pair_of_no_comparison"] += 1
            return None
        self.events["pair"] += 1
        book.put_line(pair.model, replace(line, comparison=self._counted(book, comparison, pair)))
        return Steps(self._rules, book, pair.model, now_ms) if self._is_quiet(now_ms) else None

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

    def _is_quiet(self, now_ms: int) -> bool:
        if self._heard_ms is None or now_ms < self._heard_ms:  # just started, or the clock was set back
            self._heard_ms = now_ms
        return now_ms - self._heard_ms >= QUIET_MS

    def _outputs(self, events: Sequence[ModelEvent], partition: int) -> list[Output]:
        outputs = []
        for event in events:
            self.events[f"said_{event.stage}"] += 1
            key = f"{event.model}/{event.version}".encode()
            outputs.append(Output(self._models, partition, key, self._codec.encode(event)))
        return outputs
