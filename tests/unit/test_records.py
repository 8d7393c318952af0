"""`infra.local.generate_records`: the classes are those of the schemas, and nobody wrote them by hand."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from catseye.contract import records
from catseye.contract.codec import schema_texts
from catseye.contract.records import Alert, Frame, Label, Record
from infra.local.generate_records import HEAD, TARGET, _Writer, generated
from tests.corpora.avro import kinds

PYTHON = {"string": str, "long": int, "int": int, "float": float, "double": float, "boolean": bool, "bytes": bytes}


def written(schema: dict[str, Any]) -> str:
    """What is generated for one schema."""
    writer = _Writer()
    writer.type_of(schema)
    return "\n".join(writer.classes)


def test_the_file_is_what_would_be_generated() -> None:
    """A schema that changed, or a class that somebody changed, shows here."""
    assert TARGET.read_text() == generated()
    assert generated().startswith(HEAD)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_a_class_has_the_fields_of_its_schema(kind: type[Record]) -> None:
    """Names, order, docs, which are required, and the types of the plain ones."""
    schema = json.loads(schema_texts()[kind.schema_name])
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, vars(records))
    assert list(fields) == [field["name"] for field in schema["fields"]]
    for field in schema["fields"]:
        assert fields[field["name"]].required == ("default" not in field)
        plain = PYTHON.get(field["type"]) if isinstance(field["type"], str) else None
        assert plain is None or hints[field["name"]] is plain
    reported = " ".join((kind.__doc__ or "").split())
    assert [field["name"] for field in schema["fields"] if f"{field['name']}: {field['doc']}" not in reported] == []


def test_defaults_are_those_of_the_schema() -> None:
    """Null, numbers, texts, booleans; each record has a list or mapping of its own."""
    label = Label(camera="c", boot="b", sequence=1, labelled_at_ms=1)
    assert (label.label, label.source, label.propensity) == (None, "person", 1.0)
    frames = [Frame(camera="c", boot="b", sequence=1, captured_at_ms=1, jpeg=b"") for _ in range(2)]
    assert [frame.telemetry for frame in frames] == [{}, {}]
    assert frames[0].telemetry is not frames[1].telemetry
    assert frames[0].explain is False
    assert next(field for field in msgspec.structs.fields(Alert) if field.name == "cameras").default_factory is list


def test_records_do_not_change() -> None:
    """What stands on a topic stands."""
    with pytest.raises(AttributeError):
        Label(camera="c", boot="b", sequence=1, labelled_at_ms=1).camera = "d"  # type: ignore[misc]


def test_a_named_type_stands_once_and_before_its_use() -> None:
    """Also when it is used again by its name alone."""
    place = {"type": "record", "name": "Place", "doc": "P.", "fields": [{"name": "x", "type": "int", "doc": "X."}]}
    schema = {
        "type": "record",
        "name": "Path",
        "doc": "Two places.",
        "fields": [
            {"name": "a", "type": place, "doc": "A."},
            {"name": "b", "type": ["null", "Place"], "doc": "B.", "default": None},
            {"name": "c", "type": {"type": "map", "values": "Place"}, "doc": "C.", "default": {}},
        ],
    }
    text = written(schema)
    assert text.count("class Place(") == 1
    assert text.index("class Place(") < text.index("class Path(")
    assert "    a: Place\n    b: Place | None = None\n" in text
    assert "    c: dict[str, Place] = msgspec.field(default_factory=dict)" in text


def test_every_kind_of_field_is_written() -> None:
    """Enums become literals, long docs are wrapped, texts are quoted, null stands last."""
    fields = [
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": [], "doc": "word " * 60 + "end."},
        {"name": "mood", "type": {"type": "enum", "name": "Mood", "symbols": ["good", "bad"]}, "doc": "M."},
        {"name": "name", "type": "string", "default": 'a "quoted" one', "doc": "N."},
        {"name": "raw", "type": ["null", "bytes"], "default": None, "doc": "R."},
        {"name": "on", "type": "boolean", "default": True, "doc": "O."},
    ]
    text = written({"type": "record", "name": "Thing", "doc": "T.", "fields": fields})
    assert 'Mood = Literal["good", "bad"]' in text
    assert max(len(line) for line in text.splitlines()) <= 120
    expected = [
        "    tags: list[str] = msgspec.field(default_factory=list)",
        "    mood: Mood",
        '    name: str = "a \\"quoted\\" one"',
        "    raw: bytes | None = None",
        "    on: bool = True",
    ]
    assert text.splitlines()[-5:] == expected


def test_an_unknown_type_is_an_error() -> None:
    """A name that no schema has given."""
    with pytest.raises(KeyError):
        written({"type": "record", "name": "T", "doc": "T.", "fields": [{"name": "a", "type": "Nothing", "doc": "A."}]})


def test_the_target_is_the_library() -> None:
    """The file that is imported is the one that is written."""
    assert Path(records.__file__).resolve() == TARGET
