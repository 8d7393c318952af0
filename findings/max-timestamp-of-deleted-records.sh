#!/usr/bin/env bash
# Kafka: OffsetSpec.max_timestamp() names a record that DeleteRecords took away.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "Apache Kafka 4.3.1, asked by confluent-kafka 2.16.0" \
  "ListOffsets with MAX_TIMESTAMP may name an offset below the partition's first: the record with the largest" \
  "timestamp still counts after DeleteRecords took it away, until its segment is gone. A reader that starts there is" \
  "out of range."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

servers = {"bootstrap.servers": os.environ["BROKER"]}
admin = AdminClient(servers)
admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
place = TopicPartition("t", 0)


def offset(spec: OffsetSpec) -> int:
    return admin.list_offsets({place: spec})[place].result(30).offset


producer = Producer(servers)
for number in range(10):
    # The third record has the largest timestamp.
    producer.produce("t", b"%d" % number, partition=0, timestamp=1_000_000 + (5_000 if number == 2 else number))
producer.flush(30)
before = offset(OffsetSpec.max_timestamp())
admin.delete_records([TopicPartition("t", 0, 6)])[place].result(30)
first, newest, end = (offset(spec) for spec in (OffsetSpec.earliest(), OffsetSpec.max_timestamp(), OffsetSpec.latest()))
print(f"max_timestamp before the deletion: offset {before}")
print(f"after it: earliest {first}, max_timestamp {newest}, latest {end}")
if not newest < first:
    sys.exit(f"CHANGED: max_timestamp now names offset {newest}, which is not below the first one, {first}.")
PY
