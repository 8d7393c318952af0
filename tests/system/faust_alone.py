"""Run by test_retrain_trigger.py in the trigger's environment: what is written when an offset is committed, and what is
left of what was queued when a flow that goes on is resumed.

Prints how many changes were written at the commit by Faust alone, which leaves out the one that its sender has in hand;
by our transport; how many there were; how often our transport commits when a change has failed; how many records are
left in a queue by Faust alone; and by us.
"""

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer
from faust.transport.producer import ProducerBuffer

from services.retrain_trigger.committed import CommittedTransport, FlowControl
from services.retrain_trigger.trigger import Counts

CHANGES = 3


class SlowTopic:
    """Takes a moment for each record, as a broker does."""

    def __init__(self) -> None:
        self.written = 0

    async def publish_message(self, change: Any, wait: bool) -> None:
        await asyncio.sleep(0.02)
        self.written += 1
        change.set_result(None)


class Thread:
    """Commits at once; notes what was written then."""

    def __init__(self, topic: SlowTopic) -> None:
        self.topic = topic
        self.seen = -1

    async def commit(self, _: Any) -> bool:
        self.seen = self.topic.written
        return True


async def written_at_commit(kind: type) -> int:
    """How many of the changes are written when a consumer of *kind* commits, right after Faust's own flush."""
    app = faust.App("commits", broker="kafka://127.0.0.1:1", store="memory://", Table=Counts)
    topic = SlowTopic()
    buffer = ProducerBuffer()
    buffer.app = app
    table = app.Table("counts", partitions=1)
    table.changelog_topic = SimpleNamespace(send_soon=lambda **_: put(buffer, topic), get_topic_name=lambda: "counts")
    async with buffer:
        for number in range(CHANGES):
            table.send_changelog(0, b"camera", b"%d" % number)
        await buffer.flush()
        consumer: Any = object.__new__(kind)
        consumer.app, consumer._thread = app, Thread(topic)
        await consumer._commit({("outcomes", 0): CHANGES})
        seen: int = consumer._thread.seen
        await table.written()
    return seen


async def commits_after_a_failure() -> int:
    """How many commits our transport makes once a change was not written; each of two tries raises."""
    app = faust.App("failures", broker="kafka://127.0.0.1:1", store="memory://", Table=Counts)
    topic = SlowTopic()
    changes: list[Any] = []

    def send_soon(**_: Any) -> Any:
        changes.append(faust.types.FutureMessage(SimpleNamespace(channel=topic)))
        return changes[-1]

    table = app.Table("counts", partitions=1)
    table.changelog_topic = SimpleNamespace(send_soon=send_soon, get_topic_name=lambda: "counts")
    table.send_changelog(0, b"camera", b"0")
    changes[0].set_exception(OSError("the broker said no"))
    consumer: Any = object.__new__(CommittedTransport.Consumer)
    consumer.app, consumer._thread = app, Thread(topic)
    await asyncio.sleep(0)
    commits = 0
    for _ in range(2):
        try:
            commits += await consumer._commit({("outcomes", 0): 1})
        except OSError:
            continue
    return commits


def put(buffer: Any, topic: SlowTopic) -> Any:
    """What a topic's send_soon does."""
    change = faust.types.FutureMessage(SimpleNamespace(channel=topic))
    buffer.put(change)
    return change


async def left_after_a_resume(flow_control: Any) -> int:
    """How many of `CHANGES` records that were queued while the flow went on are there when it is resumed again."""
    app = faust.App("flow", broker="kafka://127.0.0.1:1", store="memory://")
    if flow_control is not None:
        app.flow_control = flow_control
    queue = app.channel().queue
    app.flow_control.suspend()
    queue.put_nowait("before the stop")
    app.flow_control.resume()
    assert queue.empty(), "what came before a stop belongs to the assignment before"
    for number in range(CHANGES):
        queue.put_nowait(number)
    app.flow_control.resume()
    left: int = queue.qsize()
    return left


if __name__ == "__main__":
    at_commit = [asyncio.run(written_at_commit(kind)) for kind in (Consumer, CommittedTransport.Consumer)]
    failed = asyncio.run(commits_after_a_failure())
    left = [asyncio.run(left_after_a_resume(control)) for control in (None, FlowControl())]
    sys.stdout.write(f"{at_commit[0]} {at_commit[1]} {CHANGES} {failed} {left[0]} {left[1]}\n")
