#!/usr/bin/env bash
# librdkafka: a transaction that sends offsets takes 100 ms, and flush() before that makes it several times as fast.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, one small transaction right after another" \
  "The broker ends a transaction after commit_transaction() has returned, and refuses the next one's first request" \
  "until then (CONCURRENT_TRANSACTIONS). If that is send_offsets_to_transaction() it is tried again after" \
  "retry.backoff.ms, 100 by default, without a word. A shorter retry.backoff.ms mends that; so does flush() first," \
  "which seems to cost more."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import statistics
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TRANSACTIONS = 50
servers = {"bootstrap.servers": os.environ["BROKER"], "log_level": 0}
admin = AdminClient(servers)
admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
reader = Consumer(servers | {"group.id": "g", "auto.offset.reset": "earliest"})
reader.subscribe(["t"])
plain = Producer(servers)
plain.produce("t", b"v")
plain.flush(30)
while reader.poll(1) is None:
    pass
group = reader.consumer_group_metadata()


def transaction_ms(name: str, *, flush: bool = False, **settings: int) -> float:
    """First quartile of the time of a transaction of one record and one offset, ms; the first ten warm up."""
    producer = Producer(servers | {"transactional.id": name, "linger.ms": 0} | settings)
    producer.init_transactions(30)
    took = []
    for number in range(10 + TRANSACTIONS):
        begun = time.monotonic()
        producer.begin_transaction()
        producer.produce("t", b"v", partition=0)
        if flush:
            producer.flush(30)
        producer.send_offsets_to_transaction([TopicPartition("t", 0, number)], group, 30)
        producer.commit_transaction(30)
        took.append(1000 * (time.monotonic() - begun))
    return statistics.quantiles(took[10:], n=4)[0]


transaction_ms("warm")
default = transaction_ms("default")
flushed = transaction_ms("flushed", flush=True)
short = transaction_ms("short", **{"retry.backoff.ms": 5})
reader.close()
print(f"first quartile of {TRANSACTIONS} transactions of one record and its offset: {default:.0f} ms by default,")
print(f"{flushed:.0f} ms with flush() before the offsets are sent, {short:.0f} ms with retry.backoff.ms 5")
if default < 2 * short:
    sys.exit("CHANGED: by default a transaction is less than twice as slow as with a short backoff.")
if default < 2 * flushed:
    sys.exit("CHANGED: flush() no longer makes a transaction twice as fast.")
PY
