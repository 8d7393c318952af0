"""Gateway is the door for browsers and scripts: HTTP to topics, the read model to pages and live events."""

NAME = "gateway"
READS = ("predictions", "dead-letters", "frames.accepted")
WRITES = (
    "frames",
    "labels",
    "labels.answers",
    "labels.suspects",
    "alert.commands",
    "model.commands",
    "training.requests",
    "heartbeats",
)
