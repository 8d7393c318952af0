"""Rollout compares a candidate with the champion on the same frames, and promotes, rejects, rolls back or waits."""

NAME = "rollout"
READS = ("models", "outcomes.paired")
WRITES = ("models", "dead-letters", "rollout.state")
