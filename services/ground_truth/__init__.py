"""Ground truth joins each label with the prediction that it is about, however late, early, often or changed."""

NAME = "ground_truth"
READS = ("predictions", "labels.accepted")
WRITES = ("outcomes", "labels.unmatched", "dead-letters", "ground_truth.state")
