#!/usr/bin/env bash
# confluent-kafka: produce_batch() ignores the partition of a message, without an error.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0, Producer.produce_batch, with Apache Kafka 4.3.1" \
  "A message's \"partition\" is accepted and ignored: the partitioner decides where it goes, and nothing says so." \
  "produce(partition=) puts the same messages where they belong."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

MESSAGES = 40
servers = {"bootstrap.servers": os.environ["BROKER"]}
admin = AdminClient(servers)
for made in admin.create_topics([NewTopic("batch", 4, 1), NewTopic("single", 4, 1)]).values():
    made.result(30)
producer = Producer(servers)
accepted = producer.produce_batch("batch", [{"value": b"v", "key": b"%d" % n, "partition": 2} for n in range(MESSAGES)])
for number in range(MESSAGES):
    producer.produce("single", b"v", key=b"%d" % number, partition=2)
producer.flush(30)


def by_partition(topic: str) -> dict[int, int]:
    reader = Consumer(servers | {"group.id": "reader", "enable.auto.commit": False})
    held = (reader.get_watermark_offsets(TopicPartition(topic, place), timeout=10) for place in range(4))
    found = {place: high - low for place, (low, high) in enumerate(held)}
    reader.close()
    return found


batch, single = by_partition("batch"), by_partition("single")
print(f"produce_batch accepted {accepted} messages for partition 2; records by partition: {batch}")
print(f"produce(partition=2), the same messages:                  records by partition: {single}")
if single != {0: 0, 1: 0, 2: MESSAGES, 3: 0}:
    sys.exit("CHANGED: produce() too puts messages elsewhere than it is told.")
if batch == single:
    sys.exit("CHANGED: produce_batch() now puts messages into the partition that they name.")
PY
