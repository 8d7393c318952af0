"""A register, frames that two models predicted, and one worker of rollout in memory."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelEvent, PairedOutcome, Stage
from catseye.runtime.stream import Output
from services.incidents.rolled_back import alerts_of
from services.rollout.book import Book
from services.rollout.core import RolloutCore
from services.rollout.verdict import Rules
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
START_MS = 1_800_000_000_000
MODEL = "vehicles"
LONG_S = 10.0
"""More than the register must be silent."""


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


class Rollout:
    """The service and its two topics; what it writes to the register comes in again, as it does on the broker."""

    def __init__(self, **rules: Any) -> None:
        self.rules = Rules(**rules)
        self.partition: Partition[Book] = Partition(lambda: RolloutCore(CODEC, "", self.rules))
        self.now_ms = START_MS
        self.register: list[FakeMessage] = []
        self.pairs: list[FakeMessage] = []
        self.taken = 0  # outputs that came in again
        self.wait()

    @property
    def said(self) -> list[ModelEvent]:
        """All events that the service wrote."""
        return [CODEC.decode(output.value, ModelEvent) for output in self.partition.outputs if output.topic == "models"]

    @property
    def alerts(self) -> list[Alert]:
        """All states of alerts that incidents writes of them."""
        return [alert for event in self.said for alert in alerts_of(event)]

    def steps(self) -> list[tuple[str, Stage, str]]:
        """Version, stage and code of each of them."""
        return [(each.version, each.stage, each.because.partition(":")[0]) for each in self.said]

    def hear(self, *events: ModelEvent, wait: bool = True) -> list[tuple[str, Stage, str]]:
        """The register says something, and is silent then; the steps that follow."""
        before = len(self.steps())
        self.take(self.registered(events))
        if wait:
            self.wait()
        return self.steps()[before:]

    def see(self, *pairs: PairedOutcome) -> list[tuple[str, Stage, str]]:
        """Labels come, in one batch; the steps that follow."""
        before = len(self.steps())
        self.take(self.paired(pairs))
        return self.steps()[before:]

    def registered(self, events: Iterable[ModelEvent]) -> list[FakeMessage]:
        """Events as they lie on their topic."""
        start = len(self.register)
        self.register += [FakeMessage("models", CODEC.encode(each), start + place) for place, each in enumerate(events)]
        return self.register[start:]

    def paired(self, pairs: Iterable[PairedOutcome]) -> list[FakeMessage]:
        """Pairs as they lie on theirs."""
        start = len(self.pairs)
        self.pairs += [
            FakeMessage("outcomes.paired", CODEC.encode(each), start + place) for place, each in enumerate(pairs)
        ]
        return self.pairs[start:]

    def take(self, batch: list[FakeMessage]) -> None:
        """One transaction, and its echo."""
        self.partition.take(batch, self.now_ms)
        self._echo()

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
            self._echo()
        return self.steps()[before:]

    def crash(self) -> None:
        """A new worker, from the log; it listens before it acts."""
        self.partition.crash()
        self.wait()

    def _echo(self) -> None:
        said = self.said
        echo, self.taken = said[self.taken :], len(said)
        if echo:
            count = len(self.partition.outputs)
            changes = len(self.partition.state_log)
            self.partition.take(self.registered(echo), self.now_ms)
            assert len(self.partition.outputs) == count  # our own word says nothing new
            assert len(self.partition.state_log) == changes
