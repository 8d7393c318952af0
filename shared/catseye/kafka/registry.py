"""Which codec a fleet has. The client of the registry takes half a second to import: it is loaded where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured

if TYPE_CHECKING:
    from catseye.settings import Settings


def codec_for(settings: Settings) -> Codec:
    """Codec of this fleet: Confluent's wire format with a registry, Avro's single-object encoding without.

    Raises:
        Misconfigured: a registry is set, and the packages of its client are not installed.
        Unavailable: the registry does not answer, or refuses our schemas.
    """
    if not settings.schema_registry_url:
        return Codec()
    try:
        from catseye.kafka.registry_client import codec_with_registry  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"SCHEMA_REGISTRY_URL is set, which needs the package {missing.name}: `pip install '.[registry]'` in the "
            "folder of Catseye's sources installs it"
        ) from missing
    return codec_with_registry(settings)
