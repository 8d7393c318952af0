"""What a packed row holds: fields, whose it is to change each, and what the places along their axes are called."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np


class Axis(NamedTuple):
    """An axis of a field.

    Attributes:
        name: What its places are.
        places: What each is called, in their order.
    """

    name: str
    places: tuple[str, ...]


class Field(NamedTuple):
    """A field of a row.

    Attributes:
        owner: Module of this package that alone changes it.
        name: Of the field.
        kind: Of its numbers: numpy's code, or fields of each place.
        axes: Its axes; one whose places have no names is how many there are.
    """

    owner: str
    name: str
    kind: str | tuple["Field", ...]
    axes: tuple[Axis | int, ...] = ()


Fields = Sequence[Field]


def row_of(fields: Fields) -> np.dtype[Any]:
    """Type of a packed row."""
    return np.dtype([(field.name, _kind(field), _shape(field)) for field in fields])


def _kind(field: Field) -> Any:
    return field.kind if isinstance(field.kind, str) else row_of(field.kind)


def _shape(field: Field) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else len(axis.places) for axis in field.axes)


Described = list[Any]
"""Fields as JSON holds them: name, kind and axes of each, an axis being its places or how many there are."""
EMPTY: Final[Described] = []


def described(fields: Fields) -> Described:
    """What a later version must know of rows that this one wrote."""
    return [
        [
            field.name,
            field.kind if isinstance(field.kind, str) else described(field.kind),
            [axis if isinstance(axis, int) else list(axis.places) for axis in field.axes],
        ]
        for field in fields
    ]


def fields_of(description: Described) -> list[Field]:
    """Fields that `described` gave; nobody owns them."""
    return [
        Field(
            "",
            name,
            kind if isinstance(kind, str) else tuple(fields_of(kind)),
            tuple(axis if isinstance(axis, int) else Axis("", tuple(axis)) for axis in axes),
        )
        for name, kind, axes in description
    ]
