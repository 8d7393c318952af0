"""How aiokafka's clients are set up. Apart, so that plain clients need not load aiokafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.helpers import create_ssl_context

from catseye.client.config import LINGER_MS
from catseye.contract.limits import PUBLIC_MAX_BYTES

if TYPE_CHECKING:
    from catseye.settings import Settings


def aio_config(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client needs to reach the brokers."""
    config: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SASL" in settings.kafka_security_protocol:
        config |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password,
        }
    if "SSL" in settings.kafka_security_protocol:
        config["ssl_context"] = create_ssl_context(
            cafile=settings.kafka_ssl_ca_location or None,
            certfile=settings.kafka_ssl_certificate_location or None,
            keyfile=settings.kafka_ssl_key_location or None,
        )
    return config


def aio_publisher_config(settings: Settings) -> dict[str, Any]:
    """The same producer as `publisher_config` on aiokafka, whose own partitioner is Java's murmur2."""
    return aio_config(settings) | {
        "enable_idempotence": True,
        "acks": "all",
        "max_request_size": PUBLIC_MAX_BYTES,
        "linger_ms": LINGER_MS,
    }
