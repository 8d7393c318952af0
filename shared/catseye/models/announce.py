"""A word on the `models` topic. It needs a broker and no model: who rolls back may have nothing that runs one."""

from catseye.contract.codec import Codec
from catseye.contract.records import ModelEvent
from catseye.kafka.producing import produce
from catseye.settings import Settings


def announce(settings: Settings, codec: Codec, event: ModelEvent) -> None:
    """Write *event* to the `models` topic and wait for the broker's word. Raises `Unavailable`."""
    produce(settings, codec, "models", event)
