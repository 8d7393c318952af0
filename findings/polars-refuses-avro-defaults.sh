#!/usr/bin/env bash
# polars: read_avro() refuses a file whose schema gives a field a default.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "polars 2.1.0, read_avro, files written by fastavro 1.13.1" \
  "A default of a field, which a reader of the same schema has no use for, makes the whole file \"OutOfSpec\":" \
  "numbers, strings, bytes, booleans and enums. Defaults that are null or an empty array pass. Schemas that evolve" \
  "compatibly are full of defaults."
python_with polars==2.1.0 fastavro==1.13.1
"$PYTHON" - <<'PY'
import io
import sys

import fastavro
import polars

FIELDS = (
    ("long", 0, 1),
    ("double", 0.0, 1.0),
    ("string", "", "x"),
    ("bytes", "", b"x"),
    ("boolean", False, True),
    ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, "A", "B"),
    (["null", "long"], None, 1),
    ({"type": "array", "items": "long"}, [], [1]),
)


def read(kind: object, value: object, **default: object) -> str:
    schema = {"type": "record", "name": "r", "fields": [{"name": "f", "type": kind, **default}]}
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema), [{"f": value}])
    file.seek(0)
    try:
        return str(polars.read_avro(file).rows()[0][0])
    except polars.exceptions.ComputeError as fault:
        return f"refused: {fault}"


refused = []
for kind, default, value in FIELDS:
    without, with_default = read(kind, value), read(kind, value, default=default)
    name = kind["type"] if isinstance(kind, dict) else str(kind)
    print(f"{name:17} without default: {without:6} with default {default!r:6}: {with_default}")
    if without.startswith("refused"):
        sys.exit(f"CHANGED: {name} is refused without a default too.")
    if with_default.startswith("refused"):
        refused.append(name)
if refused != ["long", "double", "string", "bytes", "boolean", "enum"]:
    sys.exit(f"CHANGED: refused for their default are now {refused}.")
PY
