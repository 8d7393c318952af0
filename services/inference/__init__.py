"""Inference classifies accepted frames with the champion and writes predictions; with `--shadow`, with the shadow."""

NAME = "inference"
SHADOW = "inference_shadow"  # the name of the second kind of process: its group, its transactions, its log
BATCHES = ("frames.accepted",)
READS = (*BATCHES, "models")
WRITES_AS = {"champion": ("predictions", "dead-letters"), "shadow": ("predictions.shadow",)}
WRITES = (*WRITES_AS["champion"], *WRITES_AS["shadow"], "heartbeats")
