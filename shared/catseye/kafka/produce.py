"""As `catseye.kafka.producing`, for one record that is encoded; goes when its last caller has."""

from catseye.kafka.producing import produce_rows
from catseye.settings import Settings


def produce_and_wait(settings: Settings, topic: str, value: bytes, key: bytes) -> None:
    """Write one record to *topic*, its full name. Raises `Unavailable` unless the broker has it within 30 s."""
    produce_rows(settings, [(topic, key, value)])
