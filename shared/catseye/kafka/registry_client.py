"""The schema registry: ids for what is written, schemas for ids that are read."""

from __future__ import annotations

import json
import weakref
from typing import TYPE_CHECKING

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro.schema import SchemaParseException
from httpx2 import TransportError

from catseye.contract.codec import Codec, schema_fingerprint, schema_texts
from catseye.contract.errors import Unavailable
from catseye.contract.topics import TOPICS, full_name

if TYPE_CHECKING:
    from catseye.settings import Settings

NOT_FOUND = 404
ANSWER_S = 5.0  # longest wait for the registry; a worker that waits for ever for an answer is as good as dead
GREATEST_ID = 2**31 - 1  # ids are Java's int: nobody has a greater one, so nobody is asked


def codec_with_registry(settings: Settings) -> Codec:
    """Codec that writes ids of the registry of *settings*, and reads those of our schemas.

    Raises:
        Unavailable: the registry does not answer, or refuses our schemas.
    """
    # No tries of the client's own: who asks is started again, or does the batch again, after a pause of its own.
    client = SchemaRegistryClient({"url": settings.schema_registry_url, "timeout": ANSWER_S, "max.retries": 0})
    ids: dict[str, int] = {}
    try:
        for topic in TOPICS:
            if topic.record is not None:
                name = topic.record.schema_name
                subject = f"{full_name(topic.name, settings.topic_prefix)}-value"
                ids[name] = client.register_schema(subject, Schema(schema_texts()[name], schema_type="AVRO"))
    except (TransportError, SchemaRegistryError) as fault:
        raise Unavailable(
            f"the schema registry at {settings.schema_registry_url} did not take {subject}: {fault}"
        ) from fault
    codec = Codec(ids, lambda schema_id: _fingerprint_of(client, schema_id))
    weakref.finalize(codec, client.__exit__, None, None, None)  # its connections end with it
    return codec


def _fingerprint_of(client: SchemaRegistryClient, schema_id: int) -> bytes | None:
    """Fingerprint of the schema with this id; None where there is none, or one that cannot be ours."""
    if schema_id > GREATEST_ID:
        return None
    try:
        schema = client.get_schema(schema_id)
    except SchemaRegistryError as fault:
        if fault.http_status_code == NOT_FOUND:
            return None
        raise Unavailable(f"the schema registry does not show schema id {schema_id}: {fault}") from fault
    except TransportError as fault:
        raise Unavailable(f"the schema registry does not answer: {fault}") from fault
    # A registry is shared, and whoever publishes chooses the id: what stands there may be of any form.
    if schema.schema_type != "AVRO":
        return None
    try:
        return schema_fingerprint(json.loads(schema.schema_str or ""))
    except (SchemaParseException, LookupError, RecursionError, TypeError, ValueError):
        return None
