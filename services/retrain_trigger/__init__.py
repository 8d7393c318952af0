"""The retrain trigger decides when a model is to be trained anew, and gives the reason, also of a refusal."""

NAME = "retrain_trigger"
READS = ("alerts", "outcomes", "models", "training.requests", "retraining")
WRITES = ("retraining", "dead-letters", "heartbeats", "retrain_trigger.state")
