"""What the rows of a camera hold: each column, and the module that alone changes it.

Axes have names here and no places yet: `services.drift.layout` gives them, some by how many classes are told apart.
"""

from typing import Final

from services.drift.columns import Axis, Field
from services.drift.signals import FEATURES

BETS: Final = 8
BINS: Final = 20
TELEMETRY_SLOTS: Final = 4
CONFIDENCE_BINS: Final = 16
"""Of -log10(1 - confidence), 0 to 4: most answers of a good model lie beyond 0.99."""
BLIND_TIMES: Final = 4
"""Times in which a camera saw nothing that are remembered, the newest first: labels come days later."""
LAGS: Final = (1, 4, 16)
BLOCKS: Final = (4, 16, 64)
MOST: Final = 60_000
"""Counts that are 16 bits wide end here."""

_PHASE, _CLASS, _LABEL, _RANKED, _OUTPUT, _VALUE, _CORRELATED, _STREAM, _FAMILY, _ALARM, _FAULT, _MISSED = (
    Axis(name, ())
    for name in (
        "phase",
        "class",
        "label",
        "ranked",
        "output",
        "value",
        "correlated",
        "stream",
        "family",
        "alarm",
        "fault",
        "missed",
    )
)

REFERENCE_FIELDS: Final = (
    Field("reference", "began_s", "u4", (_PHASE,)),
    Field("reference", "frames", "u4", (_PHASE,)),
    Field("reference", "closed", "u1", (_PHASE,)),
    Field("table", "telemetry", "S16", (TELEMETRY_SLOTS,)),
    Field("reference", "bits", "u2", (64,)),
    Field("reference", "bits_of", "u2"),
    Field("reference", "class_frames", "u2", (_PHASE, _CLASS)),
    Field("reference", "features", "f2", (_PHASE, _CLASS, FEATURES)),
    Field("reference", "features_m2", "f4", (_PHASE, FEATURES)),
    Field("reference", "counts", "u2", (_PHASE, _RANKED, _CLASS)),
    Field("reference", "means", "f4", (_PHASE, _RANKED, _CLASS)),
    Field("reference", "m2", "f4", (_PHASE, _RANKED)),
    Field("reference", "histogram", "u2", (_PHASE, _RANKED, BINS)),
    Field("reference", "output_mean", "f4", (_PHASE, _OUTPUT)),
    Field("reference", "output_m2", "f4", (_PHASE, _OUTPUT)),
    Field("decorrelation", "decorrelation_lag", "u2", (_CORRELATED,)),
    Field("decorrelation", "inflation", "f2", (_CORRELATED,)),
    Field("reference", "examples", "i8", (4,)),
    Field("late", "late", "u1", (_RANKED,)),
    Field("late", "late_began_s", "u4", (_PHASE,)),
    Field("outcomes", "labels_began_s", "u4", (_PHASE,)),
    Field("outcomes", "labels_closed", "u1", (_PHASE,)),
    Field("outcomes", "label_weights", "f4", (_PHASE, _LABEL)),
    Field("outcomes", "label_squares", "f4", (_PHASE, _LABEL)),
    Field("outcomes", "label_losses", "f4", (_PHASE, _LABEL)),
    Field("days", "day_lag", "u2"),
    Field("estimates", "confidence", "f4"),
    Field("estimates", "confidences", "u2", (CONFIDENCE_BINS,)),
)

ALARMED_FIELDS: Final = (
    Field("alarms", "evidence", "f4"),
    Field("alarms", "threshold", "f4"),
    Field("alarms", "stream", "u1"),
    Field("alarms", "estimate", "f4"),
    Field("alarms", "reference", "f4"),
    Field("alarms", "moved", "?"),
    Field("alarms", "detector", "u1"),
)
"""The numbers of an alarm of a family for as long as it lasts: how things were when it was raised."""

EVIDENCE_FIELDS: Final = (
    Field("streams", "evidence", "f4", (_STREAM, BETS)),
    Field("streams", "excess", "f4", (_STREAM,)),
    Field("streams", "family", "f4", (_FAMILY,)),
    Field("streams", "cusum", "f4", (_FAMILY,)),
    Field("streams", "since_ms", "i8", (_FAMILY,)),
    Field("streams", "run", "u4", (_FAMILY,)),
    Field("streams", "window", "u4", (_FAMILY,)),
    Field("alarms", "span", "u4", (_FAMILY,)),
    Field("alarms", "raised", "u1", (_ALARM,)),
    Field("alarms", "raised_since_ms", "i8", (_ALARM,)),
    Field("alarms", "raised_at_ms", "i8", (_ALARM,)),
    Field("alarms", "cause", "V16", (_ALARM,)),
    Field("alarms", "alarmed", ALARMED_FIELDS, (_FAMILY,)),
)
"""What moves with samples."""
SEEN_FIELDS: Final = (
    Field("watcher", "phase", "u1"),
    Field("watcher", "light", "f4"),
    Field("sampling", "tested", "u4"),
    Field("sampling", "labelled", "u4"),
    Field("arrivals", "seen_ms", "i8"),
    Field("arrivals", "label_seen_ms", "i8"),
    Field("arrivals", "gap_ms", "f4"),
    Field("arrivals", "gap_max_ms", "f4"),
    Field("arrivals", "every_ms", "f8"),
    Field("arrivals", "label_gap_max_ms", "f4"),
    Field("arrivals", "label_every_ms", "f8"),
    Field("outcomes", "propensity", "f4"),
    Field("arrivals", "frames", "u4"),
    Field("arrivals", "labels", "u4"),
    Field("fault_rules", "content", "i8"),
    Field("fault_rules", "contrast", "f4"),
    Field("fault_rules", "focus", "f4"),
    Field("fault_rules", "blur_run", "u1"),
    Field("fault_rules", "skew_ms", "f8"),
    Field("fault_rules", "skew_run_ms", "f8"),
    Field("sampling", "sampled_ms", "i8"),
    Field("core", "reported_ms", "i8"),
    Field("arrivals", "passed", "u1"),
    Field("fault_rules", "latency_ms", "f4"),
    Field("faults", "fault_run", "u1", (_FAULT,)),
    Field("faults", "fault_clear", "u1", (_FAULT,)),
    Field("faults", "fault_from_ms", "i8", (_FAULT,)),
    Field("alarms", "blind_from_s", "u4", (BLIND_TIMES,)),
    Field("alarms", "blind_until_s", "u4", (BLIND_TIMES,)),
    Field("absences", "dead", "f4"),
    Field("absences", "dead_at_ms", "i8"),
    Field("absences", "dead_reason", "u1"),
    Field("absences", "dead_votes", "u1"),
    Field("absences", "back_from_s", "u4", (_MISSED,)),
    Field("watcher", "offsets", "i8", (4,)),
    Field("sampling", "values", "f4", (_VALUE,)),
    Field("outcomes", "recent_labels", "f4"),
    Field("outcomes", "recent_errors", "f4"),
    Field("estimates", "recent_confidence", "f4"),
    Field("estimates", "recent_histogram", "f4", (CONFIDENCE_BINS,)),
    Field("estimates", "recent_variance", "f4"),
    Field("renewal", "version", "u8"),
    Field("renewal", "version_since_ms", "i8"),
    Field("watcher", "last_cause", "V16"),
)
"""What moves with every frame that is inspected."""
WATCH_FIELDS: Final = (*EVIDENCE_FIELDS, *SEEN_FIELDS)

LEARNING_FIELDS: Final = (
    Field("decorrelation", "count", "u2", (_CORRELATED,)),
    Field("decorrelation", "mean", "f4", (_CORRELATED,)),
    Field("decorrelation", "m2", "f4", (_CORRELATED,)),
    Field("decorrelation", "last", "f4", (_CORRELATED, len(LAGS))),
    Field("decorrelation", "products", "f4", (_CORRELATED, len(LAGS))),
    Field("decorrelation", "block", "f4", (_CORRELATED, len(BLOCKS))),
    Field("decorrelation", "squares", "f4", (_CORRELATED, len(BLOCKS))),
)
"""Autocorrelation so far; gone as soon as the first reference is whole."""

_SUMS: Final = (
    Field("days", "weights", "f4"),
    Field("days", "losses", "f4"),
    Field("days", "squares", "f4"),
    Field("days", "days", "f4"),
)
DAYS_FIELDS: Final = (
    Field("days", "day", "u4"),
    Field("days", "today", _SUMS, (_PHASE,)),
    Field("days", "recent", _SUMS, (_PHASE,)),
    Field("days", "usual", _SUMS, (_PHASE,)),
    Field("days", "recent_whole", _SUMS),
    Field("days", "usual_whole", _SUMS),
    Field("days", "day_inflation", "f4"),
    Field("days", "day_spread", "f4"),
)
"""Labels by the day; of a camera without labels nothing is written."""
