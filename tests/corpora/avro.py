"""Records of every kind and version, drawn from the schemas themselves: what these allow is what a test may meet."""

import json
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from hypothesis import find
from hypothesis import strategies as st

from catseye.contract.codec import schema_fingerprint, schema_texts, schemas
from catseye.contract.records import Record
from catseye.contract.topics import TOPICS

VERSIONS = Path(__file__).parents[2] / "schemas" / "versions"
LONG = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=12),
    "long": LONG,
    "int": st.integers(-(2**31), 2**31 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=40),
    "null": st.none(),
}


def kinds() -> list[type[Record]]:
    """Every record that stands on a topic, once."""
    return list(dict.fromkeys(topic.record for topic in TOPICS if topic.record is not None))


def _values(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([_values(branch, named) for branch in schema])
    if isinstance(schema, str):
        return PRIMITIVES[schema] if schema in PRIMITIVES else named[schema]
    drawn: st.SearchStrategy[Any]
    match schema["type"]:
        case "array":
            return st.lists(_values(schema["items"], named), max_size=4)
        case "map":
            return st.dictionaries(PRIMITIVES["string"], _values(schema["values"], named), max_size=4)
        case "enum":
            drawn = st.sampled_from(schema["symbols"])
        case "record":
            fields = {field["name"]: _values(field["type"], named) for field in schema["fields"]}
            drawn = st.fixed_dictionaries(fields)
        case other:
            return _values(other, named)
    named[schema["name"]] = drawn
    return drawn


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Any value that *schema* can say, as fastavro takes it. Without NaN, which equals nothing."""
    return _values(schema, {})


def plainest_of(schema: Any) -> dict[str, Any]:
    """The plainest value that *schema* can say: zeros, nothing, first symbols."""
    plainest: dict[str, Any] = find(values_of(schema), lambda values: True)
    return plainest


@cache
def records_of(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of *kind* that its schema can say."""
    fields = values_of(json.loads(schema_texts()[kind.schema_name]))
    return fields.map(lambda values: msgspec.convert(values, kind))


def any_record() -> st.SearchStrategy[Record]:
    """Any record of any topic."""
    return st.sampled_from(kinds()).flatmap(records_of)


def zigzag(number: int) -> bytes:
    """A long as Avro writes it: zigzag, then 7 bits a byte, the lowest first."""
    left, written = (number << 1 ^ number >> 63) & 2**64 - 1, bytearray()
    while left > 127:
        written.append(left & 127 | 128)
        left >>= 7
    return bytes(written) + bytes([left])


def earlier() -> list[Any]:
    """Every schema that stood in schemas/ and does no longer."""
    today = {schema_fingerprint(schema) for schema in schemas().values()}
    kept = [json.loads(path.read_text()) for path in sorted(VERSIONS.glob("*/*.avsc"))]
    return [schema for schema in kept if schema_fingerprint(schema) not in today]


def kind_of(schema: Any) -> type[Record]:
    """Today's class of the record that *schema* is of."""
    (kind,) = [kind for kind in kinds() if kind.__name__ == schema["name"]]
    return kind


def body_of(schema: Any, values: Mapping[str, Any]) -> bytes:
    """*values* as a writer with *schema* writes them, without an envelope."""
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema, {}), values)
    return buffer.getvalue()
