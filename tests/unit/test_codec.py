"""`catseye.contract.codec`: two envelopes, the schemas' fingerprints, and every way in which bytes are not a record."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catseye.contract import codec as codec_module
from catseye.contract.codec import CONFLUENT, SINGLE_OBJECT, Codec, schema_fingerprint, schema_texts, schemas
from catseye.contract.errors import BadRecord, Misconfigured, Reason, Unavailable
from catseye.contract.records import Alert, DriftStatistic, Frame, Label, Place, Prediction, Record
from tests.corpora.avro import VERSIONS, body_of, kinds, zigzag

CODEC = Codec()
FRAME = Frame(camera="cam", boot="b", sequence=3, captured_at_ms=5, jpeg=b"xx")
FRAME_ID, LABEL_ID = 258, 7
WITH_IDS = Codec({"catseye.Frame": FRAME_ID})

# What version 1 of this library wrote, and what it is now.
ALERT_1 = bytes.fromhex(
    "c301c349172ca6230c79083966326304020a696e707574020000020c676174652d3700146272696768746e657373000a6e6967687418706167"
    "652d68696e6b6c6579000000000000d03f000000000000e03f000000000000124000000000000008401076656869636c6573023380a0abfef9"
    "62c0c9b2fef96280f3b9fef962001a4974206973206461726b65722e0a647269667400022e636174736579652e6672616d65732e6163636570"
    "74656408f2c00100"
)
STATISTIC_1 = bytes.fromhex(
    "c301783d53e54b9025900c676174652d3714636f6e666964656e6365066461790a637573756d80a0abfef9621076656869636c65730233a006"
    "000000000000e83f000000000000ec3f0e323032362d3031000000000000f83f000000000000144000028097b1fdf962"
)
OLD_ALERT = Alert(
    alert_id="9f2c",
    revision=2,
    state="updated",
    kind="input",
    severity="warning",
    cameras=["gate-7"],
    signal="brightness",
    phase="night",
    detector="page-hinkley",
    estimate=0.25,
    reference=0.5,
    evidence=4.5,
    threshold=3.0,
    model="vehicles",
    version="3",
    since_ms=1_700_000_000_000,
    opened_at_ms=1_700_000_060_000,
    updated_at_ms=1_700_000_120_000,
    explanation="It is darker.",
    by="drift",
    examples_after=[Place(topic="catseye.frames.accepted", partition=4, offset=12_345)],
    incident_id="",
)
OLD_STATISTIC = DriftStatistic(
    camera="gate-7",
    signal="confidence",
    phase="day",
    detector="cusum",
    at_ms=1_700_000_000_000,
    model="vehicles",
    version="3",
    count=400,
    estimate=0.75,
    reference=0.875,
    reference_name="2026-01",
    evidence=1.5,
    threshold=5.0,
    learning_left=0,
    suspect_since_ms=1_699_999_000_000,
    low=None,
    high=None,
    valid=None,
)


@pytest.fixture
def schemas_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Path]]:
    """Makes a folder of schemas that the library has instead of its own, empty at first."""
    caches = (codec_module.schema_texts, codec_module.schemas, codec_module._by_fingerprint)

    def start_anew() -> Path:
        monkeypatch.setattr(codec_module, "_schema_folder", lambda: tmp_path)
        for each in caches:
            each.cache_clear()
        return tmp_path

    yield start_anew
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()


def reason_of(codec: Codec, value: bytes | None, **limits: int) -> Reason:
    """Why *codec* refuses *value* as a frame."""
    with pytest.raises(BadRecord) as fault:
        codec.decode(value, Frame, **limits)
    return fault.value.reason


def crc_64_avro(text: str) -> bytes:
    """CRC-64-AVRO a bit at a time, as a polynomial; Avro's specification has it with a table."""
    empty = 0xC15D213AA4D7A795
    crc = empty
    for byte in text.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (empty if crc & 1 else 0)
    return crc.to_bytes(8, "little")


def canonical(schema: Any, space: str = "catseye") -> str:
    """Parsing canonical form: full names, no docs and no defaults, fields in the specification's order, no blanks."""
    if isinstance(schema, str):
        primitive = schema in {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
        return json.dumps(schema if primitive else f"{space}.{schema}", ensure_ascii=False)
    if isinstance(schema, list):
        return "[" + ",".join(canonical(branch, space) for branch in schema) + "]"
    if "name" not in schema:
        inner = "items" if schema["type"] == "array" else "values"
        return f'{{"type":"{schema["type"]}","{inner}":{canonical(schema[inner], space)}}}'
    head = f'{{"name":"{space}.{schema["name"]}","type":"{schema["type"]}"'
    if schema["type"] == "enum":
        return head + ',"symbols":' + json.dumps(schema["symbols"], separators=(",", ":")) + "}"
    fields = [f'{{"name":"{field["name"]}","type":{canonical(field["type"], space)}}}' for field in schema["fields"]]
    return head + ',"fields":[' + ",".join(fields) + "]}"


def test_single_object_encoding_is_marker_fingerprint_body() -> None:
    """C3 01, the fingerprint in little-endian, then the fields in order."""
    body = zigzag(3) + b"cam" + zigzag(1) + b"b" + zigzag(3) + zigzag(5) + zigzag(2) + b"xx" + bytes(9)
    expected = b"\xc3\x01" + schema_fingerprint(schemas()["catseye.Frame"]) + body
    assert CODEC.encode(FRAME) == expected


def test_confluent_format_is_zero_id_body() -> None:
    """00 and the id in big-endian stand before the same body; such a codec reads both envelopes."""
    value = WITH_IDS.encode(FRAME)
    assert value == b"\x00\x00\x00\x01\x02" + CODEC.encode(FRAME)[10:]
    assert [WITH_IDS.decode(each, Frame) for each in (value, CODEC.encode(FRAME))] == [FRAME, FRAME]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("null", 7195948357588979594),
        ("boolean", -6970731678124411036),
        ("int", 8247732601305521295),
        ("long", -3434872931120570953),
        ("float", 5583340709985441680),
        ("double", -8181574048448539266),
        ("bytes", 5746618253357095269),
        ("string", -8142146995180207161),
    ],
)
def test_fingerprints_are_those_of_avros_own_table(schema: Any, expected: int) -> None:
    """The numbers stand in Avro's share/test/data/schema-tests.txt."""
    assert int.from_bytes(schema_fingerprint(schema), "little", signed=True) == expected
    assert int.from_bytes(crc_64_avro(f'"{schema}"'), "little", signed=True) == expected


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_fingerprints_are_those_of_a_second_implementation(name: str) -> None:
    """Canonical form and CRC written once more, above."""
    assert schema_fingerprint(schemas()[name]) == crc_64_avro(canonical(json.loads(schema_texts()[name])))


def test_every_record_of_the_table_has_a_schema_and_the_other_way_round() -> None:
    """No schema without a topic, no topic without a schema."""
    assert {kind.schema_name for kind in kinds()} == set(schema_texts())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.UNKNOWN_FORMAT),
        (b"", Reason.UNKNOWN_FORMAT),
        (b"\xff\xd8\xff\xe0 a bare JPEG", Reason.UNKNOWN_FORMAT),
        (b'{"camera": "cam"}', Reason.UNKNOWN_FORMAT),
        (b"\xc3", Reason.UNKNOWN_FORMAT),
        (b"\xc3\x02" + bytes(20), Reason.UNKNOWN_FORMAT),
        (CODEC.encode(FRAME)[:9], Reason.UNKNOWN_FORMAT),
        (b"\x00\x00\x00\x01", Reason.UNKNOWN_FORMAT),
        (SINGLE_OBJECT + bytes(8) + b"body", Reason.UNKNOWN_SCHEMA),
        (CONFLUENT + bytes(4) + b"body", Reason.UNKNOWN_SCHEMA),
        (CODEC.encode(Label(camera="c", boot="b", sequence=1, labelled_at_ms=1)), Reason.WRONG_RECORD),
        (CODEC.encode(FRAME)[:10], Reason.MALFORMED_AVRO),
        (CODEC.encode(FRAME)[:-1], Reason.MALFORMED_AVRO),
        (CODEC.encode(FRAME).replace(b"cam", b"\xff\xfe\xfd"), Reason.MALFORMED_AVRO),
        (CODEC.encode(FRAME) + b"\0", Reason.TRAILING_BYTES),
        (CODEC.encode(FRAME) * 2, Reason.TRAILING_BYTES),
    ],
)
def test_what_is_not_a_frame_is_refused_for_its_own_reason(value: bytes | None, reason: Reason) -> None:
    """Each fault has one code."""
    assert reason_of(CODEC, value) == reason


SOUND = CODEC.encode(FRAME)


def changed(at: int, to: bytes) -> bytes:
    """The frame with other bytes from the byte *at* of its body on."""
    return SOUND[: 10 + at] + to + SOUND[10 + at + len(to) :]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "the value is empty; a record in Avro is needed"),
        (
            b'{"camera": "cam"}',
            "the value starts with 7b22; .*; this looks like JSON, and records are Avro. Encode it with",
        ),
        (b"\xff\xd8\xff\xe0", "starts with ffd8; .*; this looks like a bare JPEG, and a frame is an Avro record with"),
        (b"Obj\x01", "starts with 4f62; .*; this looks like an Avro file, and each Kafka record is one Avro record"),
        (b"\x07\x07", r"starts with 0707; .*with 00\. Encode it with catseye\.client, or as schemas/README\.md says"),
        (SOUND[:9], "the value ends within its envelope, after 9 bytes: it was cut off, or is no record of ours"),
        (b"\x00\x00\x01", "the value ends within its envelope, after 3 bytes"),
        (SINGLE_OBJECT + bytes(8), "no schema with fingerprint 0000000000000000 is in schemas/: write with one of its"),
        (
            CONFLUENT + bytes(4),
            "schema id 0 is none of the schemas in schemas/: write with one of its files, unchanged",
        ),
        (
            SOUND[:10],
            "the value ends after 10 bytes, before the end of field camera of the catseye.Frame: the value was",
        ),
        (
            SOUND[:12],
            r"field camera of the catseye\.Frame needs 3 bytes, and 1 are left of the value's 12: the value was",
        ),
        (SOUND[:-1], r"the value ends after \d+ bytes, before the end of field line of the catseye\.Frame: "),
        (changed(0, b"\x05"), "field camera of the catseye.Frame says that it is -3 bytes long: the value was damaged"),
        (changed(1, b"\xff\xfe\xfd"), "field camera of the catseye.Frame is no text in UTF-8: the value was damaged"),
        (SOUND + b"\0", "1 bytes follow the catseye.Frame; every byte must be used"),
        (
            CODEC.encode(Label(camera="c", boot="b", sequence=1, labelled_at_ms=1)),
            "the value is a catseye.Label; this topic",
        ),
    ],
)
def test_a_refusal_tells_its_sender_what_is_wrong(value: bytes | None, sentence: str) -> None:
    """The field, what was found there, and what may have happened; no word of the library that decodes."""
    with pytest.raises(BadRecord, match=sentence) as fault:
        CODEC.decode(value, Frame)
    assert "Error" not in fault.value.detail
    assert "Expected" not in fault.value.detail


def test_a_long_value_is_not_examined() -> None:
    """The limit holds before the envelope is read; exactly the limit is allowed."""
    value = CODEC.encode(FRAME)
    assert reason_of(CODEC, b"\xff" * 101, max_bytes=100) == Reason.RECORD_TOO_LARGE
    assert CODEC.decode(value, Frame, max_bytes=len(value)) == FRAME


def test_a_refusal_says_the_same_each_time() -> None:
    """A dead letter is the same after a crash: no address of an object stands in it."""
    value, reported = CODEC.encode(FRAME)[:-1], []
    for _ in range(2):
        with pytest.raises(BadRecord) as fault:
            CODEC.decode(value, Frame)
        reported.append(fault.value.detail)
    assert reported[0] == reported[1]
    assert " object at 0x" not in reported[0]


def test_ids_of_the_registry_are_resolved_once() -> None:
    """An id that is none of ours to write is asked for; what was found is kept."""
    asked: list[int] = []

    def fingerprint_of(schema_id: int) -> bytes | None:
        asked.append(schema_id)
        return schema_fingerprint(schemas()["catseye.Frame"])

    reader = Codec(fingerprint_of_id=fingerprint_of)
    value = CONFLUENT + (99).to_bytes(4, "big") + CODEC.encode(FRAME)[10:]
    assert [reader.decode(value, Frame) for _ in range(3)] == [FRAME] * 3
    assert asked == [99]


@pytest.mark.parametrize("found", [None, bytes(8)])
def test_ids_of_foreign_schemas_are_refused(found: bytes | None) -> None:
    """Unknown to the registry, or known and none of ours: the writer's schema is never taken."""
    reader = Codec(fingerprint_of_id=lambda schema_id: found)
    assert reason_of(reader, WITH_IDS.encode(FRAME)) == Reason.UNKNOWN_SCHEMA


def test_a_registry_that_is_away_is_no_fault_of_the_record() -> None:
    """`Unavailable` passes through: the offset stays. Known ids and fingerprints are read all the while."""

    def away(schema_id: int) -> bytes | None:
        raise Unavailable(f"cannot look {schema_id} up")

    reader = Codec({"catseye.Frame": FRAME_ID}, away)
    with pytest.raises(Unavailable, match="cannot look 7 up"):
        reader.decode(CONFLUENT + LABEL_ID.to_bytes(4, "big") + b"body", Frame)
    assert [reader.decode(codec.encode(FRAME), Frame) for codec in (CODEC, WITH_IDS)] == [FRAME, FRAME]


def test_an_id_for_a_record_that_does_not_exist_stops_the_start() -> None:
    """A table of ids that names another fleet's record."""
    with pytest.raises(Misconfigured, match=r"catseye\.Nothing"):
        Codec({"catseye.Nothing": 1})


def test_nested_records_come_back_as_records() -> None:
    """The places of an alert are `Place`s, not mappings."""
    place = Place(topic="t", partition=1, offset=2)
    alert = msgspec.structs.replace(OLD_ALERT, examples_after=[place], incident_id="9f2c")
    assert CODEC.decode(CODEC.encode(alert), Alert) == alert


def test_leading_fields_are_refused_as_whole_records_are() -> None:
    """Empty, of another record, cut off before the last field that is wanted."""
    label = CODEC.encode(Label(camera="c", boot="b", sequence=1, labelled_at_ms=1))
    reasons = []
    for value in (None, b"", label, CODEC.encode(FRAME)[:12]):
        with pytest.raises(BadRecord) as fault:
            CODEC.leading_fields(value, Frame, "sequence")
        reasons.append(fault.value.reason)
    assert reasons == [
        Reason.UNKNOWN_FORMAT,
        Reason.UNKNOWN_FORMAT,
        Reason.WRONG_RECORD,
        Reason.MALFORMED_AVRO,
    ]


def test_leading_fields_leave_the_rest_unread() -> None:
    """What is asked for and no more, though the rest is cut off; asked twice, answered twice."""
    cut = CODEC.encode(FRAME)[:-4]
    expected = {"camera": "cam", "boot": "b", "sequence": 3}
    assert [CODEC.leading_fields(cut, Frame, "sequence") for _ in range(2)] == [expected] * 2


def test_leading_fields_of_a_field_that_is_not_there() -> None:
    """A name that the schema has not is a mistake of the caller."""
    with pytest.raises(ValueError, match="nowhere"):
        CODEC.leading_fields(CODEC.encode(FRAME), Frame, "nowhere")
    assert "brightness" in {field["name"] for field in schemas()[Prediction.schema_name]["fields"]}


@pytest.mark.parametrize(("value", "expected"), [(ALERT_1, OLD_ALERT), (STATISTIC_1, OLD_STATISTIC)])
def test_records_of_the_first_version_are_read(value: bytes, expected: Record) -> None:
    """In both envelopes, as they stand on the topic; what was added since has its default."""
    kind, asked = type(expected), list[int]()

    def fingerprint_of(schema_id: int) -> bytes:
        asked.append(schema_id)
        return value[2:10]

    with_registry = Codec({kind.schema_name: 8}, fingerprint_of)
    confluent = CONFLUENT + (7).to_bytes(4, "big") + value[10:]
    assert [CODEC.decode(value, kind), with_registry.decode(value, kind)] == [expected] * 2
    assert [with_registry.decode(confluent, kind) for _ in range(2)] == [expected] * 2
    assert asked == [7]


def test_leading_fields_of_the_first_version_are_read() -> None:
    """Fields that it has, without the rest; those that were added since with their defaults."""
    expected = {"alert_id": "9f2c", "revision": 2}
    assert CODEC.leading_fields(ALERT_1[:20], Alert, "revision") == expected
    assert CODEC.leading_fields(ALERT_1, Alert, "reopened_at_ms") == msgspec.to_builtins(OLD_ALERT)
    low = CODEC.leading_fields(STATISTIC_1, DriftStatistic, "low")
    assert list(low.items())[-2:] == [("suspect_since_ms", 1_699_999_000_000), ("low", None)]


def test_what_is_written_is_todays() -> None:
    """A record that came from an earlier version is written as one of today's."""
    value = CODEC.encode(CODEC.decode(ALERT_1, Alert))
    assert value[:10] == SINGLE_OBJECT + schema_fingerprint(schemas()["catseye.Alert"]) != ALERT_1[:10]
    # An empty incident, that no person has said anything, and that it has opened once.
    assert value[10:] == ALERT_1[10:] + bytes(6) + b"\x02\x00"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (STATISTIC_1, Reason.WRONG_RECORD),
        (ALERT_1[:10], Reason.MALFORMED_AVRO),
        (ALERT_1[:-1], Reason.MALFORMED_AVRO),
        (ALERT_1 + b"\0", Reason.TRAILING_BYTES),
        (ALERT_1[:2] + bytes(8) + ALERT_1[10:], Reason.UNKNOWN_SCHEMA),
    ],
)
def test_an_earlier_version_is_refused_for_the_same_reasons(value: bytes, reason: Reason) -> None:
    """It has no more and no fewer fields than it had then."""
    with pytest.raises(BadRecord) as fault:
        CODEC.decode(value, Alert)
    assert fault.value.reason == reason


def test_a_reader_of_the_version_before_goes_on(schemas_of: Callable[[], Path]) -> None:
    """It cannot read what came after it: such a record is refused, and only that one."""
    today = CODEC.encode(OLD_ALERT)
    folder = schemas_of()
    for path in (VERSIONS / "1").iterdir():
        shutil.copy(path, folder)
    before = Codec()
    with pytest.raises(BadRecord) as fault:
        before.decode(today, Alert)
    assert fault.value.reason == Reason.UNKNOWN_SCHEMA
    assert before.decode(ALERT_1, Alert) == OLD_ALERT
    label = Label(camera="c", boot="b", sequence=1, labelled_at_ms=1)
    assert before.decode(CODEC.encode(label), Label) == label, "which has not changed"


def test_defaults_are_each_records_own(schemas_of: Callable[[], Path]) -> None:
    """A mapping that was added since is not shared by the records that lack it."""
    old = json.loads(schema_texts()["catseye.Frame"])
    (folder := schemas_of()).joinpath("frame.avsc").write_text(json.dumps(old))
    del old["fields"][5:]
    assert old["fields"][-1]["name"] == "jpeg"
    (folder / "versions" / "1").mkdir(parents=True)
    (folder / "versions" / "1" / "frame.avsc").write_text(json.dumps(old))
    values = {"camera": "cam", "boot": "b", "sequence": 3, "captured_at_ms": 5, "jpeg": b"xx"}
    value, codec = SINGLE_OBJECT + schema_fingerprint(old) + body_of(old, values), Codec()
    codec.decode(value, Frame).telemetry["humidity"] = 0.5
    codec.leading_fields(value, Frame, "telemetry")["telemetry"]["humidity"] = 0.5
    assert codec.decode(value, Frame) == FRAME
    assert codec.leading_fields(value, Frame, "telemetry") == values | {"telemetry": {}}
