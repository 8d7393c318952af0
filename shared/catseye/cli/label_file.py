"""Many labels from one file: a CSV with a head, a label a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from catseye.cli.common import FORMULA_BEGINS
from catseye.client import FrameId
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.names import boot_of, camera_of, label_of, name_of

_FRAME = "frame"
_PARTS = ("camera", "boot", "sequence")
_MORE = ("source", "propensity")
_HEAD = "frame,label or camera,boot,sequence,label, and source and propensity where wanted"


class Labelled(NamedTuple):
    """One line.

    Attributes:
        frame: What was labelled.
        label: Its class.
        source: Who labelled; None leaves it to the command.
        propensity: Chance with which the frame was chosen, over 0 to 1; None leaves it to the command.
    """

    frame: FrameId
    label: str
    source: str | None
    propensity: float | None


def read_labels(path: Path) -> list[Labelled]:
    """Every line of *path*, with commas, semicolons or tabs; nothing is to be sent of a file that has a wrong line.

    Raises:
        Misconfigured: the file cannot be read, or a line is wrong: which, and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise Misconfigured(f"{path} cannot be read: {fault}") from fault
    head, *_ = text.splitlines() or [""]
    delimiter = next((each for each in ("\t", ";") if each in head), ",")
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True)
    names = {name.strip() for name in rows.fieldnames or ()}
    if "label" not in names or not (_FRAME in names or names.issuperset(_PARTS)):
        raise Misconfigured(f"{path}: its first line must name the columns: {_HEAD}; it is {head[:80]!r}")
    if unknown := names - {_FRAME, "label", *_PARTS, *_MORE}:
        raise Misconfigured(f"{path}: there is no column {', '.join(sorted(unknown))}; columns are {_HEAD}")
    return list(_lines(path, rows))


def _lines(path: Path, rows: csv.DictReader[str]) -> Iterator[Labelled]:
    try:
        for row in rows:
            yield _labelled(row)
    except BadRecord as fault:
        raise Misconfigured(f"{path}, line {rows.line_num}: {fault.detail}; nothing was sent") from fault
    except (BadColumns, csv.Error) as fault:
        raise Misconfigured(f"{path}, line {rows.line_num}: {fault}; nothing was sent") from fault


class BadColumns(ValueError):
    """A line that does not fit under the head."""


def _labelled(cells: Mapping[str, str]) -> Labelled:
    """Raises `BadRecord` and `BadColumns`."""
    if None in cells or None in cells.values():
        raise BadColumns("it has more columns, or fewer, than the first line")
    row = {name.strip(): _as_it_was(value.strip()) for name, value in cells.items()}
    frame = row[_FRAME] if _FRAME in row else "/".join(row[part] for part in _PARTS)
    propensity = row.get("propensity") or None
    try:
        chance = None if propensity is None else float(propensity)
    except ValueError as fault:
        raise BadColumns(f"propensity {propensity!r} is no number") from fault
    return checked(frame, row["label"], row.get("source"), chance)


def checked(frame: str, label: str, source: str | None, propensity: float | None) -> Labelled:
    """A label as a file says it; empty or None is left to the command. Raises `BadRecord`."""
    name = FrameId.parse(frame)
    if propensity is not None and not 0 < propensity <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity {propensity:g} is not over 0 to 1")
    return Labelled(
        FrameId(camera_of(name.camera), boot_of(name.boot), name.sequence),
        label_of(label),
        name_of("source", source) if source else None,
        propensity,
    )


def _as_it_was(cell: str) -> str:
    """A cell without the apostrophe that `csv_text` puts before what a spreadsheet would take for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA_BEGINS else cell
