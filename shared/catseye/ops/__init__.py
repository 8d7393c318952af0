"""What people ask of the past: lineage and model cards."""
