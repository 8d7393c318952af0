"""What the versions of a model are at a moment, as the events of the `models` topic say it, and which of them serve.

Law: the newest event of a version decides its stage. The champion is the newest that was made so and was not taken
back since; when it is taken back the one before serves again, and while there is no other one it goes on: a camera that
had predictions goes on having them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from catseye.contract.records import ModelEvent, Stage

T = TypeVar("T")
U = TypeVar("U")
Version = tuple[str, str]
Serves = Literal["champion", "shadow"]

# Who is preferred among those that were made champion once. A champion that became the shadow of the next one is what
# a rollback goes back to; what was rejected serves only where there is nothing else at all.
_STANDING: dict[Stage, int] = {"champion": 3, "shadow": 2, "candidate": 2, "retired": 1, "rejected": 0}


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
        self._refused: set[Version] = set()

    def on_event(self, event: ModelEvent) -> None:
        """Take the next event. A candidate that is announced once more, after a crash, stays what it became."""
        version = event.model, event.version
        if event.stage == "candidate" and version in self._newest:
            return
        self._refused.discard(version)
        self._newest.pop(version, None)
        self._newest[version] = event
        if event.stage == "champion":
            self._champions.pop(version, None)
            self._champions[version] = event

    def refuse(self, event: ModelEvent) -> None:
        """The version cannot serve: as if it were not there, until an event names it again."""
        self._refused.add((event.model, event.version))

    def serving(self, stage: Serves) -> Serving[ModelEvent]:
        """Who serves as champion, or as shadow: the newest events of those versions."""
        return self._champion() if stage == "champion" else self._shadow()

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
        serves = champion and (champion.model, champion.version)
        shadows = [
            event
            for version, event in self._newest.items()
            if event.stage == "shadow" and version not in self._refused and version != serves
        ]
        everywhere = next((event for event in reversed(shadows) if not event.cameras), None)
        later = shadows[shadows.index(everywhere) + 1 :] if everywhere else shadows
        return Serving(everywhere, _by_camera(later))

    def _stage(self, event: ModelEvent) -> Stage:
        return self._newest[event.model, event.version].stage

    def _standing(self, event: ModelEvent) -> int:
        return _STANDING[self._stage(event)]


def _by_camera(events: list[ModelEvent]) -> dict[str, ModelEvent]:
    return {camera: event for event in events for camera in event.cameras}
