#!/usr/bin/env bash
# librdkafka: a new reader that is assigned at "the beginning" idles for half a second; assigned at 0 it does not.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, Consumer.assign" \
  "A new reader has its first record after half a second where its partition is assigned at OFFSET_BEGINNING, and" \
  "after some 20 ms where the same place is named by its number. A connection that is up already makes the" \
  "difference go away."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import statistics
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

servers = {"bootstrap.servers": os.environ["BROKER"]}
admin = AdminClient(servers)
admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
producer = Producer(servers)
producer.produce("t", b"v")
producer.flush(30)


def first_record_ms(offset: int, *, connected: bool = False) -> float:
    reader = Consumer(servers | {"group.id": "g", "enable.auto.commit": False})
    if connected:
        reader.get_watermark_offsets(TopicPartition("t", 0), timeout=10)
    begun = time.monotonic()
    reader.assign([TopicPartition("t", 0, offset)])
    while reader.poll(0.01) is None:
        pass
    took = time.monotonic() - begun
    reader.close()
    return 1000 * took


first_record_ms(0)
by_number, by_name = ([first_record_ms(offset) for _ in range(7)] for offset in (0, OFFSET_BEGINNING))
warm = [first_record_ms(OFFSET_BEGINNING, connected=True) for _ in range(7)]
number, name, known = (statistics.median(times) for times in (by_number, by_name, warm))
print(
    f"median of 7, assigned at 0: {number:.0f} ms; at OFFSET_BEGINNING: {name:.0f} ms, or {known:.0f} ms when connected"
)
if name - number < 200:
    sys.exit("CHANGED: a new reader that starts at the beginning is as quick as one that starts at 0.")
if name - known < 200:
    sys.exit("CHANGED: a connection that is up no longer makes a difference.")
PY
