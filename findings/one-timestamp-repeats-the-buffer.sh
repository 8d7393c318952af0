#!/usr/bin/env bash
# confluent-kafka's AIOProducer: one record with a timestamp makes others arrive again with each flush().
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0, AIOProducer, with Apache Kafka 4.3.1" \
  "produce(timestamp=) is accepted, and refused only when the buffer is flushed. Then the whole buffer is kept, that" \
  "which was sent a moment ago too: each flush() raises, and writes the good records once more."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import asyncio
import logging
import os
import sys

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.aio import AIOProducer

FLUSHES = 4
logging.disable()
servers = {"bootstrap.servers": os.environ["BROKER"], "log_level": 0}
admin = AdminClient(servers)
for made in admin.create_topics([NewTopic("good", 1, 1), NewTopic("stamped", 1, 1)]).values():
    made.result(30)


async def write() -> list[str]:
    producer = AIOProducer(servers | {"enable.idempotence": True}, buffer_timeout=0)
    acknowledged = [await producer.produce("good", b"once")]
    acknowledged.append(await producer.produce("stamped", b"v", timestamp=1_700_000_000_000))
    faults = []
    for _ in range(FLUSHES):
        try:
            await producer.flush()
        except NotImplementedError as fault:
            faults.append(str(fault))
        await asyncio.sleep(0.5)
    for answer in acknowledged:
        answer.cancel()
    return faults


faults = asyncio.run(write())
reader = Consumer(servers | {"group.id": "g"})
written = {
    topic: reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1] for topic in ("good", "stamped")
}
reader.close()
print(f"one record each to two topics; {len(faults)} of {FLUSHES} flushes raised: {faults[:1]}")
print(f"records written: {written}")
if not faults:
    sys.exit("CHANGED: a timestamp is no longer refused.")
if written["good"] <= 1:
    sys.exit("CHANGED: the good record is not written again.")
PY
