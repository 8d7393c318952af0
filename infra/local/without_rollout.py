"""Stands in for rollout on a fleet where it does not run, or not yet: a bench or a test of one service puts on `models`
what rollout would write. A rollout that starts later reads it from there."""

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.records import ModelEvent, Stage
from catseye.kafka.producing import produce
from catseye.models.commands import KnownModels, carried_out
from catseye.models.register import handed_in
from catseye.settings import Settings


def write_event(settings: Settings, codec: Codec, event: ModelEvent) -> None:
    """Put *event* on `models`. Raises `Unavailable`."""
    produce(settings, codec, "models", event)


def register_without_rollout(
    settings: Settings, codec: Codec, onnx: bytes, stage: Stage, *, by: str, because: str
) -> ModelEvent:
    """As `catseye.models.register.register`, where nobody else registers models; *stage* is any, also shadow."""
    command = handed_in(settings, onnx, "candidate", by=by, because=because)
    (event,) = carried_out(KnownModels(), command, command.at_ms)
    event = replace(event, stage=stage)
    write_event(settings, codec, event)
    return event
