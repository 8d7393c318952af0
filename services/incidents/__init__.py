"""Incidents turns what is wrong with each camera into alerts: one a cause, explained, grouped, resolved."""

NAME = "incidents"
READS = ("drift.reports", "alert.commands", "models")
WRITES = ("alerts", "dead-letters", "heartbeats", "incidents.state")
