#!/usr/bin/env bash
# librdkafka: a topic that is deleted and made again while it is read goes on at the old offset; what lies before is lost.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, Consumer with auto.offset.reset=earliest" \
  "Its reader has read 5 records when the topic is deleted, made again under the same name and given 10 records. It" \
  "goes on at offset 5 of the new topic: records 0 to 4 never come, and no error says that the topic is another one."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

servers = {"bootstrap.servers": os.environ["BROKER"]}
admin, producer = AdminClient(servers), Producer(servers)


def made(records: range) -> None:
    until = time.monotonic() + 30
    while True:  # for a moment the old one is still being deleted
        try:
            admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
            break
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    for number in records:
        producer.produce("t", str(number).encode())
    producer.flush(30)


made(range(100, 105))
reader = Consumer(
    servers | {"group.id": "g", "enable.auto.commit": False, "auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 1000}
)
reader.subscribe(["t"])
before, after, errors = [], [], []
while len(before) < 5:
    if (message := reader.poll(0.1)) is not None and not message.error():
        before.append(message.value().decode())
reader.commit(asynchronous=False)
admin.delete_topics(["t"])["t"].result(30)
made(range(10))
until = time.monotonic() + 30
while time.monotonic() < until and len(after) < 10 and "9" not in after:
    if (message := reader.poll(0.1)) is not None:
        if message.error():
            errors.append(message.error().name())
        else:
            after.append(message.value().decode())
reader.close()
print("before:", " ".join(before))
print("after: ", " ".join(after), "| errors:", " ".join(errors) or "none")
if "0" in after:
    sys.exit("CHANGED: the new topic is read from its start.")
if "9" not in after:
    sys.exit("CHANGED: the new topic is not read at all.")
PY
