"""Inference classifies accepted frames with the champion model and writes predictions."""

NAME = "inference"
READS = ("frames.accepted",)
WRITES = ("predictions", "dead-letters")
