"""Ingest checks frames and labels, measures frames, drops repeats and puts each camera on its partition."""

NAME = "ingest"
READS = ("frames", "frames.rekeyed", "labels")
WRITES = (
    "frames.rekeyed",
    "frames.accepted",
    "views",
    "frames.repeated",
    "labels.accepted",
    "dead-letters",
    "heartbeats",
    "ingest.state",
)
