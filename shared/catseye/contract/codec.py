"""Records to bytes and back: Avro in one of two envelopes, told apart by the first byte.

- Avro single-object encoding: C3 01, the CRC-64-AVRO fingerprint of the schema (8 bytes, little-endian), the body.
- Confluent wire format: 00, the schema's id in the registry (4 bytes, big-endian), the body.

Only schemas that stand in schemas/, or stood there in an earlier version, are read: a writer's schema is never taken
from the wire, so its counts and sizes cannot be made up, and none of ours has an item of zero width. A record of an
earlier version comes as one of today's: fields that were added since have their defaults. Source: Avro specification
1.12, "Single-object encoding", "Parsing Canonical Form for Schemas" and "Schema Resolution".
"""

import copy
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import fastavro
import msgspec
from fastavro.schema import fingerprint, to_parsing_canonical_form

from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.malformed import malformed, unknown_format
from catseye.contract.records import Record

R = TypeVar("R", bound=Record)
Schema = dict[str, Any]
Known = tuple[str, Schema, Schema | None]
"""Full name of a record, the schema that it was written with, and today's where that is another one."""

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
_UNKNOWN_SCHEMA = "write with one of its files, unchanged, or bring the reader of a newer one to this service first"
# What fastavro raises on bytes that are not what the schema says; found by fuzzing every record (tests/property).
_MALFORMED = (EOFError, IndexError, ValueError, OverflowError, TypeError, KeyError, StopIteration, struct.error)


def _schema_folder() -> Path:
    """schemas/ of a checkout, or the copy that an installed package carries."""
    here = Path(__file__).resolve()
    packaged = here.parents[1] / "schemas"
    return packaged if packaged.is_dir() else here.parents[3] / "schemas"


@cache
def schema_texts() -> dict[str, str]:
    """Text of every file in schemas/, by full name of its record, for example ``catseye.Frame``."""
    texts = [path.read_text() for path in sorted(_schema_folder().glob("*.avsc"))]
    return {f"catseye.{json.loads(text)['name']}": text for text in texts}


@cache
def schemas() -> dict[str, Schema]:
    """Parsed Avro schema of every record, by full name."""
    return {name: _parsed(json.loads(text)) for name, text in schema_texts().items()}


def _parsed(schema: Schema) -> Schema:
    # Named types of its own: the files share some, which fastavro would otherwise take for repeats.
    parsed = fastavro.parse_schema(schema, {})
    assert isinstance(parsed, dict)
    return parsed


def schema_fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the parsing canonical form of *schema*: 8 bytes, little-endian."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _cut(schema: Schema, last: str) -> Schema:
    """*schema* up to its field *last*."""
    names = [field["name"] for field in schema["fields"]]
    return _parsed({**schema, "fields": schema["fields"][: names.index(last) + 1]})


def _leading(writer: Schema, today: Schema | None, last: str) -> tuple[Schema, Schema | None]:
    """Writer's and reader's schema for the fields up to *last*."""
    if today is None or any(field["name"] == last for field in writer["fields"]):
        return _cut(writer, last), None  # fields are only added behind the others, so up to here both are the same
    return writer, _cut(today, last)


@cache
def _by_fingerprint() -> dict[bytes, Known]:
    """Every schema that may have written a record: those of schemas/versions, then today's, which need no other."""
    known: dict[bytes, Known] = {}
    for path in sorted(_schema_folder().glob("versions/*/*.avsc")):
        writer = _parsed(json.loads(path.read_text()))
        known[schema_fingerprint(writer)] = (writer["name"], writer, schemas()[writer["name"]])
    return known | {schema_fingerprint(schema): (name, schema, None) for name, schema in schemas().items()}


@cache
def _is_nested(kind: type[Record]) -> bool:
    """Whether a field holds records, or lists of them."""
    return any(Record.__module__ in str(annotation) for annotation in kind.__annotations__.values())


class Codec:
    """Writes and reads records.

    Args:
        ids: Registry id of each record that is written, by full schema name; none writes single-object encoding.
        fingerprint_of_id: Looks a registry id up: the fingerprint of its schema, or None when nobody knows it. May
            raise `Unavailable`. Without it records in Confluent's format are refused.
    """

    def __init__(
        self,
        ids: Mapping[str, int] | None = None,
        fingerprint_of_id: Callable[[int], bytes | None] = lambda schema_id: None,
    ) -> None:
        self._fingerprint_of_id = fingerprint_of_id
        self._headers: dict[str, bytes] = {}
        self._readers: dict[bytes, Known] = {}
        self._leading: dict[tuple[bytes, str], tuple[Schema, Schema | None]] = {}
        for print_, known in _by_fingerprint().items():
            header = SINGLE_OBJECT + print_
            self._readers[header] = known
            if known[2] is None:
                self._headers[known[0]] = header
        for name, schema_id in (ids or {}).items():
            header = CONFLUENT + schema_id.to_bytes(4, "big")
            if name not in self._headers:
                raise Misconfigured(f"the schema registry was asked for {name}, which is not in schemas/")
            self._readers[header] = (name, schemas()[name], None)
            self._headers[name] = header

    def encode(self, record: Record) -> bytes:
        """Bytes of *record*, envelope included."""
        name = record.schema_name
        buffer = BytesIO()
        buffer.write(self._headers[name])
        fields = (
            msgspec.to_builtins(record, builtin_types=(bytes,))
            if _is_nested(type(record))
            else msgspec.structs.asdict(record)
        )
        fastavro.schemaless_writer(buffer, schemas()[name], fields)
        return buffer.getvalue()

    def decode(self, value: bytes | None, kind: type[R], *, max_bytes: int = 2**31) -> R:
        """Read one record of *kind*, of whatever version it is.

        Args:
            value: The bytes as they stand on the topic; None is what a tombstone has.
            kind: The record that the topic carries.
            max_bytes: Longest value that is looked at.

        Raises:
            BadRecord: the bytes are too many, in an unknown envelope or of an unknown schema, or not such a record.
            Unavailable: the schema registry does not answer.
        """
        if not value:
            raise BadRecord(Reason.UNKNOWN_FORMAT, "the value is empty; a record in Avro is needed")
        if len(value) > max_bytes:
            raise BadRecord(Reason.RECORD_TOO_LARGE, f"the value has {len(value)} bytes; at most {max_bytes} are read")
        header, name, writer, today = self._opened(value, kind)
        buffer = BytesIO(value)
        buffer.seek(len(header))
        try:
            fields: Any = fastavro.schemaless_reader(buffer, writer, today)
        except _MALFORMED as fault:
            raise self._malformed(value, header, name, writer, fault) from fault
        if buffer.tell() != len(value):
            rest = len(value) - buffer.tell()
            raise BadRecord(Reason.TRAILING_BYTES, f"{rest} bytes follow the {name}; every byte must be used")
        # An added list is the schema's own object: converting makes one a record.
        return msgspec.convert(fields, kind) if today is not None or _is_nested(kind) else kind(**fields)

    def leading_fields(self, value: bytes | None, kind: type[Record], last: str) -> dict[str, Any]:
        """Fields of a record of *kind* from the first up to *last*: Avro stands in order, so the rest need not be read.

        What follows *last* is not looked at, so of what others wrote no more than these is known. Raises as `decode`.
        """
        if not value:
            raise BadRecord(Reason.UNKNOWN_FORMAT, "the value is empty; a record in Avro is needed")
        header, name, writer, today = self._opened(value, kind)
        leading = self._leading.get((header, last))
        if leading is None:
            leading = self._leading[header, last] = _leading(writer, today, last)
        cut, wanted = leading
        buffer = BytesIO(value)
        buffer.seek(len(header))
        try:
            fields: Any = fastavro.schemaless_reader(buffer, cut, wanted)
        except _MALFORMED as fault:
            raise self._malformed(value, header, name, writer, fault) from fault
        return dict(fields) if wanted is None else copy.deepcopy(fields)

    def header_of(self, kind: type[Record]) -> bytes:
        """Envelope that stands before the fields of what `encode` writes."""
        return self._headers[kind.schema_name]

    def written_as(
        self, value: bytes | None, kind: type[Record], last: str | None
    ) -> tuple[bytes, Sequence[Mapping[str, Any]]] | None:
        """Envelope of *value* and the fields that stand behind it up to *last*; None where these are not today's.

        For `catseye.contract.heads`. Without *last* all fields. None too where *value* is not of a *kind*.
        """
        try:
            header, _, writer, today = self._opened(value or b"", kind)
        except BadRecord:
            return None
        fields: Sequence[Mapping[str, Any]] = writer["fields"]
        names = [each["name"] for each in fields]
        if last is None:
            return (header, fields) if today is None else None
        return (header, fields[: names.index(last) + 1]) if last in names else None

    def _malformed(self, value: bytes, header: bytes, name: str, writer: Schema, fault: Exception) -> BadRecord:
        def reads_until(last: str) -> bool:
            leading = self._leading.get((header, last))
            if leading is None:
                leading = self._leading[header, last] = _leading(writer, None, last)
            buffer = BytesIO(value)
            buffer.seek(len(header))
            try:
                fastavro.schemaless_reader(buffer, leading[0], None)
            except _MALFORMED:
                return False
            return True

        return malformed(name, len(value), [field["name"] for field in writer["fields"]], reads_until, fault)

    def _opened(self, value: bytes, kind: type[Record]) -> tuple[bytes, str, Schema, Schema | None]:
        """Envelope of *value* and what is `Known` of its record. Raises `BadRecord` where it is not a *kind*."""
        header = value[:10] if value[:1] == b"\xc3" else value[:5]
        name, writer, today = self._readers.get(header) or self._find_schema(header)
        if name != kind.schema_name:
            raise BadRecord(Reason.WRONG_RECORD, f"the value is a {name}; this topic carries {kind.schema_name}")
        return header, name, writer, today

    def _find_schema(self, header: bytes) -> Known:
        """Find the schema of an envelope that was not seen before, and remember it."""
        if header[:2] == SINGLE_OBJECT and len(header) == 10:
            raise BadRecord(
                Reason.UNKNOWN_SCHEMA,
                f"no schema with fingerprint {header[2:].hex()} is in schemas/: {_UNKNOWN_SCHEMA}",
            )
        if header[:1] != CONFLUENT or len(header) != 5:
            raise unknown_format(header, begun=header.startswith((SINGLE_OBJECT, CONFLUENT)))
        schema_id = int.from_bytes(header[1:], "big")
        print_ = self._fingerprint_of_id(schema_id)
        if print_ is None or print_ not in _by_fingerprint():
            raise BadRecord(
                Reason.UNKNOWN_SCHEMA, f"schema id {schema_id} is none of the schemas in schemas/: {_UNKNOWN_SCHEMA}"
            )
        self._readers[header] = _by_fingerprint()[print_]
        return self._readers[header]
