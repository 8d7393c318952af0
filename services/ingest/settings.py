"""What an operator can turn on ingest: the limits of what is accepted, by which publishers check too."""

from catseye.settings import DoorSettings as IngestSettings

__all__ = ["IngestSettings"]
