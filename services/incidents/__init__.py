"""Incidents turns what is wrong with each camera into alerts: one a cause, explained, grouped, resolved."""

NAME = "incidents"
BATCHES = ("drift.reports", "alert.commands", "models")
READS = (*BATCHES, "heartbeats")
WRITES = ("alerts", "dead-letters", "heartbeats", "incidents.state")
