"""Notifier tells people of incidents, once each on every route that is theirs: by mail, chat and webhooks."""

NAME = "notifier"
READS = ("alerts", "models")
WRITES = ("notifications", "dead-letters", "heartbeats", "notifier.state")
