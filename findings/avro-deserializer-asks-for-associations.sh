#!/usr/bin/env bash
# confluent-kafka: the Avro deserializer asks the registry for something else first, and its refusal fails each record.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0, AvroDeserializer" \
  "Before it looks up the schema that a record names by its id, it asks for /associations/…. With 404 it goes on;" \
  "with 403, from a registry or proxy that lets this reader read schemas only, every record fails and no schema is" \
  "asked for."
python_with 'confluent-kafka[avro,schemaregistry]==2.16.0'
"$PYTHON" - <<'PY'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

SCHEMA = json.dumps({"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]})
RECORD = b"\0\0\0\0\7\2"  # schema 7, n = 1


class Registry(BaseHTTPRequestHandler):
    """Serves schema 7; what else is asked for is answered with `others`."""

    others = 404
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        known = path == "/schemas/ids/7"
        status = 200 if known else self.others
        body = json.dumps({"schema": SCHEMA} if known else {"error_code": status, "message": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
found = {}
for status in (404, 403):
    Registry.others = status
    Registry.asked.clear()
    client = SchemaRegistryClient({"url": f"http://127.0.0.1:{server.server_port}", "max.retries": 0})
    deserialize = AvroDeserializer(client)
    answers = []
    for _ in range(3):
        try:
            answers.append(str(deserialize(RECORD, SerializationContext("t", MessageField.VALUE))))
        except SchemaRegistryError as fault:
            answers.append(f"SchemaRegistryError {fault.http_status_code}")
    found[status] = answers
    print(f"others {status}: three records: {', '.join(answers)}")
    print(f"            asked for: {', '.join(Registry.asked)}")
server.shutdown()
if found[404] != ["{'n': 1}"] * 3:
    sys.exit("CHANGED: a registry that does not know associations no longer does.")
if found[403] != ["SchemaRegistryError 403"] * 3:
    sys.exit("CHANGED: records are read though associations are refused.")
PY
