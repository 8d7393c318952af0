"""How a librdkafka producer of frames and labels is set up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from catseye.contract.checks import CONTRACT, Limits
from catseye.contract.limits import PUBLIC_MAX_BYTES
from catseye.kafka.client_log import ClientLines
from catseye.kafka.clients import IDEMPOTENT, Config, client_config

if TYPE_CHECKING:
    from catseye.settings import Settings


def settings_or_environment(settings: Settings | None) -> Settings:
    """*settings*, or those of the environment. Raises `Misconfigured`.

    Not at the top: pydantic takes a third of a second to import, and whoever has only imported us needs none of it.
    """
    if settings is not None:
        return settings
    from catseye.settings import DoorSettings, load  # noqa: PLC0415

    return load(DoorSettings, service="ingest")


def limits_of(settings: Settings) -> Limits:
    """What ingest accepts, as far as *settings* say; else what the contract says."""
    return getattr(settings, "limits", CONTRACT)


LONGEST_MS = 86_400_000  # librdkafka's most: a reader may work so long on one record, a trainer does
LINGER_MS = 2  # frames are large and wanted soon: a batch waits no longer for company


def kafka_logger() -> ClientLines:
    """Where one librdkafka client writes what it has to say: ``catseye.client.kafka`` of the standard library."""
    return ClientLines(_write)


def _write(level: int, what: str, held_back: int) -> None:
    more = f" ({held_back} more like it since the last one)" if held_back else ""
    logging.getLogger("catseye.client.kafka").log(level, "%s%s", what, more)


def publisher_config(settings: Settings, partitioner: str = "murmur2_random") -> Config:
    """A librdkafka producer that loses and repeats nothing while it lives.

    Args:
        settings: Where the brokers are.
        partitioner: librdkafka's name of it; the default puts a camera where Java's client and ingest put it.
    """
    return (client_config(settings) | IDEMPOTENT) | {
        "acks": "all",
        "partitioner": partitioner,
        "message.max.bytes": PUBLIC_MAX_BYTES,
        "linger.ms": LINGER_MS,
        # A broker that restarts is waited for; what is not taken after so long is reported as failed.
        "message.timeout.ms": 120_000,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }
