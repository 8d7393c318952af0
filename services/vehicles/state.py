"""What is known of vehicles: those whose pictures still come and, while labels may come, those that are complete; and
labels that were read before any picture of their vehicle.

A key on the state topic is a letter, then camera, boot and track with zero bytes between them, which no name has.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec.msgpack import Decoder

from catseye.runtime.state_format import Format
from catseye.runtime.stream import KeyedState

_OPEN: Final = b"o"
_COMPLETE: Final = b"c"
_COUNTS: Final = b"n"
_AHEAD: Final = b"a"
_HOUR_MS: Final = 3_600_000


class Labelled(msgspec.Struct, array_like=True, frozen=True):
    """What the label that holds says: the class (None was taken back), when it was made, by whom, how it was chosen."""

    label: str | None
    labelled_at_ms: int
    received_at_ms: int
    source: str
    propensity: float


class Open(msgspec.Struct, array_like=True, frozen=True):
    """A vehicle whose pictures still come.

    Attributes:
        received_at_ms: When ingest took the first.
        touched_ms: Our clock when the last came.
        model, version: Of the last.
        logs: Sum of the logarithms of the probability of each class.
        views: (sequence, captured_at_ms, box) of each picture.
        first_seen_ms, last_seen_ms: As the publisher says, or as the pictures were taken.
        direction, line: As the publisher says.
        labelled: What a label said that was faster.
    """

    received_at_ms: int
    touched_ms: int
    model: str
    version: str
    logs: dict[str, float]
    views: tuple[tuple[int, int, tuple[float, ...]], ...]
    first_seen_ms: int
    last_seen_ms: int
    direction: str | None = None
    line: str | None = None
    labelled: Labelled | None = None


class Ahead(msgspec.Struct, array_like=True, frozen=True):
    """A label that waits for the first picture of its vehicle.

    Attributes:
        touched_ms: Our clock when the last label of the vehicle was read.
        labelled: What the label that was made last says.
    """

    touched_ms: int
    labelled: Labelled


class Complete(msgspec.Struct, array_like=True, frozen=True):
    """A vehicle of which there is a record, and what its label says.

    Attributes:
        labelled: What the label that holds says, or that one was taken back.
        has_outcome: Whether there is an outcome of it. Format 1 did not say: there was one where there was a label.
    """

    received_at_ms: int
    model: str
    version: str
    label: str
    confidence: float
    labelled: Labelled | None = None
    has_outcome: bool = False


class Counts(msgspec.Struct, array_like=True, frozen=True):
    """Vehicles of a camera that were not counted on the topic yet.

    Attributes:
        since_ms: Our clock when the first of them was complete.
        vehicles: How many, by minute, class, direction and line.
    """

    since_ms: int
    vehicles: tuple[tuple[int, str, str | None, str | None, int], ...]


Value = Open | Complete | Counts | Ahead


def _format(what: str, *readers: Callable[[bytes], Value]) -> Format[Value]:
    return Format("vehicles", what, write=msgspec.msgpack.encode, readers=dict(enumerate(readers, 1)))


def _complete_1(body: bytes) -> Complete:
    found = msgspec.msgpack.decode(body, type=Complete)
    return msgspec.structs.replace(found, has_outcome=found.labelled is not None)


FORMATS: Final = {
    _OPEN: _format("a vehicle whose pictures still come", Decoder(Open).decode),
    _COMPLETE: _format("a vehicle that is complete", _complete_1, Decoder(Complete).decode),
    _COUNTS: _format("counts of a camera", Decoder(Counts).decode),
    _AHEAD: _format("a label that waits for its vehicle", Decoder(Ahead).decode),
}
"""By the first byte of the key."""


def vehicle_key(camera: str, boot: str, track: str) -> bytes:
    """Key of a vehicle, without the letter."""
    return "\0".join((camera, boot, track)).encode()


def names_of(key: bytes) -> tuple[str, str, str]:
    """Camera, boot and track of a key."""
    camera, boot, track = key.decode().split("\0")
    return camera, boot, track


class VehiclesState(KeyedState):
    """State of vehicles for one partition; satisfies `catseye.runtime.stream.State`."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[bytes, dict[bytes, None]] = {_OPEN: {}, _COUNTS: {}, _AHEAD: {}}
        self._by_hour: dict[int, dict[bytes, None]] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """As `KeyedState.put`; what waits, and what will be forgotten, is found again."""
        before = self.get(key)
        super().put(key, value)
        self._note(key, before, value)

    def _set(self, key: bytes, value: bytes | None) -> None:
        before = self.get(key)
        super()._set(key, value)
        self._note(key, before, value)

    def _note(self, key: bytes, before: bytes | None, value: bytes | None) -> None:
        letter, name = key[:1], key[1:]
        if letter != _COMPLETE:
            self._waiting[letter].pop(name, None)
            if value is not None:
                self._waiting[letter][name] = None  # last of all, as it lies on the log
            return
        if before is not None:
            hour = _hour_of(before)
            names = self._by_hour.get(hour, {})
            names.pop(name, None)
            if not names:
                self._by_hour.pop(hour, None)
        if value is not None:
            self._by_hour.setdefault(_hour_of(value), {})[name] = None

    def open(self, name: bytes) -> Open | None:
        """A vehicle whose pictures still come."""
        found = self._read(_OPEN + name)
        return found if isinstance(found, Open) else None

    def complete(self, name: bytes) -> Complete | None:
        """One that is complete."""
        found = self._read(_COMPLETE + name)
        return found if isinstance(found, Complete) else None

    def all_open(self) -> Iterator[tuple[bytes, Open]]:
        """All whose pictures still come."""
        for name in [*self._waiting[_OPEN]]:
            found = self.open(name)
            assert found is not None  # `_note` sees every change, and who asks ends only the one that was given
            yield name, found

    def counts(self, camera: str) -> Counts | None:
        """What of a camera is not counted on the topic yet."""
        found = self._read(_COUNTS + camera.encode())
        return found if isinstance(found, Counts) else None

    def all_counts(self) -> Iterator[tuple[str, Counts]]:
        """The same of all cameras of which there is any."""
        for name in [*self._waiting[_COUNTS]]:
            found = self.counts(name.decode())
            assert found is not None  # as above
            yield name.decode(), found

    def ahead(self, name: bytes) -> Ahead | None:
        """The label that waits for a vehicle."""
        found = self._read(_AHEAD + name)
        return found if isinstance(found, Ahead) else None

    def oldest_ahead(self) -> tuple[bytes, Ahead] | None:
        """The label that waits and was read first."""
        for name in self._waiting[_AHEAD]:
            found = self.ahead(name)
            assert found is not None  # as above
            return name, found
        return None

    @property
    def count_ahead(self) -> int:
        """How many labels wait."""
        return len(self._waiting[_AHEAD])

    def keep_ahead(self, name: bytes, label: Ahead | None) -> None:
        """Wait for the vehicle of a label; None: no more."""
        if label is None:
            self.put(_AHEAD + name, None)
        else:
            self._write(_AHEAD + name, label)

    def keep_open(self, name: bytes, vehicle: Open) -> None:
        """Wait for more pictures."""
        self._write(_OPEN + name, vehicle)

    def keep_complete(self, name: bytes, vehicle: Complete) -> None:
        """Wait for labels."""
        if self.get(_OPEN + name) is not None:
            self.put(_OPEN + name, None)
        self._write(_COMPLETE + name, vehicle)

    def keep_counts(self, camera: str, counts: Counts | None) -> None:
        """Count on the topic later; None: that was done."""
        if counts is None:
            self.put(_COUNTS + camera.encode(), None)
        else:
            self._write(_COUNTS + camera.encode(), counts)

    def forget(self, before_ms: int, most: int) -> int:
        """Forget complete vehicles that came before then, to the hour, at most *most*. Returns how many."""
        gone = 0
        while self._by_hour and gone < most:
            hour = min(self._by_hour)
            if (hour + 1) * _HOUR_MS > before_ms:
                break
            for name in [*self._by_hour[hour]][: most - gone]:
                self.put(_COMPLETE + name, None)
                gone += 1
        return gone

    def restore(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            FORMATS[key[:1]].check(value)
        super().restore(key, value)

    def _read(self, key: bytes) -> Value | None:
        value = self.get(key)
        return None if value is None else FORMATS[key[:1]].read(value)

    def _write(self, key: bytes, value: Value) -> None:
        self.put(key, FORMATS[key[:1]].write(value))


def _hour_of(value: bytes) -> int:
    found = FORMATS[_COMPLETE].read(value)
    assert isinstance(found, Complete)
    return found.received_at_ms // _HOUR_MS
