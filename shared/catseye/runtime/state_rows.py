"""Structured rows of numpy from one layout into another, by the names of fields and of places along their axes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DType = np.dtype[Any]
Names = tuple[Sequence[str], Sequence[str]]
"""What the places along an axis are called in the stored layout, and in today's."""
Axes = Mapping[str, Sequence[Names | None]]


class _Move(NamedTuple):
    """Numbers of one kind that go to places of one kind; offsets in a row, [n]."""

    kind: DType
    offsets: NDArray[np.int64]
    to_kind: DType
    to_offsets: NDArray[np.int64]


class RowCopy:
    """Copies rows of a stored layout into rows of today's.

    A field goes to the field of its name. Along an axis with names each place goes to the place of its name, wherever
    that is; what has no name today is left out. Along one without names places stay, and there may be more of them
    today. Whatever nothing goes to is as in *default*. What goes where is found out once.

    Args:
        stored: Layout of the rows that come.
        today: Layout of those that are made.
        axes: Of fields, named with dots where they lie in a field (``alarmed.evidence``): names along the first axes;
            None for one whose places stay.
        default: One row, [], of *today*; zeros by default.

    Raises:
        ValueError: a field has fewer places than were stored along an axis without names, other axes, or numbers that
            cannot hold those stored; names do not fit an axis. What was stored would be lost or change.
    """

    def __init__(
        self, stored: DType, today: DType, axes: Axes | None = None, default: NDArray[Any] | None = None
    ) -> None:
        self.stored = stored
        self.today = today
        self._default = np.zeros((), today) if default is None else default.astype(today)
        moves: dict[tuple[DType, DType], list[_Move]] = {}
        for move in _moves(stored, today, axes or {}):
            moves.setdefault((move.kind, move.to_kind), []).append(move)
        self._casts = [
            (
                kind,
                _places_of_bytes(np.concatenate([move.offsets for move in each]), kind),
                to_kind,
                _places_of_bytes(np.concatenate([move.to_offsets for move in each]), to_kind),
            )
            for (kind, to_kind), each in moves.items()
        ]

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of today's layout, [n], from stored ones, [n]."""
        if rows.dtype != self.stored:
            raise ValueError("these rows have another layout than the one that was stored")
        source = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), self.stored.itemsize)
        found = np.empty(len(rows), self.today)
        found[:] = self._default
        target = found.view(np.uint8).reshape(len(rows), self.today.itemsize)
        for kind, places, to_kind, to_places in self._casts:
            taken = source[:, places]
            if kind != to_kind:
                taken = np.ascontiguousarray(taken).view(kind).astype(to_kind).view(np.uint8)
            target[:, to_places] = taken
        return found

    def row(self, value: bytes) -> bytes:
        """Bytes of one row of today's layout, from those of a stored one."""
        return self(np.frombuffer(value, self.stored)).tobytes()


def _places_of_bytes(offsets: NDArray[np.int64], kind: DType) -> NDArray[np.int64]:
    """Places of all bytes of numbers of a kind that lie at *offsets*."""
    return (offsets[:, None] + np.arange(kind.itemsize)).reshape(-1)


def _moves(stored: DType, today: DType, axes: Axes, within: str = "", at: int = 0, to_at: int = 0) -> Iterator[_Move]:
    """What of one row goes where; a row that lies in a row begins *at* there, and goes *to_at*."""
    if stored.fields is None or today.fields is None:
        raise ValueError(f"{within or 'a row'} has fields in one layout and none in the other")
    for name in today.names or ():
        if name not in stored.fields:
            continue
        path = f"{within}{name}"
        (field, start), (to_field, to_start) = stored.fields[name][:2], today.fields[name][:2]
        places, to_places = _places(path, field.shape, to_field.shape, axes.get(path, ()))
        kind, to_kind = field.base, to_field.base
        offsets = at + start + places * kind.itemsize
        to_offsets = to_at + to_start + to_places * to_kind.itemsize
        if kind.names or to_kind.names:
            for offset, to_offset in zip(offsets.tolist(), to_offsets.tolist(), strict=True):
                yield from _moves(kind, to_kind, axes, f"{path}.", offset, to_offset)
        elif np.can_cast(kind, to_kind, "safe") or kind.kind == to_kind.kind == "f":
            yield _Move(kind, offsets, to_kind, to_offsets)
        else:
            raise ValueError(f"{path} held {kind} and holds {to_kind}")


def _places(
    path: str, had: Sequence[int], has: Sequence[int], named: Sequence[Names | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the places of a field that are taken, and of those that they go to, both counted along all axes."""
    if len(had) != len(has) or len(named) > len(had):
        raise ValueError(f"{path} had {len(had)} axes and has {len(has)}; {len(named)} are named")
    along, to_along = [], []
    for axis, (before, now) in enumerate(zip(had, has, strict=True)):
        names = named[axis] if axis < len(named) else None
        if names is None and now < before:
            raise ValueError(f"{path} had {before} places along axis {axis} and has {now}: say what they are called")
        kept = (
            [(place, place) for place in range(before)] if names is None else _by_name(path, axis, before, now, names)
        )
        along.append([place for place, _ in kept])
        to_along.append([place for _, place in kept])
    return _counted(along, had), _counted(to_along, has)


def _by_name(path: str, axis: int, had: int, has: int, names: Names) -> list[tuple[int, int]]:
    before, now = names
    if (len(set(before)), len(set(now))) != (had, has):
        raise ValueError(f"{path} had {had} places along axis {axis} and has {has}: each needs a name of its own")
    to_place = {name: place for place, name in enumerate(now)}
    return [(place, to_place[name]) for place, name in enumerate(before) if name in to_place]


def _counted(along: Sequence[Sequence[int]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Places, given along each axis, counted through all."""
    counted = np.zeros(1, np.int64)
    for places, size in zip(along, sizes, strict=True):
        counted = (counted[:, None] * size + np.array(places, np.int64)).reshape(-1)
    return counted
