"""The retrain trigger decides when a model is to be trained anew, and says why, also when it says no."""

NAME = "retrain_trigger"
READS = ("alerts", "outcomes", "models", "training.requests", "retraining")
WRITES = ("retraining", "dead-letters", "retrain_trigger.state")
