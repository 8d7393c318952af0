"""A signal that came after a camera's reference was whole: it learns its own, while all others go on as they were.

Frames that were written before a signal was measured lack it. Once they carry it, its scale comes from as many samples
as a quarter of a reference, its histogram from twice as many, which cover the time that a reference covers; until then
it has no ranks and no share in its family's evidence.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift import decorrelation, reference
from services.drift.layout import OPTIONAL, PHASES, RANKED
from services.drift.rules import Rules
from services.drift.sample import Floats, Frames, Ints
from services.drift.table import Table

_BITS: Final = 1 << np.arange(PHASES)
"""Of a signal that learns late: one for each phase in which it does."""


def unknown(known: NDArray[Any], rows: Ints) -> NDArray[np.bool_]:
    """Optional signals that a whole reference knows nothing of, or not yet enough, [n, PHASES, optional signals].

    Args:
        known: References of the table.
    """
    slow = known["decorrelation_lag"][rows][:, None, OPTIONAL] == 0
    empty = ~known["histogram"][rows][:, :, OPTIONAL].any(axis=-1)
    learns = (known["late"][rows][:, None, OPTIONAL] & _BITS[:, None]) > 0
    whole = known["closed"][rows].astype(bool)[..., None]
    return np.asarray(whole & (slow | empty | learns))


def learn(table: Table, seen: Frames, phase: Ints, missing: NDArray[np.bool_], rules: Rules) -> None:
    """Take one more sample of each camera.

    Args:
        table: References and what is measured while learning, of the rows of *seen*, were touched.
        seen: The frames.
        phase: [n].
        missing: Which optional signals are unknown and have a value, [n, optional signals].
        rules: What the operator decided.
    """
    known, rows = table.reference, seen.rows
    _begin(known, seen, phase, missing)
    part = reference.quarter(rules.reference_samples)
    scaling = missing & (known["counts"][rows, phase][:, OPTIONAL].sum(axis=-1) < part)
    reference.learn_scale(known, rows, phase, seen.bucket, _only(seen.ranked, scaling))
    values = _only(reference.scaled(known, phase, seen, seen.ranked), missing & ~scaling)
    measured = np.where(
        known["decorrelation_lag"][rows, :RANKED] == 0, np.clip(values, -reference.EDGE, reference.EDGE), np.nan
    )
    decorrelation.measure(table.learning, rows, slice(0, RANKED), measured.astype(np.float32))
    reference.count(known, rows, phase, values)
    filled = known["histogram"][rows, phase][:, OPTIONAL].sum(axis=-1) >= 2 * part
    covered = seen.at_ms - 1_000 * known["late_began_s"][rows, phase].astype(np.int64) >= rules.reference_span_ms
    for place, number in zip(*(each.tolist() for each in np.nonzero(missing & filled & covered[:, None])), strict=True):
        row, signal = int(rows[place]), OPTIONAL[number]
        if not known["decorrelation_lag"][row, signal]:
            decorrelation.keep(known, table.learning, row, slice(signal, signal + 1))
        known["late"][row, signal] &= ~_BITS[phase[place]]


def _begin(known: NDArray[Any], seen: Frames, phase: Ints, missing: NDArray[np.bool_]) -> None:
    """Note where a signal comes for the first time; all that learn in a phase cover the time from the last one on."""
    learns = known["late"][seen.rows][:, OPTIONAL] & _BITS[phase][:, None]
    for place, number in zip(*(each.tolist() for each in np.nonzero(missing & (learns == 0))), strict=True):
        row, its_phase, signal = int(seen.rows[place]), int(phase[place]), OPTIONAL[number]
        reference.forget_signal(known, row, its_phase, signal)
        known["late"][row, signal] |= _BITS[its_phase]
        known["late_began_s"][row, its_phase] = seen.at_ms[place] // 1_000


def _only(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Of ranked signals, [n, RANKED], the optional ones in *chosen*; NaN elsewhere."""
    found = np.full_like(values, np.nan)
    found[:, OPTIONAL] = np.where(chosen, values[:, OPTIONAL], np.nan)
    return found
