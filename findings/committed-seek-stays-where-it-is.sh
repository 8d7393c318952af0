#!/usr/bin/env bash
# aiokafka: seek_to_committed() leaves a partition where it is if nothing was committed: what was read is skipped.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "aiokafka 0.14.0 with Apache Kafka 4.3.1, auto_offset_reset=\"earliest\"" \
  "A reader that wants to read again what it has not committed calls seek_to_committed(). Where the group has" \
  "committed nothing it returns None for the partition and moves nothing: reading goes on behind the records that" \
  "were to be repeated, while a new member of the group would begin at the first of them."
python_with aiokafka==0.14.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import asyncio
import logging
import os
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

logging.disable()  # of starting groups
BROKER = os.environ["BROKER"]
PLACE = TopicPartition("t", 0)


async def repeat(group: str, *, commit_first: bool) -> tuple[int | None, int]:
    """Read six records, commit after the second or not at all, seek; return what seek says and the next offset."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=BROKER, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    reader.subscribe(["t"])
    await reader.start()
    try:
        for number in range(6):
            record = await asyncio.wait_for(reader.getone(), 30)
            if commit_first and number == 1:
                await reader.commit({PLACE: record.offset + 1})
        sought = await reader.seek_to_committed()
        return sought[PLACE], (await asyncio.wait_for(reader.getone(), 30)).offset
    finally:
        await reader.stop()


async def main() -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([NewTopic("t", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=BROKER)
    await producer.start()
    for number in range(10):
        await producer.send_and_wait("t", b"%d" % number, partition=0)
    await producer.stop()
    some, nothing = await repeat("some", commit_first=True), await repeat("nothing", commit_first=False)
    print(f"six read, offset 2 committed: seek_to_committed says {some[0]}, the next record is at offset {some[1]}")
    print(
        f"six read, nothing committed:  seek_to_committed says {nothing[0]}, the next record is at offset {nothing[1]}"
    )
    if some != (2, 2):
        sys.exit("CHANGED: it no longer goes back to what was committed.")
    if nothing[1] != 6:
        sys.exit(f"CHANGED: with nothing committed it now goes on at offset {nothing[1]}.")


asyncio.run(main())
PY
