"""What stands in schemas/ is a promise: every version that ever stood there can be read, and says what it means.

schemas/versions/N holds what version N of schemas/CHANGELOG.md added or changed, and is never changed itself.
"""

import copy
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.codec import schema_fingerprint, schema_texts
from tests.corpora.avro import values_of

SCHEMAS = Path(__file__).parents[2] / "schemas"
VERSIONS = SCHEMAS / "versions"
CHANGELOG = SCHEMAS / "CHANGELOG.md"
Schema = dict[str, Any]


def parsed(text: str) -> Schema:
    """A schema as JSON has it."""
    schema: Schema = json.loads(text)
    return schema


def full_name_of(schema: Schema) -> str:
    """Name with its namespace."""
    return f"{schema['namespace']}.{schema['name']}"


NOW = {name: parsed(text) for name, text in schema_texts().items()}
EARLIER = [
    (version.name, parsed(path.read_text()))
    for version in sorted(VERSIONS.iterdir(), key=lambda folder: int(folder.name))
    for path in sorted(version.glob("*.avsc"))
]


def bare(schema: Any) -> Any:
    """*schema* without docs: those may be made better."""
    if isinstance(schema, list):
        return [bare(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: bare(value) for key, value in schema.items() if key != "doc"}
    return schema


def breaches(old: Schema, new: Schema) -> list[str]:
    """What *new* does that it must not do after *old*: fields are only added, behind the others, with a default."""
    if old["name"] != new["name"] or old.get("namespace") != new.get("namespace"):
        return [f"{old['name']} is called {new['name']}"]
    found = []
    for place, field in enumerate(old["fields"]):
        if place >= len(new["fields"]) or new["fields"][place]["name"] != field["name"]:
            found.append(f"{field['name']} was removed, renamed or moved")
        elif bare(new["fields"][place]) != bare(field):
            found.append(f"{field['name']} is of another type or has another default")
    added = new["fields"][len(old["fields"]) :]
    return found + [f"{field['name']} was added without a default" for field in added if "default" not in field]


def named_parts(schema: Any) -> Iterator[Schema]:
    """*schema* and every record and enum within it."""
    if isinstance(schema, list):
        for branch in schema:
            yield from named_parts(branch)
    elif isinstance(schema, dict):
        if "name" in schema and "type" in schema and schema["type"] in ("record", "enum"):
            yield schema
        for inner in ("type", "items", "values"):
            yield from named_parts(schema.get(inner, ()))
        for field in schema.get("fields", ()):
            yield from named_parts(field["type"])


def through(written: Schema, read: Schema, values: dict[str, Any]) -> dict[str, Any]:
    """*values* written by one version and read by another."""
    buffer = io.BytesIO()
    writer, reader = (fastavro.parse_schema(copy.deepcopy(schema), {}) for schema in (written, read))
    fastavro.schemaless_writer(buffer, writer, values)
    buffer.seek(0)
    fields: Any = fastavro.schemaless_reader(buffer, writer, reader)
    return dict(fields)


@pytest.mark.parametrize("name", sorted(NOW))
def test_every_part_says_what_it_means(name: str) -> None:
    """A sentence for each record and each field, which is where people read them; no field says it with its name."""
    for part in named_parts(NOW[name]):
        for field in part.get("fields", ()):
            assert re.fullmatch(r"\S.*\.", field.get("doc", "")), f"{part['name']}.{field['name']}"
        if part["type"] == "record":
            assert re.fullmatch(r"\S.*\.", part.get("doc", "")), part["name"]


@pytest.mark.parametrize("name", sorted(NOW))
def test_names_are_those_of_the_house(name: str) -> None:
    """snake_case fields, times with their unit, one namespace, a file named after its record."""
    schema = NOW[name]
    assert schema["namespace"] == "catseye"
    file_name = re.sub(r"(?<!^)(?=[A-Z])", "_", schema["name"]).lower()
    assert (SCHEMAS / f"{file_name}.avsc").exists()
    for field in schema["fields"]:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", field["name"]), field["name"]
        if "milliseconds" in field["doc"]:
            assert field["name"].endswith("_ms"), field["name"]


def test_every_version_of_the_changelog_is_kept() -> None:
    """One folder a heading."""
    assert sorted(re.findall(r"^## (\d+)$", CHANGELOG.read_text(), re.MULTILINE)) == sorted({v for v, _ in EARLIER})


def test_the_newest_versions_are_todays() -> None:
    """Whoever changes a schema adds a version: to the changelog and, as a copy, to schemas/versions."""
    newest = {full_name_of(schema): bare(schema) for _, schema in EARLIER}
    assert newest == {name: bare(schema) for name, schema in NOW.items()}


def test_a_version_holds_what_it_changed_and_nothing_else() -> None:
    """No copy of what was there before: each one can be told from the others by its fingerprint."""
    prints = [(full_name_of(schema), schema_fingerprint(schema)) for _, schema in EARLIER]
    assert len(set(prints)) == len(prints)
    assert len({print_ for _, print_ in prints}) == len(prints)


def test_what_is_installed_has_every_version() -> None:
    """The package and the images take the folder whole: without its versions, old records would be refused."""
    root = SCHEMAS.parent
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"schemas": "catseye/schemas"}
    for image in ("service", "trainer"):
        assert "COPY schemas schemas\n" in (root / "infra" / "docker" / f"{image}.Dockerfile").read_text()


def test_schemas_are_data() -> None:
    """Schemas and what is said of them; no code."""
    assert {path.suffix for path in SCHEMAS.rglob("*") if path.is_file()} == {".avsc", ".md"}


@pytest.mark.parametrize(("version", "old"), EARLIER, ids=lambda each: each if isinstance(each, str) else each["name"])
def test_every_earlier_version_is_kept_to(version: str, old: Schema) -> None:
    """No record ever leaves, no field changes."""
    assert breaches(old, NOW[f"catseye.{old['name']}"]) == []


@pytest.mark.parametrize(("version", "old"), EARLIER, ids=lambda each: each if isinstance(each, str) else each["name"])
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_versions_read_each_other(version: str, old: Schema, data: st.DataObject) -> None:
    """Both ways, with values drawn from the writer's schema: what both know comes through unchanged."""
    new = NOW[f"catseye.{old['name']}"]
    both = {field["name"] for field in old["fields"]}
    for writer, reader in ((old, new), (new, old)):
        values = data.draw(values_of(writer))
        came = through(writer, reader, values)
        assert {name: came[name] for name in both} == {name: values[name] for name in both}


def add_field(schema: Schema) -> None:
    schema["fields"].append({"name": "weather", "type": ["null", "string"], "doc": "Said by the camera."})


def add_field_in_between(schema: Schema) -> None:
    schema["fields"].insert(1, {"name": "weather", "type": "string", "default": "", "doc": "Said by the camera."})


def remove_field(schema: Schema) -> None:
    del schema["fields"][-1]


def rename_field(schema: Schema) -> None:
    schema["fields"][0]["name"] = "device"


def widen_field(schema: Schema) -> None:
    (field,) = [field for field in schema["fields"] if field["name"] == "frame_partition"]
    field["type"] = "long"


def drop_default(schema: Schema) -> None:
    (field,) = [field for field in schema["fields"] if field["name"] == "label"]
    del field["default"]


def add_symbol(schema: Schema) -> None:
    (field,) = [field for field in schema["fields"] if field["name"] == "change"]
    field["type"]["symbols"].append("doubted")


def rename_record(schema: Schema) -> None:
    schema["name"] = "Result"


@pytest.mark.parametrize(
    "change",
    [
        add_field,
        add_field_in_between,
        remove_field,
        rename_field,
        widen_field,
        drop_default,
        add_symbol,
        rename_record,
    ],
)
def test_a_breach_is_seen(change: Callable[[Schema], None]) -> None:
    """The negative control: each way of breaking the promise is one breach or more."""
    old, new = NOW["catseye.Outcome"], copy.deepcopy(NOW["catseye.Outcome"])
    change(new)
    assert breaches(old, new) != []


def test_a_field_with_a_default_may_be_added() -> None:
    """And the positive one, which old and new then read of each other."""
    old, new = NOW["catseye.Label"], copy.deepcopy(NOW["catseye.Label"])
    new["fields"].append({"name": "weather", "type": ["null", "string"], "default": None, "doc": "Said by a person."})
    new["fields"][0]["doc"] = "Better words."
    assert breaches(old, new) == []
    values = {
        "camera": "c",
        "boot": "b",
        "sequence": 1,
        "label": None,
        "labelled_at_ms": 1,
        "source": "",
        "propensity": 1,
    }
    assert through(old, new, values) == values | {"weather": None}
    assert through(new, old, values | {"weather": "rain"}) == values
