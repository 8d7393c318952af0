"""What follows from references, computed once and kept beside them until they change: how far apart samples are, what
means must not exceed, where each signal lies and the rank of each of its bins."""

from services.drift import reference, streams
from services.drift.rules import Rules
from services.drift.sample import Ints
from services.drift.table import Rows, Table


def normal(table: Table, rows: Ints, rules: Rules) -> Rows:
    """Rows of `layout.NORMAL`, of which those of *rows*, [n], are what their references say now."""
    kept = table.normal
    stale = rows[~kept["known"][rows]]
    if len(stale):
        known = table.reference
        pace = streams.paces(known, stale)
        kept["pace"][stale], kept["weight"][stale] = pace, streams.weights(pace)
        kept["bound"][stale] = streams.bounds(
            known, stale, pace, rank=rules.tolerance_rank, probability=rules.tolerance_probability
        )
        of_signals = (known[name][stale] for name in ("counts", "means", "m2"))
        kept["centre"][stale], kept["spread"][stale] = reference.scales(*of_signals)
        kept["ranks"][stale] = reference.ranks_of_bins(known["histogram"][stale])
        kept["known"][stale] = True
    return kept
