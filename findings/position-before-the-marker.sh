#!/usr/bin/env bash
# librdkafka: position() of a reader who has read everything stays before the marker of the last transaction.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, reading what transactions wrote" \
  "When the last record has been returned, position() lies one before the end, since the transaction's marker takes" \
  "an offset too; it moves past the marker only in a poll() that returns nothing. commit(message) then takes the" \
  "group back before the marker: a group that has read everything shows a lag of 1 a partition, for as long as" \
  "nothing comes."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS = 5
servers = {"bootstrap.servers": os.environ["BROKER"]}
admin = AdminClient(servers)
admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
producer = Producer(servers | {"transactional.id": "w", "log_level": 0})
producer.init_transactions(30)
producer.begin_transaction()
for number in range(RECORDS):
    producer.produce("t", b"%d" % number, partition=0)
producer.commit_transaction(30)

place = TopicPartition("t", 0)
reader = Consumer(servers | {"group.id": "g", "isolation.level": "read_committed", "enable.auto.commit": False})
reader.assign([TopicPartition("t", 0, 0)])
last = None
for _ in range(RECORDS):
    while (message := reader.poll(1)) is None:
        pass
    last = message
time.sleep(2)  # long enough for everything to have been fetched
_, end = reader.get_watermark_offsets(place, timeout=10)
after_last = reader.position([place])[0].offset
idle = reader.poll(1)
after_idle = reader.position([place])[0].offset
reader.commit(message=last, asynchronous=False)
committed = reader.committed([place], timeout=10)[0].offset
reader.close()
print(f"records {RECORDS}, end of the partition {end}")
print(
    f"position after the last record, two seconds later: {after_last}; after a poll that returned {idle}: {after_idle}"
)
print(f"committed by commit(message) after that: {committed}, so the group's lag is {end - committed}")
if (after_last, after_idle, committed, end) != (5, 6, 5, 6):
    sys.exit("CHANGED: it was 5, then 6, committed 5, of 6.")
PY
