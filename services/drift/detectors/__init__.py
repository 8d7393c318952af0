"""Detectors of change in one stream: the engine, river's beside it, and how to keep theirs across a restart."""
