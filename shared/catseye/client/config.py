"""How a librdkafka producer of frames and labels is set up."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from catseye.contract.limits import PUBLIC_MAX_BYTES
from catseye.kafka.clients import Config, client_config

if TYPE_CHECKING:
    from catseye.settings import Settings


def settings_or_environment(settings: Settings | None) -> Settings:
    """*settings*, or those of the environment. Raises `Misconfigured`.

    Not at the top: pydantic takes a third of a second to import, and whoever has only imported us needs none of it.
    """
    if settings is not None:
        return settings
    from catseye.settings import Settings as Common  # noqa: PLC0415
    from catseye.settings import load  # noqa: PLC0415

    return load(Common)


LONGEST_MS = 86_400_000  # librdkafka's most: a reader may work so long on one record, a trainer does
LINGER_MS = 2  # frames are large and wanted soon: a batch waits no longer for company


class Seldom(logging.Filter):
    """Lets the same sentence pass once in *quiet_s* seconds: librdkafka repeats one at each attempt to connect.

    Args:
        quiet_s: Shortest time between two lines that differ in their numbers only.
        clock: Seconds.
    """

    def __init__(self, quiet_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._clock = clock
        self._logged_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        sentence, now_s = re.sub(r"\d+", "0", record.getMessage()), self._clock()
        if now_s < self._logged_s.get(sentence, -math.inf) + self._quiet_s:
            return False
        self._logged_s[sentence] = now_s
        return True


def kafka_logger() -> logging.Logger:
    """Where one librdkafka client writes what it has to say: ``catseye.client.kafka`` of the standard library."""
    own = logging.Logger("catseye.client.kafka")
    own.parent = logging.getLogger("catseye.client")
    own.addFilter(Seldom())
    return own


def publisher_config(settings: Settings, partitioner: str = "murmur2_random") -> Config:
    """A librdkafka producer that loses and repeats nothing while it lives.

    Args:
        settings: Where the brokers are.
        partitioner: librdkafka's name of it; the default puts a camera where Java's client and ingest put it.
    """
    return client_config(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": partitioner,
        "message.max.bytes": PUBLIC_MAX_BYTES,
        "linger.ms": LINGER_MS,
        # A broker that restarts is waited for; what is not taken after so long is reported as failed.
        "message.timeout.ms": 120_000,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }
