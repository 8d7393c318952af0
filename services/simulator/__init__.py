"""Simulator plays a seeded road of cameras with late labels; it speaks only what a publisher speaks."""

NAME = "simulator"
READS: tuple[str, ...] = ()
WRITES = ("frames", "labels")
