"""Rows of an older layout come out in today's with all that was stored, each number where its name is."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catseye.runtime.state_rows import RowCopy

KINDS = ("u1", "u2", "i8", "f2", "f4", "f8", "?", "S3", "V4")
WIDER = {"u1": "u4", "u2": "i4", "f2": "f8", "f4": "f8", "?": "u1", "S3": "S5"}
Field = tuple[str, Any, tuple[int, ...]]


@st.composite
def layouts(draw: st.DrawFn, depth: int = 1) -> list[Field]:
    """Fields, some with axes, one of them perhaps with fields of its own."""
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
    fields: list[Field] = []
    for name in names:
        nested = depth > 0 and draw(st.integers(0, 4)) == 0
        kind = draw(layouts(depth - 1)) if nested else draw(st.sampled_from(KINDS))
        fields.append((name, kind, tuple(draw(st.lists(st.integers(1, 3), max_size=2)))))
    return fields


def dtype(fields: list[Field]) -> "np.dtype[Any]":
    """As numpy has it."""
    return np.dtype([(name, dtype(kind) if isinstance(kind, list) else kind, shape) for name, kind, shape in fields])


@st.composite
def upgrades(draw: st.DrawFn, fields: list[Field], axes: dict[str, Any], within: str = "") -> list[Field]:
    """The same fields in a later version: some gone, some new, in another order, wider, longer, with places moved."""
    later: list[Field] = []
    for name, kind, shape in fields:
        if draw(st.integers(0, 5)) == 0:
            continue
        path, sizes = f"{within}{name}", list[int]()
        names: list[tuple[list[str], list[str]] | None] = []
        for size in shape:
            before = [f"place {place}" for place in range(size)]
            if draw(st.booleans()):
                now = draw(
                    st.permutations(draw(st.lists(st.sampled_from([*before, "new", "newer"]), min_size=1, unique=True)))
                )
                names.append((before, now))
                sizes.append(len(now))
            else:
                names.append(None)
                sizes.append(size + draw(st.integers(0, 2)))
        axes[path] = names
        if isinstance(kind, list):
            its = draw(upgrades(kind, axes, f"{path}.")) or [("z", "u1", ())]
            later.append((name, its, tuple(sizes)))
        else:
            later.append((name, WIDER.get(kind, kind) if draw(st.booleans()) else kind, tuple(sizes)))
    return draw(st.permutations([*later, ("new", "f4", (2,))]))


def by_name(row: Any, axes: dict[str, Any], now: bool, within: str = "") -> dict[str, Any]:
    """Every number of a row by the names of its field and places."""
    found: dict[str, Any] = {}
    for name in row.dtype.names:
        path, value = f"{within}{name}", np.asarray(row[name])
        if value.dtype.names and value.ndim == 0:
            found |= by_name(value, axes, now, f"{path}.")
            continue
        shape = value.shape
        for place in np.ndindex(*shape):
            called = path
            for axis, at in enumerate(place):
                names = axes[path][axis] if axis < len(axes.get(path, ())) else None
                called += f"[{at if names is None else names[now][at]}]"
            element = value[place]
            if element.dtype.names:
                nested = by_name(element, axes, now, f"{path}.")
                found |= {f"{called}:{each}": number for each, number in nested.items()}
            else:
                found[called] = element.item()
    return found


@given(st.data(), layouts())
def test_every_number_is_found_under_its_name_again(data: st.DataObject, fields: list[Field]) -> None:
    """Where it has one still; and what is new is as in the default row."""
    axes: dict[str, Any] = {}
    later = data.draw(upgrades(fields, axes), "later")
    stored, today = dtype(fields), dtype(later)
    chance = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    rows = np.zeros(3, stored)
    default = np.zeros((), today)
    for filled in (rows, default.reshape(1)):
        _fill(filled, chance)
    copies = RowCopy(stored, today, axes, default)
    found = copies(rows)
    for row, copy in zip(rows, found, strict=True):
        before, now, usual = by_name(row, axes, False), by_name(copy, axes, True), by_name(default, axes, True)
        assert now == {name: _as_held(before.get(name, usual[name]), usual[name]) for name in now}
    assert copies.row(rows[1].tobytes()) == found[1].tobytes()


def _fill(filled: "np.ndarray[Any, Any]", chance: np.random.Generator) -> None:
    for name in filled.dtype.names or ():
        if filled[name].dtype.names:
            _fill(filled[name], chance)
        elif filled[name].dtype.kind in "SV":
            letters = chance.integers(65, 90, filled[name].nbytes, np.uint8).tobytes()
            filled[name] = np.frombuffer(letters, filled[name].dtype).reshape(filled[name].shape)
        else:
            filled[name] = chance.integers(0, 2 if filled[name].dtype.kind == "b" else 100, filled[name].shape)


def _as_held(value: Any, like: Any) -> Any:
    """A truth that is a number today."""
    return type(like)(value) if isinstance(value, bool) else value


@pytest.mark.parametrize(
    ("stored", "today", "axes", "fault"),
    [
        ([("a", "f4", 3)], [("a", "f4", 2)], {}, "a had 3 places along axis 0 and has 2"),
        ([("a", "f4", 3)], [("a", "f4", (3, 1))], {}, "a had 1 axes and has 2"),
        ([("a", "u4")], [("a", "u2")], {}, "a held uint32 and holds uint16"),
        ([("a", "i8")], [("a", "f4")], {}, "a held int64 and holds float32"),
        ([("a", "u1", 2)], [("a", "u1", 2)], {"a": [(["x"], ["x", "y"])]}, "each needs a name of its own"),
        ([("a", "u1", 2)], [("a", "u1", 2)], {"a": [(["x", "x"], ["x", "y"])]}, "each needs a name of its own"),
        ([("a", "u1", 2)], [("a", "u1", 2)], {"a": [None, None]}, "2 are named"),
        ([("a", [("b", "u1")])], [("a", "u1")], {}, "a. has fields in one layout and none in the other"),
    ],
)
def test_what_would_be_lost_is_refused(stored: Any, today: Any, axes: Any, fault: str) -> None:
    """When the layouts are compared, before any row comes."""
    with pytest.raises(ValueError, match=fault):
        RowCopy(np.dtype(stored), np.dtype(today), axes)


def test_rows_of_a_third_layout_are_refused() -> None:
    """Their bytes would be taken for something else."""
    one = np.dtype([("a", "u1")])
    with pytest.raises(ValueError, match="another layout"):
        RowCopy(one, one)(np.zeros(1, [("b", "u1")]))
