"""What a packed row holds: fields, whose it is to change each, and what the places along their axes are called."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from catseye.runtime.state_rows import Names, RowCopy


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
FORMER: Final[Mapping[str, str]] = {
    "pace": "decorrelation_lag",
    "said_mean": "output_mean",
    "said_m2": "output_m2",
    "told_ms": "reported_ms",
}
"""What fields are called today, by the names that rows on the log may still have."""


def row_of(fields: Fields) -> np.dtype[Any]:
    """Type of a packed row."""
    return np.dtype([(field.name, _kind(field), _shape(field)) for field in fields])


def _kind(field: Field) -> Any:
    return field.kind if isinstance(field.kind, str) else row_of(field.kind)


def _shape(field: Field) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else len(axis.places) for axis in field.axes)


def places_given(fields: Fields, places: Mapping[str, tuple[str, ...]]) -> tuple[Field, ...]:
    """*fields* whose axes with a name have the *places* of that name."""
    return tuple(
        field._replace(
            kind=field.kind if isinstance(field.kind, str) else places_given(field.kind, places),
            axes=tuple(axis if isinstance(axis, int) else Axis(axis.name, places[axis.name]) for axis in field.axes),
        )
        for field in fields
    )


def text_of(fields: Fields) -> str:
    """Fields as later versions read them: ``began_s u4[phase], alarmed (evidence f4, moved ?)[family]``."""
    return ", ".join(
        f"{field.name} {field.kind if isinstance(field.kind, str) else f'({text_of(field.kind)})'}"
        + "".join(f"[{axis if isinstance(axis, int) else axis.name}]" for axis in field.axes)
        for field in fields
    )


def axes_of(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Places of each axis that has names, by the axis's own."""
    found: dict[str, tuple[str, ...]] = {}
    for field in fields:
        found |= {axis.name: axis.places for axis in field.axes if not isinstance(axis, int)}
        if not isinstance(field.kind, str):
            found |= axes_of(field.kind)
    return found


def fields_of(text: str, axes: Mapping[str, Sequence[str]]) -> tuple[Field, ...]:
    """Fields that `text_of` wrote, under their names of today; nobody owns them here.

    Args:
        axes: Places of each axis that has names.
    """
    found = []
    for name, within, kind, sizes in _FIELD.findall(text):
        along = tuple(
            int(size) if size.isdigit() else Axis(size, tuple(axes[size])) for size in re.findall(r"\[(\w+)\]", sizes)
        )
        found.append(Field("", FORMER.get(name, name), fields_of(within, axes) if within else kind, along))
    return tuple(found)


_FIELD: Final = re.compile(r"(\w+) (?:\(([^()]*)\)|([\w?]+))((?:\[\w+\])*)")


def copy(stored: Fields, today: Fields) -> RowCopy:
    """What brings rows of *stored* fields into rows of *today's*: by name, along named axes too."""
    return RowCopy(row_of(stored), row_of(today), _names(stored, {field.name: field for field in today}))


def _names(stored: Fields, today: Mapping[str, Field], within: str = "") -> dict[str, list[Names | None]]:
    found: dict[str, list[Names | None]] = {}
    for field in stored:
        now = today.get(field.name)
        if now is None:
            continue
        found[within + field.name] = [
            None if isinstance(had, int) or isinstance(has, int) else (had.places, has.places)
            for had, has in zip(field.axes, now.axes, strict=True)
        ]
        if not isinstance(field.kind, str) and not isinstance(now.kind, str):
            of_now = {each.name: each for each in now.kind}
            found |= _names(field.kind, of_now, f"{within}{field.name}.")
    return found
