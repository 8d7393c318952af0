"""Trainer makes a model of the frames that were labelled since, and hands it in as a candidate or says why not."""

import catseye  # noqa: F401 - before onnxruntime: it must not telephone

NAME = "trainer"
READS = ("retraining", "alerts", "outcomes", "frames.accepted", "models")
WRITES = ("model.commands", "labels.suspects", "heartbeats")
