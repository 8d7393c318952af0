"""What rollout knows: of each model who is champion, who waits and what is being compared; of each version its newest
event; of the comparison under way its pairs, in all, by class and by camera.

Each is an immutable value under a key of the state topic, so that whatever is not committed is taken back whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from catseye.contract.records import ModelEvent
from catseye.models.commands import KnownModels
from catseye.models.sequential_test import Pairs
from catseye.models.stages import Version
from catseye.runtime.state_format import same_body
from catseye.runtime.stream import KeyedState

Kind = Literal["all", "class", "camera"]
V = TypeVar("V")
_encode = msgspec.msgpack.Encoder().encode
_MODEL, _VERSION, _PAIRS, _SEEN, _NEXT, _NEXT_COMMAND = b"l", b"v", b"p", b"s", b"n", b"c"
_CHAMPIONS: Final = b"h"
_VEHICLES: Final = b"vehicle"
VEHICLES: Final = 32
"""Vehicles of a camera that are remembered: labels of one come nearly together."""
_APART: Final = b"\0"  # stands in no name of a model, a version or a kind
_FORMAT: Final = same_body("rollout", "what is known of a model", lambda value: not value or value >= b"0")
"""Without a number there were maps of msgpack, digits and nothing."""
FORMER: Final[Mapping[str, str]] = {"told_pairs": "reported_pairs"}
"""What fields of a comparison are called today, by the names that states on the log may still have."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A new version against an old one on the same frames.

    Attributes:
        comparison_id: 32 hexadecimal digits: a hash of what led to it.
        new: Version that is judged.
        old: Version that it is judged by.
        probation: Whether the new one is the champion already and the old one its shadow.
        since_ms: When it began, Unix milliseconds.
        classes: How many classes its pairs are of.
        cameras: How many cameras.
        fallen: The class or camera on which the new one turned out to be worse; empty while there is none.
        reported_pairs: How many pairs there were when its standing was last reported.
        awaits_approval: Whether it is proved to be better and a person has to approve it.
        canary_since_ms: Since when the new one is champion of the canary's cameras; None while it is not.
    """

    comparison_id: str
    new: str
    old: str
    probation: bool
    since_ms: int
    classes: int = 0
    cameras: int = 0
    fallen: str = ""
    reported_pairs: int = 0
    awaits_approval: bool = False
    canary_since_ms: int | None = None


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """One model, that is: the versions of one name.

    Attributes:
        champion: Its version that is champion of all cameras; empty while none is, or one of another name.
        former: Those that were champion before, the newest first.
        queue: Versions that wait to be compared, the next one first.
        comparison: What is compared now.
        probation_due: Whether a new champion has still to be put on probation.
        idle: Versions that are shadows still though nothing is compared with them any more.
    """

    champion: str = ""
    former: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    comparison: Comparison | None = None
    probation_due: bool = False
    idle: tuple[str, ...] = ()

    def promoted(self, champion: str) -> "ModelState":
        """The same with another champion, which waits for nothing any more."""
        before = (self.champion,) if self.champion else ()
        return replace(
            self,
            champion=champion,
            former=(*before, *(each for each in self.former if each != champion)),
            queue=tuple(each for each in self.queue if each != champion),
        )


class RolloutState(KeyedState):
    """State of rollout; satisfies `catseye.runtime.stream.State`."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """As `KeyedState.put`; what stays as it was is no change."""
        if value != self.get(key):
            super().put(key, value)

    def restore(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            value = _FORMAT.read(value)
            value = _named_as_today(value) if key[:1] == _MODEL else value
        super().restore(key, value)

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        return [(key, None if value is None else _FORMAT.write(value)) for key, value in super().changes()]

    def of_model(self, model: str) -> ModelState:
        """One model; of one that is not known, nothing."""
        return self._found(_MODEL + model.encode(), ModelState) or ModelState()

    def models(self) -> list[str]:
        """Names of all models."""
        return sorted(key[1:].decode() for key, _ in self.items() if key[:1] == _MODEL)

    def put_model(self, model: str, known: ModelState) -> None:
        """Replace what is known of a model."""
        self.put(_MODEL + model.encode(), _encode(known))

    def version(self, model: str, version: str) -> ModelEvent:
        """The newest event of a version. Raises KeyError for one that is not known."""
        found = self._found(_version_key(model, version), ModelEvent)
        if found is None:
            raise KeyError(version)
        return found

    def has_version(self, model: str, version: str) -> bool:
        """Whether it is known."""
        return self.get(_version_key(model, version)) is not None

    def put_version(self, event: ModelEvent) -> None:
        """Take *event* for the newest of its version; know its id from now on, and that of its command."""
        self.put(_version_key(event.model, event.version), _encode(event))
        self.put(_SEEN + event.event_id.encode(), b"")
        if event.command_id is not None:
            self.put(_SEEN + event.command_id.encode(), b"")

    def has_seen(self, name: str) -> bool:
        """Whether an event of that id was taken before, or written here, or a command of that id was carried out."""
        return self.get(_SEEN + name.encode()) is not None

    def champions(self) -> list[Version]:
        """Those that were champion of all cameras, of any name: who is so now first, then the newest first. Empty while
        that is not known: earlier states have it by name only."""
        return self._found(_CHAMPIONS, list[Version]) or []

    def put_champions(self, champions: Sequence[Version]) -> None:
        """Replace them."""
        self.put(_CHAMPIONS, _encode(champions))

    def known(self) -> KnownModels:
        """What commands are judged by."""
        newest = {(event.model, event.version): event for event in self._versions()}
        awaiting: list[Version] = []
        by_name: list[Version] = []
        for model in self.models():
            own = self.of_model(model)
            by_name += [(model, version) for version in (own.champion, *own.former) if version]
            for version in own.queue:  # it may have been rejected, and is wanted again
                newest[model, version] = replace(newest[model, version], stage="candidate")
            if own.comparison is not None and own.comparison.awaits_approval:
                awaiting.append((model, own.comparison.new))
        return KnownModels(newest=newest, champions=self.champions() or by_name, awaiting=awaiting)

    def _versions(self) -> list[ModelEvent]:
        keys = [key for key, _ in self.items() if key[:1] == _VERSION]
        return [msgspec.msgpack.decode(self.get(key) or b"", type=ModelEvent) for key in keys]

    def pairs(self, model: str, kind: Kind, name: str = "") -> Pairs:
        """Pairs of the comparison under way: all, or those of a class or a camera."""
        return self._found(_pairs_key(model, kind) + name.encode(), Pairs) or Pairs()

    def put_pairs(self, model: str, kind: Kind, name: str, pairs: Pairs) -> None:
        """Replace them."""
        self.put(_pairs_key(model, kind) + name.encode(), _encode(pairs))

    def is_new_vehicle(self, model: str, camera: str, vehicle: int) -> bool:
        """Whether no pair of the comparison under way is of that vehicle, which is remembered from now on."""
        key = _PAIRS + model.encode() + _APART + _VEHICLES + _APART + camera.encode()
        known = self._found(key, list[int]) or []
        if vehicle in known:
            return False
        self.put(key, _encode([vehicle, *known][:VEHICLES]))
        return True

    def strata(self, model: str, kind: Kind) -> dict[str, Pairs]:
        """All classes or cameras, by name."""
        start = _pairs_key(model, kind)
        names = sorted(key[len(start) :].decode() for key, _ in self.items() if key.startswith(start))
        return {name: self.pairs(model, kind, name) for name in names}

    def forget_pairs(self, model: str) -> None:
        """The comparison is over."""
        start = _PAIRS + model.encode() + _APART
        for key in [key for key, _ in self.items() if key.startswith(start)]:
            self.put(key, None)

    @property
    def next_pair(self) -> int:
        """Offset of the first pair that was not read yet; a log that is read again repeats those before."""
        return int(self.get(_NEXT) or 0)

    def pair_read(self, offset: int) -> None:
        """The pair at *offset* was read."""
        self.put(_NEXT, str(offset + 1).encode())

    @property
    def next_command(self) -> int:
        """Offset of the first command that was not read yet; what was refused before is not judged again."""
        return int(self.get(_NEXT_COMMAND) or 0)

    def command_read(self, offset: int) -> None:
        """The command at *offset* was read."""
        self.put(_NEXT_COMMAND, str(offset + 1).encode())

    def _found(self, key: bytes, kind: type[V]) -> V | None:
        value = self.get(key)
        return None if value is None else msgspec.msgpack.decode(value, type=kind)


def _named_as_today(packed: bytes) -> bytes:
    """What is known of a model, with the names that fields of its comparison have today."""
    known: dict[str, Any] = msgspec.msgpack.decode(packed)
    comparison = known.get("comparison")
    if not comparison or FORMER.keys().isdisjoint(comparison):
        return packed
    known["comparison"] = {FORMER.get(name, name): value for name, value in comparison.items()}
    return _encode(known)


def _version_key(model: str, version: str) -> bytes:
    return _VERSION + model.encode() + _APART + version.encode()


def _pairs_key(model: str, kind: Kind) -> bytes:
    return _PAIRS + model.encode() + _APART + kind.encode() + _APART
