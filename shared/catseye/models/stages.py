"""What the versions of a model are at a moment, as the events of the `models` topic say it, and which of them serve.

Law: the newest event of a version decides its stage. A fleet has one champion, whatever names its models have: the
newest that was made so and was not taken back since. When it is taken back the one before serves again, and while there
is no other one it goes on: a camera that had predictions goes on having them. A shadow is compared with the champion,
so it serves only while the champion is of its own name: another name may mean other classes.

Services, commands and lists ask here, so that all answer alike.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from msgspec.structs import replace

from catseye.contract.records import ModelEvent, Stage

T = TypeVar("T")
U = TypeVar("U")
Version = tuple[str, str]
"""Name of the model, and version."""
Serves = Literal["champion", "shadow"]
GONE: Final[tuple[Stage, ...]] = ("rejected", "retired")

# Who is preferred among those that were made champion once. A champion that became the shadow of the next one is what
# a rollback goes back to; what was rejected serves only where there is nothing else at all.
STANDING: Final[dict[Stage, int]] = {"champion": 3, "shadow": 2, "candidate": 2, "retired": 1, "rejected": 0}


@dataclass(frozen=True)
class Serving(Generic[T]):
    """Who predicts which cameras.

    Attributes:
        everywhere: For all cameras that have none of their own; None for nobody.
        cameras: Cameras that have one of their own: canaries.
    """

    everywhere: T | None = None
    cameras: Mapping[str, T] = field(default_factory=dict)

    def of(self, camera: str) -> T | None:
        """Who predicts *camera*."""
        return self.cameras.get(camera, self.everywhere)

    def each(self) -> list[T]:
        """Who predicts anything, that for everywhere first; the canary of many cameras many times."""
        return [*([] if self.everywhere is None else [self.everywhere]), *self.cameras.values()]

    def map(self, turned: Callable[[T], U]) -> "Serving[U]":
        """The same cameras with what *turned* makes of each."""
        everywhere = None if self.everywhere is None else turned(self.everywhere)
        return Serving(everywhere, {camera: turned(one) for camera, one in self.cameras.items()})


class Stages:
    """Reads model events in the order of the topic."""

    def __init__(self) -> None:
        # Of each version its newest event, and its newest as a champion; both with the newest last.
        self._newest: dict[Version, ModelEvent] = {}
        self._champions: dict[Version, ModelEvent] = {}
        self._everywhere: dict[Version, None] = {}  # those that were made champion of all cameras, the newest last
        self._wanted: dict[Version, ModelEvent] = {}  # those that were gone and are handed in once more
        self._refused: set[Version] = set()

    def on_event(self, event: ModelEvent) -> None:
        """Take the next event. A candidate that is announced once more, after a crash, stays what it became."""
        version = event.model, event.version
        if event.stage == "candidate" and version in self._newest:
            if self._newest[version].stage in GONE and self.champions()[:1] != [version]:
                self._wanted[version] = event
            return
        self._refused.discard(version)
        self._wanted.pop(version, None)
        self._newest.pop(version, None)
        self._newest[version] = event
        if event.stage == "champion":
            self._champions.pop(version, None)
            self._champions[version] = event
            if not event.cameras or not self._everywhere:
                self._everywhere.pop(version, None)
                self._everywhere[version] = None

    def refuse(self, event: ModelEvent) -> None:
        """The version cannot serve: as if it were not there, until an event names it again."""
        self._refused.add((event.model, event.version))

    def serving(self, stage: Serves) -> Serving[ModelEvent]:
        """Who serves as champion, or as shadow: the newest events of those versions."""
        return self._champion() if stage == "champion" else self._shadow()

    def champions(self) -> list[Version]:
        """Those that were ever made champion of all cameras, of any name: who serves first, then the newest first."""
        serves = self._champion().everywhere
        first = [] if serves is None else [(serves.model, serves.version)]
        return [*first, *(version for version in reversed(self._everywhere) if version not in first)]

    def newest(self) -> dict[Version, ModelEvent]:
        """The newest step of each version, the oldest step first.

        Its stage is what the version is: one that was shadow and is compared with nothing now waits, as a candidate.
        """
        compared = [(event.model, event.version) for event in self._shadow().each()]
        found = {}
        for version, event in self._newest.items():
            waits = event.stage == "shadow" and version not in compared
            found[version] = self._wanted.get(version, replace(event, stage="candidate") if waits else event)
        return found

    def _champion(self) -> Serving[ModelEvent]:
        made = [event for version, event in self._champions.items() if version not in self._refused]
        if not made:
            return Serving()
        # Where nobody ever had all cameras, whoever came last has them: they must have predictions.
        everywhere = max(reversed([event for event in made if not event.cameras] or made), key=self._standing)
        later = made[made.index(everywhere) + 1 :]
        return Serving(everywhere, _by_camera([event for event in later if self._stage(event) == "champion"]))

    def _shadow(self) -> Serving[ModelEvent]:
        champion = self._champion().everywhere
        shadows = [
            event
            for version, event in self._newest.items()
            if event.stage == "shadow" and version not in self._refused and _is_beside(champion, event)
        ]
        everywhere = next((event for event in reversed(shadows) if not event.cameras), None)
        later = shadows[shadows.index(everywhere) + 1 :] if everywhere else shadows
        return Serving(everywhere, _by_camera(later))

    def _stage(self, event: ModelEvent) -> Stage:
        return self._newest[event.model, event.version].stage

    def _standing(self, event: ModelEvent) -> int:
        return STANDING[self._stage(event)]


def stages_of(events: Iterable[ModelEvent]) -> Stages:
    """What *events*, oldest first, made of the versions."""
    stages = Stages()
    for event in events:
        stages.on_event(event)
    return stages


def champion_in(events: Iterable[ModelEvent]) -> ModelEvent | None:
    """Who predicts the cameras that have no canary of their own, by *events*, oldest first; None for nobody."""
    return stages_of(events).serving("champion").everywhere


def _by_camera(events: list[ModelEvent]) -> dict[str, ModelEvent]:
    return {camera: event for event in events for camera in event.cameras}


def _is_beside(champion: ModelEvent | None, shadow: ModelEvent) -> bool:
    """Whether a shadow predicts beside the champion: it is another version of the same model."""
    return champion is None or (champion.model == shadow.model and champion.version != shadow.version)
