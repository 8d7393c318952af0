"""Watermarks by hops, whatever order hops, their faults and observations come in."""

from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.runtime.progress import Hop, Offsets, Part, Tracker, observed, road_of_frames

PARTITIONS = 3
ROAD_OF_FRAMES = road_of_frames("drift", "predictions", "dead-letters")
NEXT = {"frames": "frames.accepted", "frames.rekeyed": "frames.accepted", "frames.accepted": "predictions"}


class Item(NamedTuple):
    home: int
    published_ms: int


class Log:
    """A partition: committed items, items of an open transaction, markers."""

    def __init__(self) -> None:
        self.items: list[Item | None] = []  # None: a marker, or what was aborted
        self.stable = 0  # below it nothing is open


class Road:
    """Services and a broker in one thread: a hop writes, then commits or aborts, with anything in between."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now_ms = 1
        self.logs: dict[Part, Log] = {
            (topic, partition): Log()
            for topic in ("frames", "frames.rekeyed", "frames.accepted", "predictions", "dead-letters")
            for partition in range(PARTITIONS)
        }
        self.committed: dict[tuple[str, Part], int] = {}
        self.open: dict[tuple[str, Part], tuple[int, list[Part]]] = {}
        self.processed: set[Item] = set()
        self.published: list[Item] = []
        self.stopped: set[str] = set()

    def publish(self) -> None:
        item = Item(self.random.randrange(PARTITIONS), self.now_ms)
        log = self.logs["frames", self.random.randrange(PARTITIONS)]
        log.items.append(item)
        log.stable = len(log.items)
        self.published.append(item)

    def work(self, service: str, topic: str, partition: int) -> None:
        """Begin a transaction over some records of a partition, or end the one that is open."""
        part = (topic, partition)
        place = self.committed.get((service, part), 0)
        if (service, part) in self.open:
            self._finish(service, part)
            return
        records = self.logs[part].items[place : self.logs[part].stable]
        if not records:
            return
        taken = records[: self.random.randint(1, len(records))]
        touched: list[Part] = []
        for item in filter(None, taken):
            if service == "drift":
                continue
            rekeyed = topic == "frames" and item.home != partition
            to = "frames.rekeyed" if rekeyed else NEXT[topic]
            if to == "predictions" and self.random.random() < 0.2:
                to = "dead-letters"
            log = self.logs[to, item.home]
            # One transaction at a time holds a partition here: a stand-in for the last stable offset.
            if log.stable < len(log.items) and (to, item.home) not in touched:
                for each in touched:
                    self._end(each, commit=False)
                return
            log.items.append(item)
            touched.append((to, item.home))
        self.open[service, part] = (place + len(taken), touched)

    def _finish(self, service: str, part: Part) -> None:
        place, touched = self.open.pop((service, part))
        commit = self.random.random() < 0.8
        if commit:
            if service == "drift":
                start = self.committed.get((service, part), 0)
                self.processed |= {*filter(None, self.logs[part].items[start:place])}
            self.committed[service, part] = place
        for each in touched:
            self._end(each, commit=commit)

    def _end(self, part: Part, *, commit: bool) -> None:
        log = self.logs[part]
        if log.stable == len(log.items):
            return
        if not commit:
            log.items[log.stable :] = [None] * (len(log.items) - log.stable)
        log.items.append(None)  # the marker
        log.stable = len(log.items)

    def anything(self) -> None:
        """Some of what may happen at any moment."""
        for _ in range(self.random.randrange(6)):
            self.now_ms += self.random.randrange(3)
            if self.random.random() < 0.3:
                self.publish()
            if self.random.random() < 0.02:
                self.stopped ^= {self.random.choice(("ingest", "inference", "drift"))}
            hop = self.random.choice(ROAD_OF_FRAMES)
            if hop.service not in self.stopped:
                self.work(hop.service, self.random.choice(hop.topics), self.random.randrange(PARTITIONS))

    def committed_of(self, hop: Hop) -> Offsets:
        self.anything()
        return {
            part: place
            for (service, part), place in self.committed.items()
            if service == hop.service and part[0] in hop.topics
        }

    def ends_of(self, hop: Hop) -> Offsets:
        self.anything()
        return {
            part: log.stable if part[0] == "frames" else len(log.items)
            for part, log in self.logs.items()
            if part[0] in hop.topics
        }

    def clock(self) -> int:
        self.anything()
        return self.now_ms

    def settle(self) -> None:
        """Everything is worked off, nothing new comes."""
        self.stopped.clear()
        for _ in range(200):
            for hop in ROAD_OF_FRAMES:
                for topic in hop.topics:
                    for partition in range(PARTITIONS):
                        self.work(hop.service, topic, partition)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_no_watermark_passes_a_frame_that_is_on_its_way(seed: int, observations: int) -> None:
    """Published before the watermark of its camera's partition, a frame has been worked on by the last hop; and when
    all is worked off, the watermark arrives at a time that was observed."""
    road = Road(Random(seed))
    tracker = Tracker(ROAD_OF_FRAMES, ROAD_OF_FRAMES, PARTITIONS)
    newest: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
    for _ in range(observations):
        progress = tracker.observe(observed(ROAD_OF_FRAMES, road.committed_of, road.ends_of, road.clock))
        for item in road.published:
            if item not in road.processed:
                assert progress.worked_until_ms(item.home) <= item.published_ms
        for partition in range(PARTITIONS):
            assert newest[partition] <= progress.worked_until_ms(partition)
            newest[partition] = progress.worked_until_ms(partition)
    road.settle()
    road.anything = lambda: None  # type: ignore[method-assign]
    settled_ms = road.now_ms
    for _ in range(2):
        road.now_ms += 1
        progress = tracker.observe(observed(ROAD_OF_FRAMES, road.committed_of, road.ends_of, road.clock))
    assert min(map(progress.worked_until_ms, range(PARTITIONS))) > settled_ms


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_the_wrong_order_is_caught(seed: int) -> None:
    """Negative control: a broken build that reads ends before what was committed is seen to break the law; where it is
    not in one course of events, it is in another."""
    assert any(_broken(Random(seed + number)) for number in range(200))


def _broken(random: Random) -> bool:
    road = Road(random)
    tracker = Tracker(ROAD_OF_FRAMES, ROAD_OF_FRAMES, PARTITIONS)
    for _ in range(40):
        ends = [road.ends_of(hop) for hop in ROAD_OF_FRAMES]
        committed = [road.committed_of(hop) for hop in ROAD_OF_FRAMES]
        seen: Any = observed(ROAD_OF_FRAMES, lambda _: {}, lambda _: {}, road.clock)
        progress = tracker.observe(seen._replace(ends=ends, committed=committed))
        if any(progress.worked_until_ms(item.home) > item.published_ms for item in {*road.published} - road.processed):
            return True
    return False
