"""Faust's Kafka transport, made to see committed records only, to commit only what is written, and to drop nothing.

Faust 0.15.3 reads uncommitted records unless it writes exactly once, which has open defects (its issues 323, 177 and
136), and has no setting for the one without the other. Alerts, outcomes and model events are written in transactions:
what was taken back must not be acted on. aiokafka takes the level from the consumer when it starts.

After a rebalance Faust drops what it had fetched and goes back to what was committed. Where nothing was committed yet
aiokafka stays where it is, and what was dropped is never read: in two of seven runs with two instances some labels
stayed uncounted. Such partitions are read from their beginning.

Before it commits Faust flushes what tables changed, but not the record that its sender has in hand, and for a tenth of
a second at most. Killed right after that it has committed a label whose count was never written. Commits wait for
tables.

When tables are back after a rebalance Faust seeks, and then resumes a flow that goes on already; resuming empties all
queues. What came in between, the first record or so of a partition, is gone: position and commits are beyond it. A flow
that goes on is left alone. What was queued before a seek comes twice then, which counts once.
"""

from collections.abc import Mapping
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from mode.utils.queues import FlowControlEvent  # type: ignore[import-not-found]


class _Thread(AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        committed: Mapping[Any, int | None] = await self.call_thread(self._seek_to_committed)
        return committed

    async def _seek_to_committed(self) -> Mapping[Any, int | None]:
        consumer = self._ensure_consumer()
        committed: Mapping[Any, int | None] = await consumer.seek_to_committed()
        changelogs = self.consumer.app.tables.changelog_topics
        never = [place for place, offset in committed.items() if not offset and place.topic not in changelogs]
        if never:
            await consumer.seek_to_beginning(*never)
        return committed


class _Consumer(Consumer):  # type: ignore[misc]
    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        for table in self.app.tables.values():
            await table.written()
        done: bool = await super()._commit(offsets)
        return done


class FlowControl(FlowControlEvent):  # type: ignore[misc]
    """What `faust.App.flow_control` is set to."""

    def resume(self) -> None:
        if not self.is_active():
            super().resume()


class CommittedTransport(Transport):  # type: ignore[misc]
    """What `faust.App.transport` is set to."""

    Consumer = _Consumer
