"""Places in rows of models of up to eight classes, under names that tests of those alone use."""

from typing import Final

from services.drift.layout import layout_of

LAYOUT: Final = layout_of(8)
BUCKETS: Final = LAYOUT.buckets
ENTROPY: Final = LAYOUT.entropy
OUTPUTS: Final = LAYOUT.outputs
STREAM: Final = LAYOUT.stream
STREAMS: Final = LAYOUT.streams
FRAME_STREAMS: Final = LAYOUT.frame_streams
WEIGHTS: Final = LAYOUT.weights
FAMILIES: Final = LAYOUT.families
INPUT, TELEMETRY, PREDICTIONS, ACCURACY, FLOOR = FAMILIES
REFERENCE: Final = LAYOUT.reference
WATCH: Final = LAYOUT.watch
LEARNING: Final = LAYOUT.learning
WATCH_FIELDS: Final = (*LAYOUT.pieces[b"e"], *LAYOUT.pieces[b"w"])
