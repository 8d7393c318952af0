"""Write shared/catseye/records.py from schemas/*.avsc: the schemas are the contract, the classes follow.

`python -m infra.local.generate_records` writes the file; a test compares it with what this would write.
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "shared" / "catseye" / "contract" / "records.py"
HEAD = '''"""Records of every topic, one class a schema. Generated from schemas/*.avsc: change those, then run
`python -m infra.local.generate_records`."""

from typing import ClassVar, Literal

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on a topic. Immutable; `msgspec.structs.replace` makes a changed copy."""

    schema_name: ClassVar[str]
'''
PRIMITIVES = {
    "string": "str",
    "long": "int",
    "int": "int",
    "float": "float",
    "double": "float",
    "boolean": "bool",
    "bytes": "bytes",
    "null": "None",
}


class _Writer:
    """Turns schemas into classes; a named type stands once, before its first use."""

    def __init__(self) -> None:
        self.classes: list[str] = []
        self._named: dict[str, str] = {}

    def type_of(self, schema: Any) -> str:
        if isinstance(schema, list):
            return " | ".join(self.type_of(branch) for branch in sorted(schema, key=lambda branch: branch == "null"))
        if isinstance(schema, str):
            return PRIMITIVES.get(schema) or self._named[schema]
        match schema["type"]:
            case "array":
                return f"list[{self.type_of(schema['items'])}]"
            case "map":
                return f"dict[str, {self.type_of(schema['values'])}]"
            case "enum":
                literal = ", ".join(f'"{symbol}"' for symbol in schema["symbols"])
                self._add(schema["name"], f"{schema['name']} = Literal[{literal}]")
            case "record":
                self._add(schema["name"], self._class(schema))
        return str(schema["name"])

    def _add(self, name: str, text: str) -> None:
        if name not in self._named:
            self._named[name] = name
            self.classes.append(text)

    def _class(self, schema: dict[str, Any]) -> str:
        fields = [(field, self.type_of(field["type"])) for field in schema["fields"]]
        lines = [f"class {schema['name']}(Record, frozen=True, kw_only=True):", f'    """{schema["doc"]}', ""]
        lines += ["    Attributes:"]
        lines += [_wrapped(f"        {field['name']}: {field['doc']}") for field, _ in fields]
        lines += ['    """', "", f'    schema_name: ClassVar[str] = "catseye.{schema["name"]}"', ""]
        lines += [f"    {field['name']}: {type_name}{_default(field)}" for field, type_name in fields]
        return "\n".join(lines)


def _wrapped(line: str) -> str:
    words, lines = line.strip().split(" "), ["        "]
    for word in words:
        if len(lines[-1]) + len(word) > 118:
            lines.append("            ")
        lines[-1] += word if not lines[-1].strip() else f" {word}"
    return "\n".join(lines)


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    if isinstance(default, list | dict):
        return f" = msgspec.field(default_factory={type(default).__name__})"
    return f" = {json.dumps(default)}" if isinstance(default, str) else f" = {default!r}"


def generated() -> str:
    """The text that records.py must have."""
    writer = _Writer()
    for path in sorted((ROOT / "schemas").glob("*.avsc")):
        writer.type_of(json.loads(path.read_text()))
    return HEAD + "".join(f"\n\n{text}\n" for text in writer.classes)


if __name__ == "__main__":
    TARGET.write_text(generated())
