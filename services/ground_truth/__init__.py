"""Ground truth joins each label with the prediction that it is about, however late, early, often or changed."""

NAME = "ground_truth"
READS = ("predictions", "predictions.shadow", "labels.accepted")
WRITES = ("outcomes", "outcomes.paired", "labels.unmatched", "dead-letters", "heartbeats", "ground_truth.state")
