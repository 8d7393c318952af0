"""Commands, a register, frames that two models predicted, and one worker of rollout in memory."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import Alert, DeadLetter, ModelAction, ModelCommand, ModelEvent, PairedOutcome, Stage
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.incidents.rolled_back import alerts_of
from services.rollout import BATCHES, NAME, WRITES
from services.rollout.core import RolloutCore
from services.rollout.rollout_state import RolloutState
from services.rollout.verdict import Rules
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
START_MS = 1_800_000_000_000
MODEL = "vehicles"
LONG_S = 10.0


def event(version: str, stage: Stage, **changes: Any) -> ModelEvent:
    """A word of the register, by a person; its id is made of all that it says."""
    sound = ModelEvent(
        event_id=digest("said", version, stage, *map(str, changes.values())),
        model=MODEL,
        version=version,
        stage=stage,
        sha256=digest(version) * 2,
        signature=version.encode(),
        because="said so",
        by="person",
        at_ms=START_MS,
    )
    return replace(sound, **changes)


def command(action: ModelAction, version: str | None = None, **changes: Any) -> ModelCommand:
    """What a person asks for; its id is made of all that it says."""
    sound = ModelCommand(
        command_id=digest("asked", action, version or "", *map(str, changes.values())),
        action=action,
        model=MODEL,
        version=version,
        by="person",
        at_ms=START_MS,
    )
    return replace(sound, **changes)


def registering(event: ModelEvent) -> ModelCommand:
    """The command that leads to *event*, of a version that is registered."""
    return ModelCommand(
        command_id=event.event_id,
        action="register",
        model=event.model,
        version=event.version,
        stage=event.stage,
        sha256=event.sha256,
        signature=event.signature,
        metrics=event.metrics,
        dataset_sha256=event.dataset_sha256,
        decision_id=event.decision_id,
        reason=event.because,
        by=event.by,
        at_ms=event.at_ms,
    )


def pair(champion: str, shadow: str, right: str, number: int = 0, **changes: Any) -> PairedOutcome:
    """A labelled frame that two versions predicted; *right* names those that were right."""
    sound = PairedOutcome(
        camera="a",
        boot="b",
        sequence=number,
        received_at_ms=START_MS,
        label_received_at_ms=START_MS,
        model=MODEL,
        champion=champion,
        shadow=shadow,
        label="car",
        champion_predicted="car" if champion in right.split() else "van",
        shadow_predicted="car" if shadow in right.split() else "bus",
        champion_label_probability=0.5,
        shadow_label_probability=0.5,
        source="audit",
        propensity=1.0,
        frame_partition=0,
        frame_offset=number,
    )
    return replace(sound, **changes)


def core(rules: Rules, register: Sequence[ModelEvent] = ()) -> Router[RolloutState]:
    """Rollout as the worker runs it."""
    return Router(RolloutCore(rules, register), NAME, BATCHES, WRITES, CODEC, "", 1)


class Rollout:
    """The service, the topics that it reads, and the register.

    Args:
        register: What stands on `models` when it starts.
        rules: Of the operator.
    """

    def __init__(self, register: Sequence[ModelEvent] = (), **rules: Any) -> None:
        self.rules = Rules(**rules)
        self.register: list[ModelEvent] = list(register)
        self.partition: Partition[RolloutState] = Partition(lambda: core(self.rules, tuple(self.register)))
        self.written: list[ModelEvent] = []
        self._collected = 0  # outputs
        self.now_ms = START_MS
        self.commands: list[FakeMessage] = []
        self.pairs: list[FakeMessage] = []
        self.wait()

    @property
    def emitted(self) -> list[ModelEvent]:
        """Those that it wrote of itself: what commands led to is left out."""
        return [event for event in self.written if event.command_id is None]

    @property
    def alerts(self) -> list[Alert]:
        """All states of alerts that incidents writes of them."""
        return [alert for event in self.emitted for alert in alerts_of(event)]

    @property
    def refused(self) -> list[DeadLetter]:
        """All that it refused."""
        return [
            CODEC.decode(output.value, DeadLetter)
            for output in self.partition.outputs
            if output.topic == "dead-letters"
        ]

    def steps(self) -> list[tuple[str, Stage, str]]:
        """Version, stage and code of each of them."""
        return [(each.version, each.stage, each.because.partition(":")[0]) for each in self.emitted]

    def receive(self, *events: ModelEvent) -> list[tuple[str, Stage, str]]:
        """The register says something; the steps that follow.

        One event that a command can lead to comes by it. All else stands there when the service starts again, as
        others wrote it before schema version 3.
        """
        before = len(self.steps())
        if len(events) == 1 and (asked := self.command_for(events[0])) is not None:
            self.take(self.commanded([asked]))
        else:
            self.register += events
            self.partition.crash()
        self.wait()
        return self.steps()[before:]

    def command_for(self, event: ModelEvent) -> ModelCommand | None:
        """The command that leads to *event*; None where there is none, or it would be refused."""
        champion = self.partition.state.known().champion
        if event.cameras or event.stage not in ("candidate", "champion", "rejected"):
            return None
        if event.stage == "rejected" and (event.model, event.version) == champion:
            return None
        return registering(event)

    def ask(self, *commands: ModelCommand) -> list[tuple[str, Stage, str]]:
        """Commands come, in one batch; the steps that follow."""
        before = len(self.steps())
        self.take(self.commanded(commands))
        return self.steps()[before:]

    def see(self, *pairs: PairedOutcome) -> list[tuple[str, Stage, str]]:
        """Labels come, in one batch; the steps that follow."""
        before = len(self.steps())
        self.take(self.paired(pairs))
        return self.steps()[before:]

    def commanded(self, commands: Iterable[ModelCommand]) -> list[FakeMessage]:
        """Commands as they lie on their topic."""
        start = len(self.commands)
        self.commands += [
            FakeMessage("model.commands", CODEC.encode(each), start + place) for place, each in enumerate(commands)
        ]
        return self.commands[start:]

    def paired(self, pairs: Iterable[PairedOutcome]) -> list[FakeMessage]:
        """Pairs as they lie on theirs."""
        start = len(self.pairs)
        self.pairs += [
            FakeMessage("outcomes.paired", CODEC.encode(each), start + place) for place, each in enumerate(pairs)
        ]
        return self.pairs[start:]

    def take(self, batch: list[FakeMessage]) -> None:
        """One transaction."""
        self.partition.take(batch, self.now_ms)
        self._collect()

    def wait(self, seconds: float = LONG_S) -> list[tuple[str, Stage, str]]:
        """Time goes by."""
        before = len(self.steps())
        for part in (0.0, seconds):
            self.now_ms += round(part * 1_000)
            core, state = self.partition.core, self.partition.state
            outputs = core.on_time({0: state}, self.now_ms)
            self.partition.state_log += state.changes()
            self.partition.outputs += [Output(*row) for row in outputs]
            state.commit()
            self._collect()
        return self.steps()[before:]

    def crash(self) -> None:
        """A new worker, from the log."""
        self.partition.crash()
        self.wait()

    def _collect(self) -> None:
        """What was written stands in the register."""
        new = self.partition.outputs[self._collected :]
        self._collected += len(new)
        events = [CODEC.decode(output.value, ModelEvent) for output in new if output.topic == "models"]
        self.written += events
        self.register += events
