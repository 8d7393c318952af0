"""Makes a model of labelled frames: fits, calibrates, exports it and proves what it exported."""

READS: tuple[str, ...] = ()
WRITES: tuple[str, ...] = ()
