"""Incidents turns what is wrong with each camera into alerts that live: one a cause, explained, grouped, ended."""

NAME = "incidents"
READS = ("drift.reports", "alerts", "models")
WRITES = ("alerts", "dead-letters", "incidents.state")
