#!/usr/bin/env bash
# librdkafka: after a transaction that failed for one refused record and was aborted, the next, good one fails too.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, transactions" \
  "The broker refuses one record (it is larger than its topic takes), the transaction is aborted as documented. The" \
  "next transaction, which is good in every way, fails as well; the one after that succeeds."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

servers = {"bootstrap.servers": os.environ["BROKER"]}
admin = AdminClient(servers)
admin.create_topics([NewTopic("t", 1, 1, config={"max.message.bytes": "10000"})])["t"].result(30)
producer = Producer(servers | {"transactional.id": "w", "message.max.bytes": 1_000_000, "log_level": 0})
producer.init_transactions(30)


def transaction(value: bytes) -> str:
    """Return "committed", or what the transaction failed with before it was aborted."""
    reports: list[str] = []
    producer.begin_transaction()
    producer.produce("t", value, on_delivery=lambda error, _: reports.append(error.name() if error else "delivered"))
    try:
        producer.flush(30)
        producer.commit_transaction(30)
    except KafkaException as fault:
        error = fault.args[0]
        producer.abort_transaction(30)
        return f"{error.name()}; the record: {', '.join(reports)}"
    return "committed"


ended = [transaction(value) for value in (b"first", b"x" * 50_000, b"good", b"good again")]
for what, end in zip(("good", "too large", "good", "good"), ended, strict=True):
    print(f"{what + ':':10} {end}")
if ended[0] != "committed" or "MSG_SIZE_TOO_LARGE" not in ended[1] or ended[3] != "committed":
    sys.exit("CHANGED: the other transactions end differently now.")
if ended[2] == "committed":
    sys.exit("CHANGED: the transaction after the aborted one is committed now.")
PY
