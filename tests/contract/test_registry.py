"""The schema registry, a real one: what `catseye.kafka.registry` writes and reads by it, what others may put into it,
and what happens while it is away."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from httpx2 import ReadTimeout

from catseye.contract.codec import Codec, schema_fingerprint, schema_texts, schemas
from catseye.contract.errors import BadRecord, Reason, Unavailable
from catseye.contract.identity import partition_of
from catseye.contract.records import Frame, Record
from catseye.contract.topics import TOPICS, full_name
from catseye.kafka import registry_client
from catseye.kafka.registry import codec_for
from catseye.settings import Settings
from infra.kafka.clients.registry import Registry
from infra.local.kafka import KafkaCluster
from infra.local.services import SERVICES
from tests.chaos.tiny_model import tiny_model
from tests.corpora.avro import body_of as record_body
from tests.corpora.avro import earlier, kind_of, plainest_of
from tests.system.running import CROPS, running, wait_until

pytestmark = pytest.mark.broker

CAR = next((CROPS / "car").glob("*.jpg")).read_bytes()
FRAME = Frame(camera="gate-7", boot="b", sequence=1, captured_at_ms=1, jpeg=b"jpeg", telemetry={"humidity": 0.5})
FRAME_SCHEMA = schema_texts()["catseye.Frame"]
PARTITIONS = 6  # the default


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def settings(registry: Registry) -> Settings:
    return Settings(schema_registry_url=registry.url)


@pytest.fixture
def others(registry: Registry) -> Iterator[SchemaRegistryClient]:
    """Somebody else's client of the same registry."""
    with SchemaRegistryClient({"url": registry.url}) as client:
        yield client


def framed(schema_id: int, body: bytes) -> bytes:
    """Confluent's wire format."""
    return b"\0" + schema_id.to_bytes(4, "big") + body


def body_of(frame: Frame) -> bytes:
    """Avro of *frame*, without an envelope."""
    return Codec().encode(frame)[10:]


def in_other_words(schema: str) -> str:
    """The same schema without its documentation, as generated code has it: another text, the same canonical form."""

    def bare(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: bare(inner) for name, inner in part.items() if name != "doc"}
        return [bare(inner) for inner in part] if isinstance(part, list) else part

    return json.dumps(bare(json.loads(schema)))


def test_every_record_is_registered_once(settings: Settings, others: SchemaRegistryClient) -> None:
    """Each topic's subject has its schema, under the same id at every start."""
    codec_for(settings)
    subjects = [f"{full_name(topic.name, settings.topic_prefix)}-value" for topic in TOPICS if topic.record]
    before = {subject: others.get_latest_version(subject) for subject in subjects}
    codec_for(settings)
    assert {subject: others.get_versions(subject) for subject in subjects} == {subject: [1] for subject in subjects}
    assert {subject: others.get_latest_version(subject).schema_id for subject in subjects} == {
        subject: version.schema_id for subject, version in before.items()
    }
    texts = {topic.record.schema_name for topic in TOPICS if topic.record}
    found = {schema_fingerprint(json.loads(version.schema.schema_str or "")) for version in before.values()}
    assert found == {schema_fingerprint(schemas()[name]) for name in texts}


def test_records_carry_the_id_that_the_registry_gave(settings: Settings, others: SchemaRegistryClient) -> None:
    """What is written is Confluent's wire format, and what is read may be either."""
    codec = codec_for(settings)
    subject = f"{full_name('frames', settings.topic_prefix)}-value"
    schema_id = others.get_latest_version(subject).schema_id
    assert schema_id is not None
    assert codec.encode(FRAME) == framed(schema_id, body_of(FRAME))
    assert codec.decode(codec.encode(FRAME), Frame) == FRAME
    assert codec.decode(Codec().encode(FRAME), Frame) == FRAME


def test_our_schema_under_another_id_is_ours(settings: Settings, others: SchemaRegistryClient) -> None:
    """Another client registers the schema in its own words: its canonical form counts."""
    codec = codec_for(settings)
    schema_id = others.register_schema("of-another-client", Schema(in_other_words(FRAME_SCHEMA), schema_type="AVRO"))
    assert framed(schema_id, body_of(FRAME)) != codec.encode(FRAME)
    assert codec.decode(framed(schema_id, body_of(FRAME)), Frame) == FRAME


def test_a_fleet_goes_on_where_the_version_before_left_off(settings: Settings, others: SchemaRegistryClient) -> None:
    """The registry takes today's schema behind the earlier one; records under either id are read."""
    upgraded = settings.model_copy(update={"topic_prefix": "upgraded."})
    written: list[tuple[bytes, Record]] = []
    for old in earlier():
        kind, values = kind_of(old), plainest_of(old)
        for topic in [topic for topic in TOPICS if topic.record is kind]:
            subject = f"{full_name(topic.name, upgraded.topic_prefix)}-value"
            old_id = others.register_schema(subject, Schema(json.dumps(old), schema_type="AVRO"))
            written.append((framed(old_id, record_body(old, values)), msgspec.convert(values, kind)))
    codec = codec_for(upgraded)
    for value, expected in written:
        today = codec.encode(expected)
        assert today[:5] != value[:5]
        assert [codec.decode(each, type(expected)) for each in (value, today)] == [expected] * 2


@pytest.mark.parametrize("schema_id", [999_999, 2**31 - 1, 2**31, 2**32 - 1])
def test_an_id_that_nobody_knows_is_a_bad_record(schema_id: int, settings: Settings) -> None:
    """It is refused, and not waited for: also an id that no registry can have."""
    with pytest.raises(BadRecord) as refused:
        codec_for(settings).decode(framed(schema_id, body_of(FRAME)), Frame)
    assert refused.value.reason == Reason.UNKNOWN_SCHEMA


NULLS = {"type": "record", "name": "N", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}
INNER = {"type": "enum", "name": "Inner", "symbols": ["A"]}
OUTER = {"type": "record", "name": "Outer", "fields": [{"name": "inner", "type": "Inner"}]}
JSON_SCHEMA = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "title": "Frame"}
PROTOBUF = 'syntax = "proto3"; message Frame { string camera = 1; }'


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (json.dumps(NULLS), "AVRO"),
        (json.dumps(OUTER), "AVRO"),
        (json.dumps(JSON_SCHEMA), "JSON"),
        (PROTOBUF, "PROTOBUF"),
    ],
    ids=["array of nulls", "name in another schema", "JSON Schema", "Protobuf"],
)
def test_the_schemas_of_others_are_never_taken(
    text: str, form: str, settings: Settings, others: SchemaRegistryClient
) -> None:
    """A registry is shared: what stands under a foreign id is neither used nor a fault."""
    references = []
    if "Outer" in text:
        others.register_schema("inner", Schema(json.dumps(INNER), schema_type="AVRO"))
        references = [SchemaReference("Inner", "inner", 1)]
    schema_id = others.register_schema("of-others", Schema(text, schema_type=form, references=references))
    with pytest.raises(BadRecord) as refused:
        codec_for(settings).decode(framed(schema_id, b"\x80\x80\x80\x80\x80\x40\0"), Frame)
    assert refused.value.reason == Reason.UNKNOWN_SCHEMA


def test_a_registry_that_hangs_is_not_waited_for_long(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and answers nothing: unavailable after one try of the given length, whatever is asked."""
    configs: list[dict[str, Any]] = []

    def client_of(config: dict[str, Any]) -> SchemaRegistryClient:
        configs.append(config)
        return SchemaRegistryClient(config)

    monkeypatch.setattr(registry_client, "ANSWER_S", 0.5)
    monkeypatch.setattr(registry_client, "SchemaRegistryClient", client_of)
    codec = codec_for(settings)
    registry.pause()
    try:
        with pytest.raises(Unavailable, match="does not answer") as unread:
            codec.decode(framed(999_998, body_of(FRAME)), Frame)
        first = next(topic for topic in TOPICS if topic.record)
        with pytest.raises(Unavailable, match=f"did not take {full_name(first.name, settings.topic_prefix)}") as unset:
            codec_for(settings)
    finally:
        registry.resume()
    assert [(config["timeout"], config["max.retries"]) for config in configs] == [(0.5, 0)] * 2
    assert [type(each.value.__cause__) for each in (unread, unset)] == [ReadTimeout] * 2


def test_nothing_is_lost_while_the_registry_is_away(
    broker: KafkaCluster, registry: Registry, others: SchemaRegistryClient, prefix: str, tmp_path: Path
) -> None:
    """Ids that are known need no registry; a frame under one that is not is waited for, and predicted when the
    registry is back. Nobody falls, nothing becomes a dead letter."""
    foreign_id = others.register_schema("foreign", Schema(in_other_words(FRAME_SCHEMA), schema_type="AVRO"))
    fleet = [service for service in SERVICES if service.name in {"ingest", "inference"}]
    variables = {"SCHEMA_REGISTRY_URL": registry.url}
    model = tiny_model(("car", "truck"), CAR)
    with running(broker.bootstrap_servers, tmp_path, prefix, fleet, model=model, variables=variables) as it:
        codec = codec_for(it.settings)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})

        def publish(sequences: range, *, foreign: bool) -> None:
            for sequence in sequences:
                now_ms = int(time.time() * 1_000)
                frame = Frame(
                    camera=f"gate-{sequence % 5}", boot="b", sequence=sequence, captured_at_ms=now_ms, jpeg=CAR
                )
                value = framed(foreign_id, body_of(frame)) if foreign else codec.encode(frame)
                place = partition_of(frame.camera, PARTITIONS)
                producer.produce(full_name("frames", prefix), value, frame.camera.encode(), place)
            assert producer.flush(60) == 0

        registry.kill()
        with pytest.raises(Unavailable, match="did not take"):
            codec_for(it.settings)
        publish(range(20), foreign=False)
        it.wait_for("inference", "predicted", 20)
        publish(range(20, 40), foreign=True)
        publish(range(40, 50), foreign=False)
        wait_until(lambda: it.counted("ingest")["aborts"] > 1, "ingest waits for the registry")
        assert it.counted("ingest")["frame_accepted"] == 20
        assert it.stack.status()["ready"]
        registry.start()
        it.wait_for("inference", "predicted", 50)
        found = [prediction.sequence for prediction in it.records("predictions")]
        letters, starts = it.records("dead-letters"), it.starts()
    assert sorted(found) == list(range(50))
    assert letters == []
    assert starts == {"ingest-0": 1, "inference-0": 1}
