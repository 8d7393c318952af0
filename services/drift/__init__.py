"""Drift watches each camera online and reports what is wrong: faults, inputs, predictions, accuracy, labels."""

NAME = "drift"
READS = ("predictions", "outcomes", "dead-letters", "views")
WRITES = ("statistics", "drift.reports", "dead-letters", "heartbeats", "drift.state")
