"""Replay says what a model would have said of recorded frames, scored with the labels at their real delays.

A command that looks back and writes nothing (`catseye replay`), no process on the road of a frame: it meets nobody at
topics, and is the one that may import other services, since it runs their own cores.
"""

NAME = "replay"
READS: tuple[str, ...] = ()
WRITES: tuple[str, ...] = ()
TOPICS = ("frames.accepted", "predictions", "outcomes", "dead-letters")
