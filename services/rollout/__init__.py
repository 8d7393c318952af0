"""Rollout compares a candidate with the champion on the same frames, and promotes, rejects, rolls back or waits."""

NAME = "rollout"
BATCHES = ("model.commands", "outcomes.paired")
READS = (*BATCHES, "models")
WRITES = ("models", "dead-letters", "heartbeats", "rollout.state")
