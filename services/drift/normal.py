"""What follows from references, computed once and kept beside them until they change: how far apart samples are, what
means must not exceed, where each signal lies and the rank of each of its bins."""

import numpy as np

from services.drift import late, reference, streams
from services.drift.layout import OPTIONAL
from services.drift.rules import Rules
from services.drift.sample import Ints
from services.drift.table import Rows, Table


def normal(table: Table, rows: Ints, rules: Rules) -> Rows:
    """Rows of `Layout.normal`, of which those of *rows*, [n], are up to date with their references."""
    kept = table.normal
    stale = rows[~kept["known"][rows]]
    if len(stale):
        known = table.reference
        lag = streams.lags(known, stale)
        kept["decorrelation_lag"][stale], kept["weight"][stale] = (
            lag,
            streams.weights(table.layout, lag, known["decorrelation_lag"][stale]),
        )
        kept["bound"][stale] = streams.bounds(
            known, stale, lag, rank=rules.tolerance_rank, probability=rules.tolerance_probability
        )
        of_signals = (known[name][stale] for name in ("counts", "means", "m2"))
        kept["centre"][stale], kept["spread"][stale] = reference.scales(*of_signals)
        ranks, unknown = reference.ranks_of_bins(known["histogram"][stale]), late.unknown(known, stale)
        ranks[:, :, OPTIONAL] = np.where(unknown[..., None], np.nan, ranks[:, :, OPTIONAL])
        kept["ranks"][stale], kept["unknown"][stale] = ranks, unknown
        kept["known"][stale] = True
    return kept
