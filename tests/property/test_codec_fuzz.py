"""Whatever the bytes: a record of the kind that was asked for, or `BadRecord`, in bounded memory."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.codec import SINGLE_OBJECT, Codec, schema_fingerprint, schema_texts, schemas
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.records import Alert, Frame, Record
from tests.corpora.avro import any_record, body_of, earlier, kind_of, kinds, records_of, values_of, zigzag

PLAIN = Codec()
IDS = {name: number for number, name in enumerate(schemas(), start=1)}
CONFLUENT = Codec(IDS)
FRAME_HEADER = SINGLE_OBJECT + schema_fingerprint(schemas()["catseye.Frame"])
UP_TO_TELEMETRY = FRAME_HEADER + zigzag(3) + b"cam" + zigzag(1) + b"b" + zigzag(3) + zigzag(5) + zigzag(2) + b"xx"
BEHIND_TELEMETRY = PLAIN.encode(Frame(camera="cam", boot="b", sequence=3, captured_at_ms=5, jpeg=b"xx"))[
    len(UP_TO_TELEMETRY) :
]
"""The end of the readings, and all fields behind them as they are where a publisher says nothing."""
NUMBERS = [2**62, 2**60, 2**31, 65_536, 1, 0, -1, -2, -(2**31), -(2**62), -(2**63), 2**63 - 1]
EVERY_VERSION = [*schemas().values(), *earlier()]
PRINTS = {1_000 + number: schema_fingerprint(schema) for number, schema in enumerate(EVERY_VERSION)}
STARTS = [*[SINGLE_OBJECT + schema_fingerprint(schema) for schema in EVERY_VERSION], b"\xc3\x01", b"\0", b""]
MEMORY_BYTES = 4 * 2**20  # for values of some kilobytes: what a count promises is never set aside

pytestmark = pytest.mark.slow


def read(codec: Codec, value: bytes, kind: type[Record]) -> Record | BadRecord:
    """The record or the refusal; any other exception is a bug, and so is much memory."""
    found: Record | BadRecord
    tracemalloc.start()
    try:
        found = codec.decode(value, kind)
    except BadRecord as fault:
        found = fault
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(found, (kind, BadRecord))
    assert peak < MEMORY_BYTES
    return found


@settings(max_examples=200, deadline=None)
@given(any_record())
def test_every_record_comes_back_from_both_envelopes(record: Record) -> None:
    """Written with or without a registry, read by either codec."""
    plain, confluent = PLAIN.encode(record), CONFLUENT.encode(record)
    assert CONFLUENT.decode(plain, type(record)) == record
    assert CONFLUENT.decode(confluent, type(record)) == record
    assert PLAIN.decode(plain, type(record)) == record


@pytest.mark.parametrize("old", earlier(), ids=lambda old: old["name"])
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_earlier_version_comes_as_todays_record(old: Any, data: st.DataObject) -> None:
    """Whole and by its leading fields, in both envelopes: what was written, and the defaults of the class."""
    values, kind, print_ = data.draw(values_of(old)), kind_of(old), schema_fingerprint(old)
    expected = msgspec.convert(values, kind)
    whole = msgspec.to_builtins(expected, builtin_types=(bytes,))
    last = data.draw(st.sampled_from(list(whole)))
    leading = {name: whole[name] for name in list(whole)[: list(whole).index(last) + 1]}
    codec = Codec(IDS, lambda schema_id: print_)
    for envelope in (SINGLE_OBJECT + print_, b"\0\0\1\0\0"):
        value = envelope + body_of(old, values)
        assert codec.decode(value, kind) == expected
        assert codec.leading_fields(value, kind, last) == leading


def is_alert(schema: Any) -> bool:
    """Whether *schema* is one of `Alert`; fastavro puts the namespace into the name of what it has parsed."""
    name: str = schema["name"]
    return name.removeprefix("catseye.") == "Alert"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([each for each in EVERY_VERSION if is_alert(each)]), max_size=12), st.data())
def test_a_change_half_way_costs_no_record(versions: list[Any], data: st.DataObject) -> None:
    """Writers of both versions and both envelopes on one topic, in any order: every record is read, in order."""
    codec, topic, expected = Codec(IDS, PRINTS.get), list[bytes](), list[Record]()
    for schema in versions:
        schema_id = 1_000 + EVERY_VERSION.index(schema)
        values, print_ = data.draw(values_of(schema)), PRINTS[schema_id]
        envelope = data.draw(st.sampled_from([SINGLE_OBJECT + print_, b"\0" + schema_id.to_bytes(4, "big")]))
        topic.append(envelope + body_of(schema, values))
        expected.append(msgspec.convert(values, Alert))
    assert [codec.decode(value, Alert) for value in topic] == expected


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_leading_fields_are_the_beginning_of_the_record(kind: type[Record], data: st.DataObject) -> None:
    """For each field as the last one, in both envelopes."""
    record = data.draw(records_of(kind))
    fields = [field["name"] for field in schemas()[kind.schema_name]["fields"]]
    whole = msgspec.to_builtins(record, builtin_types=(bytes,))
    last = data.draw(st.sampled_from(fields))
    expected = {name: whole[name] for name in fields[: fields.index(last) + 1]}
    for codec in (PLAIN, CONFLUENT):
        assert codec.leading_fields(codec.encode(record), kind, last) == expected


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=200), st.sampled_from(kinds()))
def test_any_bytes_are_a_record_or_a_bad_record(start: bytes, rest: bytes, kind: type[Record]) -> None:
    """Noise, with and without an envelope that opens."""
    read(PLAIN, start + rest, kind)
    read(CONFLUENT, start + rest, kind)


@settings(max_examples=400, deadline=None)
@given(any_record(), st.data())
def test_any_damage_to_a_record_is_a_record_or_a_bad_record(record: Record, data: st.DataObject) -> None:
    """Bytes changed, cut out, put in twice; numbers of Avro put anywhere."""
    value = bytearray(data.draw(st.sampled_from([PLAIN, CONFLUENT])).encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value)))
        end = data.draw(st.integers(at, min(len(value), at + 20)))
        value[at:end] = data.draw(
            st.binary(max_size=8) | st.sampled_from(NUMBERS).map(zigzag) | st.just(bytes(value[at:end]) * 2)
        )
    read(CONFLUENT, bytes(value), type(record))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(earlier()), st.data())
def test_any_damage_to_an_earlier_version_is_a_record_or_a_bad_record(old: Any, data: st.DataObject) -> None:
    """Resolution reads the same bytes another way."""
    value = bytearray(SINGLE_OBJECT + schema_fingerprint(old) + body_of(old, data.draw(values_of(old))))
    at = data.draw(st.integers(10, len(value)))
    end = data.draw(st.integers(at, min(len(value), at + 20)))
    value[at:end] = data.draw(st.binary(max_size=8) | st.sampled_from(NUMBERS).map(zigzag))
    read(PLAIN, bytes(value), kind_of(old))


@settings(max_examples=100, deadline=None)
@given(any_record(), st.binary(min_size=1, max_size=8))
def test_every_byte_must_be_used(record: Record, rest: bytes) -> None:
    """A sound record with more behind it is refused as such."""
    fault = read(PLAIN, PLAIN.encode(record) + rest, type(record))
    assert isinstance(fault, BadRecord)
    assert fault.reason == Reason.TRAILING_BYTES


@settings(max_examples=100, deadline=None)
@given(any_record(), st.data())
def test_no_beginning_of_a_record_is_a_record(record: Record, data: st.DataObject) -> None:
    """Cut anywhere, it is refused: Avro's fields have no end marks, so the last byte is always needed."""
    value = PLAIN.encode(record)
    assert isinstance(read(PLAIN, value[: data.draw(st.integers(0, len(value) - 1))], type(record)), BadRecord)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("after", [b"", zigzag(7), bytes(3_000)], ids=["nothing", "a size", "zeros"])
def test_counts_and_lengths_promise_nothing(number: int, after: bytes) -> None:
    """A few bytes that announce 2^62 readings, or a text of as many bytes, cost what a few bytes cost."""
    read(PLAIN, UP_TO_TELEMETRY + zigzag(number) + after, Frame)
    read(PLAIN, FRAME_HEADER + zigzag(number) + after, Frame)


@pytest.mark.parametrize("byte", [b"\x80", b"\xff"])
def test_a_number_without_end_costs_no_more_than_its_bytes(byte: bytes) -> None:
    """A million bytes that each say that the number goes on."""
    assert isinstance(read(PLAIN, FRAME_HEADER + byte * 2**20, Frame), BadRecord)


def test_a_frame_full_of_readings_costs_a_fixed_factor() -> None:
    """The costliest value there is: distinct readings of 11 bytes each. Ingest refuses over 64 afterwards."""
    entries = b"".join(
        [zigzag(2) + number.to_bytes(2, "big") + bytes(8) for number in range(2**15) if _is_text(number)]
    )
    count = len(entries) // 11
    value = UP_TO_TELEMETRY + zigzag(count) + entries + BEHIND_TELEMETRY
    tracemalloc.start()
    frame = PLAIN.decode(value, Frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frame.telemetry) == count
    assert peak < 30 * len(value)


def _is_text(number: int) -> bool:
    return number & 0x80 == 0


def test_no_item_of_any_schema_has_zero_width() -> None:
    """What the codec's promise rests on: else a count alone could fill the memory."""

    def width(schema: Any, named: dict[str, int]) -> int:
        if isinstance(schema, str):
            return named.get(schema, 0 if schema == "null" else 1)
        if isinstance(schema, list):
            return 1  # the number of the branch
        match schema["type"]:
            case "array" | "map":
                inner = schema["items"] if schema["type"] == "array" else schema["values"]
                assert width(inner, named) > 0, schema
                return 1
            case "enum":
                found = 1
            case "record":
                found = sum(width(field["type"], named) for field in schema["fields"])
            case other:
                return width(other, named)
        named[schema["name"]] = found
        return found

    assert all(width(json.loads(text), {}) > 0 for text in schema_texts().values())
