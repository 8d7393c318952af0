"""Vehicles makes one vehicle of all predictions of a track, counts vehicles, and labels each by that of any picture."""

NAME = "vehicles"
READS = ("predictions", "outcomes")
WRITES = ("vehicles", "vehicles.outcomes", "vehicles.counts", "dead-letters", "heartbeats", "vehicles.state")
