"""Many records read in one pass: each as the codec reads it alone, or not at all."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.codec import SINGLE_OBJECT, Codec, schema_fingerprint, schemas
from catseye.contract.errors import BadRecord
from catseye.contract.heads import Heads, long_bytes, read_heads, text_bytes, texts_of
from catseye.contract.records import (
    AcceptedLabel,
    AlertCommand,
    DriftStatistic,
    Outcome,
    PairedOutcome,
    Prediction,
    Record,
)
from tests.corpora.avro import body_of, earlier, kind_of, records_of, values_of, zigzag

PLAIN = Codec()
CONFLUENT = Codec({name: number for number, name in enumerate(schemas(), start=1)})
KINDS: list[tuple[type[Record], str | None]] = [
    (Prediction, "brightness"),
    (Prediction, "received_at_ms"),
    (AcceptedLabel, None),
    (AcceptedLabel, "label"),
    (Outcome, "label"),
    (PairedOutcome, None),
    (DriftStatistic, "high"),
    (AlertCommand, None),
]
NUMBERS = [2**62, 2**55, 2**31, -(2**31) - 1, 64, 63, 2, 1, 0, -1, -2, -(2**55), -(2**63), 2**63 - 1]


def alone(codec: Codec, value: bytes | None, kind: type[Record], last: str | None) -> dict[str, Any] | None:
    """What the codec says of one value; None where it refuses it."""
    try:
        if last is not None:
            return codec.leading_fields(value, kind, last)
        record = codec.decode(value, kind)
    except BadRecord:
        return None
    return {name: getattr(record, name) for name in record.__struct_fields__}


def row_of(heads: Heads, row: int, kind: type[Record]) -> dict[str, Any]:
    """What heads say of one record, as the codec says it."""
    reported: dict[str, Any] = {}
    types = {field["name"]: field["type"] for field in schemas()[kind.schema_name]["fields"]}
    for name, column in heads.columns.items():
        its, written = types[name], heads.bytes_of(name, name)[row]
        if isinstance(its, list):
            there = written != b"\0"
            its, written = its[1], written[1:]
            if not there:
                reported[name] = None
                continue
        if its == "string":
            (reported[name],) = texts_of(written)
        elif isinstance(its, str):
            reported[name] = column.numbers[row].item()
        elif its["type"] == "enum":
            reported[name] = its["symbols"][column.numbers[row]]
        else:
            values, names = column.numbers[row].tolist(), column.names[row]
            assert not any(values[len(names) :])
            reported[name] = dict(zip(names, values, strict=False))
    return reported


def check(codec: Codec, values: list[bytes | None], kind: type[Record], last: str | None) -> Heads:
    """Whatever stands in the heads is what the codec says, bit by bit."""
    heads = read_heads(codec, values, kind, last, fewest=1)
    assert list(heads.places) == sorted(set(heads.places))
    for row, place in enumerate(heads.places):
        assert repr(row_of(heads, row, kind)) == repr(alone(codec, values[place], kind, last))  # repr: NaN is NaN
    return heads


@pytest.mark.parametrize(("kind", "last"), KINDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sound_records_are_read_as_alone(kind: type[Record], last: str | None, data: st.DataObject) -> None:
    """Any that the schema allows, in both envelopes; those of short texts and numbers are all there."""
    records = data.draw(st.lists(records_of(kind), min_size=1, max_size=12))
    codec = data.draw(st.sampled_from([PLAIN, CONFLUENT]))
    values = [codec.encode(record) for record in records]
    heads = check(codec, [*values], kind, last)
    for place, value in enumerate(values):
        reported = alone(codec, value, kind, last)
        assert reported is not None
        longs = [number for number in reported.values() if isinstance(number, int)]
        texts = [text for text in reported.values() if isinstance(text, str)]
        if all(abs(number) < 2**54 for number in longs) and all(len(text.encode()) < 64 for text in texts):
            assert place in heads.places


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "last"), KINDS)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_records_are_read_as_alone_or_left_out(
    kind: type[Record], last: str | None, data: st.DataObject
) -> None:
    """Bytes changed, cut out, put in twice, numbers put anywhere: none of it disturbs what stands beside it."""
    values: list[bytes | None] = []
    for record in data.draw(st.lists(records_of(kind), min_size=1, max_size=6)):
        value = bytearray(PLAIN.encode(record))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(value)))
            end = data.draw(st.integers(at, min(len(value), at + 20)))
            value[at:end] = data.draw(
                st.binary(max_size=8) | st.sampled_from(NUMBERS).map(zigzag) | st.just(bytes(value[at:end]) * 2)
            )
        values.append(bytes(value))
    values += data.draw(st.lists(st.none() | st.binary(max_size=30), max_size=3))
    check(PLAIN, data.draw(st.permutations(values)), kind, last)


@pytest.mark.parametrize(("kind", "last"), KINDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_noise_behind_an_envelope_is_read_as_alone_or_left_out(
    kind: type[Record], last: str | None, data: st.DataObject
) -> None:
    """However it begins."""
    header = SINGLE_OBJECT + schema_fingerprint(schemas()[kind.schema_name])
    noise = st.binary(max_size=120) | st.lists(st.sampled_from(NUMBERS).map(zigzag), max_size=40).map(b"".join)
    check(PLAIN, [header + each for each in data.draw(st.lists(noise, min_size=1, max_size=6))], kind, last)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_versions_before_are_read_up_to_what_is_the_same_today(data: st.DataObject) -> None:
    """Mixed with today's: one of them is read in one pass, whichever comes first; whole ones of before are not."""
    old = data.draw(st.sampled_from([schema for schema in earlier() if schema["name"] == "Prediction"]))
    header, kind = SINGLE_OBJECT + schema_fingerprint(old), kind_of(old)
    before = [header + body_of(old, data.draw(values_of(old))) for _ in range(2)]
    today = [PLAIN.encode(data.draw(records_of(Prediction)))]
    check(PLAIN, [*before, *today], kind, "brightness")
    check(PLAIN, [*today, *before], kind, "brightness")
    assert read_heads(PLAIN, [*before], kind, fewest=1) == Heads()
    assert read_heads(PLAIN, [*before], kind, "bits_per_pixel", fewest=1) == Heads()


def test_fields_that_are_not_read_here_leave_the_record_to_the_codec() -> None:
    """As the list of an embedding; and so do few records, none, and those of another kind."""
    value = PLAIN.encode(Prediction(**_plain()))
    assert read_heads(PLAIN, [value], Prediction, fewest=1) == Heads()
    assert read_heads(PLAIN, [value], Prediction, "brightness", fewest=2) == Heads()
    assert read_heads(PLAIN, [], Prediction, "brightness", fewest=0) == Heads()
    assert read_heads(PLAIN, [value, None, b""], AcceptedLabel, fewest=1) == Heads()
    assert read_heads(PLAIN, [None, b"", value], Prediction, "brightness", fewest=1).places == [2]


def _plain() -> dict[str, Any]:
    return {
        "camera": "cam", "boot": "b", "sequence": 1, "captured_at_ms": 2, "received_at_ms": 3, "predicted_at_ms": 4,
        "prediction_id": "0", "model": "m", "version": "1", "role": "champion", "frame_partition": 0,
        "frame_offset": 5, "label": "car", "probabilities": {"car": 1.0}, "brightness": 0.5, "contrast": 0.1,
        "sharpness": 0.1, "dark_share": 0.0, "bright_share": 0.0, "perceptual_hash": 1, "model_sha256": "0",
        "embedding": [],
    }  # fmt: skip


def test_a_name_that_comes_twice_in_a_map_leaves_the_record_to_the_codec() -> None:
    """There the last value holds; a name that is no text is refused there."""
    value = PLAIN.encode(Prediction(**_plain() | {"probabilities": {"car": 1.0, "van": 0.0}}))
    twice, broken = value.replace(b"\x06van", b"\x06car"), value.replace(b"\x06van", b"\x06va\xff")
    assert check(PLAIN, [value, twice, broken, value], Prediction, "brightness").places == [0, 3]


@given(st.lists(st.text(max_size=80)))
def test_texts_are_written_as_avro_writes_them(texts: list[str]) -> None:
    """Of any length; the short ones are read back where they stand in a row."""
    written = [text_bytes(text) for text in texts]
    assert written == [zigzag(len(text.encode())) + text.encode() for text in texts]
    short = [text for text in texts if len(text.encode()) < 64]
    assert texts_of(b"".join([text_bytes(text) for text in short])) == short


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)))
def test_numbers_are_written_as_avro_writes_them(numbers: list[int]) -> None:
    """From one byte to ten."""
    assert long_bytes(numbers) == [zigzag(number) for number in numbers]


def test_columns_keep_what_their_places_say() -> None:
    """Of a part of the records too."""
    values = [PLAIN.encode(Prediction(**_plain() | {"sequence": number})) for number in (5, 2**60, 7)]
    heads = read_heads(PLAIN, [*values], Prediction, "brightness", fewest=1)
    assert (heads.places, heads.integers("sequence")) == ([0, 2], [5, 7])
    assert heads.columns["probabilities"].names == [("car",), ("car",)]
    assert np.array_equal(heads.columns["probabilities"].numbers, [[1.0], [1.0]])
