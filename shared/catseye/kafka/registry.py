"""Which codec a fleet has. The client of the registry takes half a second to import: it is loaded where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catseye.contract.codec import Codec

if TYPE_CHECKING:
    from catseye.settings import Settings


def codec_for(settings: Settings) -> Codec:
    """Codec of this fleet: Confluent's wire format with a registry, Avro's single-object encoding without.

    Raises:
        Unavailable: the registry does not answer, or refuses our schemas.
    """
    if not settings.schema_registry_url:
        return Codec()
    from catseye.kafka.registry_client import codec_with_registry  # noqa: PLC0415

    return codec_with_registry(settings)
