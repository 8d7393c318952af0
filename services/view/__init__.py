"""View keeps the read model in Redis: what pages show of cameras, alerts, models and refused records."""

NAME = "view"
READS = (
    "frames.accepted",
    "predictions",
    "outcomes.paired",
    "statistics",
    "drift.reports",
    "alerts",
    "retraining",
    "models",
    "dead-letters",
    "frames.repeated",
    "labels.unmatched",
    "outcomes",
    "vehicles.counts",
    "labels.answers",
    "labels.suspects",
    "heartbeats",
)
WRITES = ("heartbeats",)
