"""`catseye.kafka.registry`: ids of a registry that answers, refuses, is away, or holds what is none of ours."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from catseye.contract.codec import Codec, schema_texts
from catseye.contract.errors import BadRecord, Reason, Unavailable
from catseye.contract.records import Frame
from catseye.kafka.registry import codec_for
from catseye.settings import Settings
from tests.corpora.avro import body_of, earlier, kind_of, plainest_of

FRAME = Frame(camera="cam", boot="b", sequence=3, captured_at_ms=5, jpeg=b"xx")
BODY = Codec().encode(FRAME)[10:]
FIRST_ID = 1_000
FOREIGN = 50


class Registry(ThreadingHTTPServer):
    """The part of Confluent's REST interface that is used: one id a schema, schemas by id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.subjects: dict[str, str] = {}
        self.by_id: dict[int, dict[str, str]] = {}
        self.refusal = 0  # HTTP status of every answer, if it is set
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON for one request."""
        if self.refusal:
            return self.refusal, {"error_code": self.refusal * 100 + 1, "message": "no"}
        match path.partition("?")[0].strip("/").split("/"):
            case ["subjects", subject, "versions"]:
                self.subjects[subject] = body["schema"]
                schemas = list(dict.fromkeys(self.subjects.values()))
                return 200, {"id": FIRST_ID + schemas.index(body["schema"])}
            case ["schemas", "ids", number] if int(number) in self.by_id:
                return 200, self.by_id[int(number)]
        return 404, {"error_code": 40403, "message": "Schema not found"}


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server.answer(self.path, json.loads(body or b"{}"))
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the base class looks for this name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    """An empty one."""
    with Registry() as server:
        yield server
        server.shutdown()


def codec_of(registry: Registry) -> Codec:
    """The codec of a fleet with this registry."""
    return codec_for(Settings(schema_registry_url=registry.url, topic_prefix="blue."))


def value_with(schema_id: int) -> bytes:
    """A frame as a publisher of another schema id writes it."""
    return b"\0" + schema_id.to_bytes(4, "big") + BODY


def reason_of(codec: Codec, value: bytes) -> Reason:
    """Why the frame is refused."""
    with pytest.raises(BadRecord) as fault:
        codec.decode(value, Frame)
    return fault.value.reason


def test_without_a_registry_nobody_is_asked() -> None:
    """Avro's own envelope."""
    assert codec_for(Settings(schema_registry_url="")).encode(FRAME) == Codec().encode(FRAME)


def test_every_topic_gets_its_subject(registry: Registry) -> None:
    """TOPIC-value, with the prefix: Confluent's TopicNameStrategy. State topics have no schema."""
    value = codec_of(registry).encode(FRAME)
    assert registry.subjects["blue.frames-value"] == schema_texts()["catseye.Frame"]
    assert {"blue.frames.rekeyed-value", "blue.alerts-value"} <= registry.subjects.keys()
    assert not [subject for subject in registry.subjects if ".state" in subject]
    assert value == value_with(FIRST_ID)


def test_a_frame_of_an_id_that_the_registry_knows_is_read(registry: Registry) -> None:
    """A publisher's serialiser registers the text without docs: the canonical form is the same."""
    codec = codec_of(registry)
    bare = json.loads(schema_texts()["catseye.Frame"])
    for field in bare["fields"]:
        del field["doc"]
    registry.by_id[FOREIGN] = {"schema": json.dumps(bare)}
    assert codec.decode(value_with(FOREIGN), Frame) == FRAME


@pytest.mark.slow
def test_a_record_of_an_earlier_version_is_read(registry: Registry) -> None:
    """Its id is not the one that is written now; whatever the registry shows of it must be one of ours."""
    old = next(schema for schema in earlier() if schema["name"] == "DriftStatistic")
    kind, values = kind_of(old), plainest_of(old)
    registry.by_id[FOREIGN] = {"schema": json.dumps(old)}
    registry.by_id[FOREIGN + 1] = {"schema": json.dumps({**old, "fields": old["fields"][:-1]})}
    codec, body = codec_of(registry), body_of(old, values)
    assert codec.decode(b"\0" + FOREIGN.to_bytes(4, "big") + body, kind) == kind(**values)
    with pytest.raises(BadRecord) as fault:
        codec.decode(b"\0" + (FOREIGN + 1).to_bytes(4, "big") + body, kind)
    assert fault.value.reason == Reason.UNKNOWN_SCHEMA


@pytest.mark.parametrize(
    "known",
    [
        {"schema": '"string"'},
        {"schema": '{"type": "record", "name": "Frame", "namespace": "catseye", "fields": []}'},
        {"schema": '{"type": "record", "name": "F", "fields": [{"name": "a", "type": "Elsewhere"}]}'},
        {"schema": '{"type": "record", "fields": []}'},
        {"schema": '{"type": {"type": {"type": "string"}}}'},
        {"schema": "{}"},
        {"schema": ""},
        {"schema": "not JSON"},
        {"schema": "[" * 100_000},
        {"schema": 'syntax = "proto3"; message Frame {}', "schemaType": "PROTOBUF"},
        {"schema": '{"type": "object"}', "schemaType": "JSON"},
    ],
    ids=lambda known: str(known)[:60],
)
def test_a_schema_that_is_none_of_ours_costs_one_record(registry: Registry, known: dict[str, str]) -> None:
    """Whoever publishes chooses the id: whatever stands there, the frame is refused and the stream goes on."""
    codec = codec_of(registry)
    registry.by_id[FOREIGN] = known
    assert reason_of(codec, value_with(FOREIGN)) == Reason.UNKNOWN_SCHEMA


def test_an_id_that_nobody_knows_costs_one_record(registry: Registry) -> None:
    """404 is an answer."""
    assert reason_of(codec_of(registry), value_with(FOREIGN)) == Reason.UNKNOWN_SCHEMA


def test_a_registry_that_refuses_is_waited_for(registry: Registry) -> None:
    """At the start and in between; what is known goes on being read."""
    codec = codec_of(registry)
    registry.refusal = 403
    with pytest.raises(Unavailable, match="does not show schema id 50"):
        codec.decode(value_with(FOREIGN), Frame)
    with pytest.raises(Unavailable, match=r"did not take blue\.frames-value"):
        codec_of(registry)
    assert codec.decode(codec.encode(FRAME), Frame) == FRAME


def test_a_registry_that_is_away_is_waited_for(registry: Registry) -> None:
    """Nothing listens."""
    codec = codec_of(registry)
    registry.shutdown()
    registry.server_close()
    with pytest.raises(Unavailable, match="does not answer"):
        codec.decode(value_with(FOREIGN), Frame)
    with pytest.raises(Unavailable, match="did not take"):
        codec_of(registry)
