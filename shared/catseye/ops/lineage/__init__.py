"""Lineage: from a prediction back to its frame, its model, the decision, the alerts and the training frames behind it,
and from a data set forward to the predictions that it influenced.

`manifest` and `history` are pure and relate events; `log_reader` reads the topics, `index` keeps where predictions lie.
"""
