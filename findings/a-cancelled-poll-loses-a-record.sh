#!/usr/bin/env bash
# confluent-kafka's AIOConsumer: a poll() that wait_for() gave up on takes the next record with it.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0, AIOConsumer.poll inside asyncio.wait_for, with Apache Kafka 4.3.1" \
  "The thread that polls knows nothing of the cancellation: the record that comes while it waits goes to nobody. The" \
  "position is beyond it, so commit() commits it too, and it never comes again."
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.aio import AIOConsumer

ROUNDS = 5
servers = {"bootstrap.servers": os.environ["BROKER"], "log_level": 0}
admin = AdminClient(servers)
for made in admin.create_topics([NewTopic("timed", 1, 1), NewTopic("plain", 1, 1)]).values():
    made.result(30)
producer = Producer(servers)


async def timed(reader: AIOConsumer) -> Message | None:
    try:
        return await asyncio.wait_for(reader.poll(timeout=4), 0.5)
    except TimeoutError:
        return None


async def plain(reader: AIOConsumer) -> Message | None:
    return await reader.poll(timeout=0.5)


async def read(topic: str, poll: Callable[[AIOConsumer], Awaitable[Message | None]]) -> tuple[int, int]:
    """Read by *poll* while records come, five seconds apart at most; return how many came, and what is committed."""
    place = TopicPartition(topic, 0)
    reader = AIOConsumer(servers | {"group.id": topic, "enable.auto.commit": False})
    await reader.assign([TopicPartition(topic, 0, 0)])
    came = 0
    for number in range(ROUNDS):
        came += await poll(reader) is not None  # there is nothing yet
        producer.produce(topic, b"%d" % number)
        producer.flush(30)
        await asyncio.sleep(1)
    for _ in range(2 * ROUNDS):
        came += await reader.poll(timeout=0.5) is not None
    await reader.commit(asynchronous=False)
    committed = (await reader.committed([place]))[0].offset
    await reader.close()
    return came, committed


found = {}
for name, poll in (("timed", timed), ("plain", plain)):
    found[name] = asyncio.run(read(name, poll))
    what = "wait_for(poll(timeout=4), 0.5)" if name == "timed" else "poll(timeout=0.5)"
    print(f"{what:31}: {ROUNDS} written, {found[name][0]} came, committed offset {found[name][1]}")
if found["plain"] != (ROUNDS, ROUNDS):
    sys.exit("CHANGED: a plain poll loses records too.")
if found["timed"][0] == ROUNDS:
    sys.exit("CHANGED: no record is lost by wait_for().")
if found["timed"][1] != ROUNDS:
    sys.exit("CHANGED: what was lost is no longer committed.")
PY
