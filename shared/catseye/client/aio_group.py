"""What a group of asyncio's readers keeps: where it begins, and what it has taken."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

_COMMIT_EVERY_S = 1.0


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of a group: where it begins, what it has taken, and what of that the group keeps.

    Args:
        inbox: The consumer.
        ends: Of partitions, where a group goes on that has no position there; of others the earliest.
    """

    def __init__(self, inbox: Any, ends: dict[TopicPartition, int]) -> None:
        self.fault: KafkaError | None = None
        self.placed = asyncio.Event()
        self._inbox = inbox
        self._ends = ends
        self._taken: dict[TopicPartition, int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._ticking = asyncio.create_task(self._tick())

    def take(self, place: TopicPartition, offset: int) -> None:
        """The record at *offset* counts as taken."""
        self._taken[place] = offset + 1

    async def keep(self) -> None:
        """Commit what has been taken. Raises `KafkaError`."""
        async with self._one_at_a_time:
            mine = self._inbox.assignment()
            kept = {place: offset for place, offset in self._taken.items() if place in mine}
            if kept:
                await self._commit(kept)
            # What is not there any more has moved to another member, which gets the records again.
            self._taken = {place: at for place, at in self._taken.items() if place in mine and at != kept.get(place)}

    async def close(self) -> None:
        """Commit what has been taken, for the last time. Raises `KafkaError`."""
        self._ticking.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticking
        await self.keep()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Keep what has been taken of them before another member reads on."""
        self.placed.clear()
        try:
            await self.keep()
        except KafkaError as fault:
            self.fault = fault
        self._taken.clear()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Give the group a position on each partition where it has none: what comes while it is away is then there
        when it comes back.
        """
        try:
            new = [place for place in assigned if await self._inbox.committed(place) is None]
            if new:
                begins = await self._inbox.beginning_offsets(new) | {
                    place: self._ends[place] for place in new if place in self._ends
                }
                for place, offset in begins.items():
                    self._inbox.seek(place, offset)
                await self._commit(begins)
        except IllegalStateError:
            pass  # they have moved again meanwhile
        except KafkaError as fault:
            self.fault = fault
        self.placed.set()

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        with suppress(CommitFailedError, IllegalStateError):  # the group is being shared out anew
            await self._inbox.commit(offsets)

    async def _tick(self) -> None:
        while self.fault is None:
            await asyncio.sleep(_COMMIT_EVERY_S)
            try:
                await self.keep()
            except KafkaError as fault:
                self.fault = fault
