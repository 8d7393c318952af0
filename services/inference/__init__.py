"""Inference classifies accepted frames with the champion model and writes predictions."""

NAME = "inference"
BATCHES = ("frames.accepted",)
READS = (*BATCHES, "models")
WRITES = ("predictions", "dead-letters")
