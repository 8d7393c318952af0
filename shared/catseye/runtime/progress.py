"""Up to which time the services on the road have worked: a watermark for each partition, hop by hop. Pure.

Law: a watermark is never later than a record that was published before it and has not been worked on by the last hop.

The ends of what the first hop reads are taken at a time; they and that time are a token. A hop passes a token on a
partition when the offsets that its group committed reach the ends of the token there. What the hop made of the records
is on the log then, so that the ends of the next topic, read after that, stand for the same time. The newest time that
passed every hop is the watermark. Ends and offsets are those of positions, markers of transactions included.

Times are those of the clock of whoever observes, Unix milliseconds: it must agree with ingest's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

Part = tuple[str, int]
"""Name of a topic without prefix, and partition."""
Offsets = Mapping[Part, int]
TOKENS_MOST: Final = 16
"""Tokens that wait at a hop for a partition; of more some go, so that its watermark moves in longer steps."""
UNOBSERVED_MS: Final = 5_000
"""Time between two observations over which nothing is known: it does not count as a wait."""
_FOR_EVER: Final = 2**62


class Hop(NamedTuple):
    """A service and what it reads.

    Attributes:
        service: Its name, which its group has too.
        topics: Without prefix.
        everywhere: Whether a camera's records may lie on any partition: then all of them must be passed.
    """

    service: str
    topics: tuple[str, ...]
    everywhere: bool = False


ROAD: Final = (
    Hop("ingest", ("frames", "labels"), everywhere=True),
    Hop("ingest", ("frames.rekeyed",)),
    Hop("inference", ("frames.accepted",)),
    Hop("ground_truth", ("predictions", "labels.accepted")),
    Hop("drift", ("predictions", "dead-letters", "outcomes", "views")),
)
"""Hops in the order in which frames, labels and what is made of them pass them."""


def road_of_frames(service: str, *topics: str) -> tuple[Hop, ...]:
    """Hops that a frame passes until *service* has read *topics*, which have its prediction."""
    return (Hop("ingest", ("frames",), everywhere=True), *ROAD[1:3], Hop(service, topics))


def road_of_labels(service: str, *topics: str) -> tuple[Hop, ...]:
    """Hops that a label and its frame pass until *service* has read *topics*, which have its outcome."""
    return (*ROAD[:4], Hop(service, topics))


class Observation(NamedTuple):
    """Offsets as they were seen once along a road.

    Attributes:
        at_ms: Taken before the ends of the first hop were read.
        committed: Of each hop, what its group committed; a partition without a committed offset is left out.
        ends: Of each hop, the ends of what it reads. The first hop's are read last of all. Those of any other are read
            after what the hops before it committed, and before what it committed itself.
    """

    at_ms: int
    committed: Sequence[Offsets]
    ends: Sequence[Offsets]


def observed(
    road: Sequence[Hop],
    committed_of: Callable[[Hop], Offsets],
    ends_of: Callable[[Hop], Offsets],
    clock: Callable[[], int],
) -> Observation:
    """Take an observation in the only order that the law allows.

    Args:
        road: Hops.
        committed_of: What the group of a hop committed of what the hop reads.
        ends_of: Ends of what a hop reads: of public topics the last stable offsets, since what a publisher's open
            transaction holds is not published yet; of others the high watermarks, since a transaction of which the
            offsets are committed may still wait for its markers.
        clock: Unix milliseconds.
    """
    ends: list[Offsets] = [{}]
    committed: list[Offsets] = []
    for place, hop in enumerate(road):
        if place:
            ends.append(ends_of(hop))
        committed.append(committed_of(hop))
    at_ms = clock()
    ends[0] = ends_of(road[0])
    return Observation(at_ms, committed, ends)


class HopProgress(NamedTuple):
    """How far one hop is.

    Attributes:
        service: Its name.
        worked_until_ms: It has worked off everything until then, on each of its partitions; 0 while that is not known.
        waited_ms: For how long the oldest token that it has not passed has waited for it; 0 when none waits, and of a
            service of which nobody ever saw a committed offset.
    """

    service: str
    worked_until_ms: int
    waited_ms: int


class Progress(NamedTuple):
    """How far a road has been worked off.

    Attributes:
        at_ms: When that was so.
        by_partition: Watermarks behind the last hop.
        hops: Those of the road, in order.
        otherwise_ms: Watermark of any other partition.
    """

    at_ms: int
    by_partition: Mapping[int, int]
    hops: tuple[HopProgress, ...] = ()
    otherwise_ms: int = 0

    def worked_until_ms(self, partition: int) -> int:
        """Every record that was published before then has been worked on where it concerns a camera of *partition*;
        0 while nothing is known."""
        return self.by_partition.get(partition, self.otherwise_ms)

    def stalled(self, limit_ms: int) -> HopProgress | None:
        """The first hop that a token has waited for longer than *limit_ms*: those after it only wait for it."""
        return next((hop for hop in self.hops if hop.waited_ms > limit_ms), None)


UNKNOWN: Final = Progress(0, {})
"""Before the first observation."""
ALL_WORKED: Final = Progress(0, {}, otherwise_ms=_FOR_EVER)
"""Where nothing can be on its way: over records of the past."""


class _Token(msgspec.Struct, frozen=True):
    """Ends that stand for a time.

    Attributes:
        at_ms: The time.
        since_ms: Since when it waits, in time that was observed.
        ends: Of each part of a queue.
    """

    at_ms: int
    since_ms: int
    ends: tuple[int, ...]


class _TokenQueue:
    """The tokens of a hop on one partition, or on all of them together."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.waiting: list[_Token] = []
        self.passed_ms = 0

    def take(self, at_ms: int, now_ms: int, ends: Offsets) -> None:
        """A time has come, with the ends that stand for it here."""
        token = _Token(at_ms, now_ms, tuple(ends.get(part, 0) for part in self.parts))
        # An end that went back is one of a topic that was made anew: what waited for the old one waits for ever.
        waiting = [
            each for each in self.waiting if all(old <= new for old, new in zip(each.ends, token.ends, strict=True))
        ]
        if waiting and waiting[-1].ends == token.ends:
            token = replace(token, since_ms=waiting.pop().since_ms)
        waiting.append(token)
        if len(waiting) > TOKENS_MOST:
            del waiting[_least_missed(waiting)]
        self.waiting = waiting

    def widen(self, ends: Offsets) -> None:
        """Take in partitions that were made since: when the tokens were taken there was nothing on them."""
        topics = {topic for topic, _ in self.parts}
        new = tuple(sorted(part for part in ends if part[0] in topics and part not in self.parts))
        self.parts += new
        self.waiting = [replace(token, ends=token.ends + (0,) * len(new)) for token in self.waiting]

    def let_pass(self, committed: Offsets) -> None:
        places = [committed.get(part, 0) for part in self.parts]
        while self.waiting and all(place >= end for place, end in zip(places, self.waiting[0].ends, strict=True)):
            self.passed_ms = self.waiting.pop(0).at_ms

    def has(self, at_ms: int) -> bool:
        """Whether a time has come here already."""
        return at_ms <= (self.waiting[-1].at_ms if self.waiting else self.passed_ms)

    def shift(self, by_ms: int) -> None:
        self.waiting = [replace(token, since_ms=token.since_ms + by_ms) for token in self.waiting]


def _least_missed(waiting: Sequence[_Token]) -> int:
    """Place of the token, neither the first nor the last, between whose neighbours there is the least time."""
    return min(range(1, len(waiting) - 1), key=lambda place: waiting[place + 1].at_ms - waiting[place - 1].at_ms)


class Tracker:
    """Follows tokens along a road.

    Args:
        hops: Of the road.
        observed: Hops that observations are of, in order, *hops* among them; a hop there may read more topics.
        partitions: Of every topic on it. A hop that a camera's records may lie anywhere for takes in more as they come.

    Raises:
        ValueError: a hop is not among those that are observed.
    """

    def __init__(self, hops: Sequence[Hop], observed: Sequence[Hop], partitions: int) -> None:
        self._hops = tuple(hops)
        self._places = [_place(hop, observed) for hop in hops]
        self._partitions = partitions
        self._at_ms = 0
        self._begin()

    def observe(self, seen: Observation) -> Progress:
        """Take the next observation. One whose time is before that of the last starts anew: the clock was put back."""
        now_ms = seen.at_ms
        if now_ms < self._at_ms:
            self._begin()
        elif now_ms - self._at_ms > UNOBSERVED_MS:
            for queue in (queue for queues in self._queues for queue in queues):
                queue.shift(now_ms - self._at_ms)
        self._at_ms = now_ms
        before: Sequence[_TokenQueue] = ()
        for hop, place, queues in zip(self._hops, self._places, self._queues, strict=True):
            if hop.everywhere:
                queues[0].widen(seen.ends[place])
            for partition, queue in enumerate(queues):
                if before:
                    came_ms = before[partition if len(before) > 1 else 0].passed_ms
                    if not queue.has(came_ms):
                        queue.take(came_ms, now_ms, seen.ends[place])
                queue.let_pass(seen.committed[place])
            before = queues
        for queue in self._queues[0]:
            queue.take(now_ms, now_ms, seen.ends[self._places[0]])
        watermarks = {partition: queue.passed_ms for partition, queue in enumerate(before)}
        if len(before) < self._partitions:
            watermarks = dict.fromkeys(range(self._partitions), before[0].passed_ms)
        return Progress(now_ms, watermarks, tuple(self._progress_of(number, seen) for number in range(len(self._hops))))

    def _begin(self) -> None:
        self._queues = [_queues(hop, self._partitions) for hop in self._hops]

    def _progress_of(self, number: int, seen: Observation) -> HopProgress:
        queues = self._queues[number]
        ever = any(part in seen.committed[self._places[number]] for queue in queues for part in queue.parts)
        oldest_ms = min((queue.waiting[0].since_ms for queue in queues if queue.waiting), default=self._at_ms)
        return HopProgress(
            self._hops[number].service,
            min(queue.passed_ms for queue in queues),
            self._at_ms - oldest_ms if ever else 0,
        )


def road_to_observe(roads: Sequence[Sequence[Hop]]) -> tuple[Hop, ...]:
    """Hops of `ROAD` that *roads* pass, with the topics that they need of each."""
    found = []
    for hop in ROAD:
        topics = {topic for road in roads for each in road if _within(each, hop) for topic in each.topics}
        if topics:
            found.append(hop._replace(topics=tuple(topic for topic in hop.topics if topic in topics)))
    return tuple(found)


def _within(hop: Hop, of: Hop) -> bool:
    return hop.service == of.service and set(hop.topics) <= set(of.topics)


def _place(hop: Hop, observed: Sequence[Hop]) -> int:
    for place, each in enumerate(observed):
        if _within(hop, each):
            return place
    raise ValueError(f"{hop} is not observed")


def _queues(hop: Hop, partitions: int) -> list[_TokenQueue]:
    by_partition = [[(topic, partition) for topic in hop.topics] for partition in range(partitions)]
    if hop.everywhere:
        return [_TokenQueue([part for parts in by_partition for part in parts])]
    return [_TokenQueue(parts) for parts in by_partition]
