"""Lineage and model cards, made of the log."""
