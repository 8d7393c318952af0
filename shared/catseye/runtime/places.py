"""Where a worker reads: the places that it starts from and goes on from, and whether its topics fit together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition

from catseye.contract.errors import Misconfigured
from catseye.kafka.clients import partition_bounds
from catseye.kafka.topics_now import TopicNow, TopicsNow, is_another
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.worker_clients import ANSWER_S

Place = tuple[str, int]
"""Full name of a topic, and partition."""


class Places:
    """Where a worker goes on in each partition that it has, and the topics that those places are on, by their ids.

    What asks the broker raises `WorkerFailed` where it does not answer.

    Args:
        consumer: The worker's.
        group: Name of its group.
        topics: Asks for the topics and their ids; who watches them asks it again and again.
        made_anew: Gets the full name of a topic that was deleted and made again, once it is read from its start.
    """

    def __init__(
        self, consumer: Consumer, group: str, topics: TopicsNow, made_anew: Callable[[str], None] = lambda topic: None
    ) -> None:
        self._consumer = consumer
        self._group = group
        self._topics = topics
        self._made_anew = made_anew
        self._known: Mapping[str, TopicNow] = {}
        self._ids: dict[str, str] = {}  # of the topics that the places are on, empty where the broker gives none
        self.next: dict[Place, int] = {}
        """Offsets that are read next, as of the last commit. Another mapping each time that reading goes on elsewhere
        than it was."""

    def begin(self, partitions: list[TopicPartition]) -> tuple[list[TopicPartition], dict[str, int]]:
        """Where to go on in *partitions*, that the group gives, and how many each topic has now.

        It goes on at the committed offset, or at the start of the log where there is none, or one on a topic of
        another id.
        """
        there = self._known = self._ask()
        # One that is not there for a moment keeps the id that it had: its places are known by that.
        self._ids |= {place.topic: there[place.topic].id for place in partitions if place.topic in there}
        with self._finding():
            starts, anew = self._starts(partitions)
        self.next = {(place.topic, place.partition): place.offset for place in starts}
        for topic in anew:
            self._made_anew(topic)
        return starts, {name: topic.partitions for name, topic in there.items()}

    def forget(self) -> None:
        """The group has taken all partitions."""
        self.next = {}

    def last_commit(self) -> list[TopicPartition]:
        """Where it goes on, as the client wants it."""
        return self._as_list(self.next)

    def positions(self) -> list[TopicPartition]:
        """Where to go on, of each partition: only with offsets is it asked whether the partitions are still ours, and
        who follows our offsets need not know where the log of a topic that has no records begins."""
        moved = self._consumer.position(self._consumer.assignment())
        at = {(each.topic, each.partition): each.offset for each in moved if each.offset >= 0}
        return self._as_list({**self.next, **at})

    def are_committed(self, positions: list[TopicPartition]) -> None:
        """It goes on from these after an abort."""
        for position in positions:
            self.next[position.topic, position.partition] = position.offset

    def have_moved(self) -> bool:
        """Whether some are other than committed. (Two of one partition are equal to the client, whatever their
        offsets.)"""
        return any(self.next[place.topic, place.partition] != place.offset for place in self.positions())

    def begin_anew(self) -> bool:
        """Go to the start of topics that were deleted and made again while they were read, as far as is known; whether
        there are any.

        What is known stays. Where a topic was filled beyond our place before this was seen, what was read of it by then
        is read again.
        """
        if self._topics.known is self._known:
            return False
        there = self._known = self._topics.known
        anew = {name: now.id for name, now in there.items() if is_another(self._ids.get(name, ""), now.id)}
        if not anew:
            return False
        self._ids |= anew
        with self._finding():
            self.next = {
                (topic, partition): self._start_of(topic, partition) if topic in anew else offset
                for (topic, partition), offset in self.next.items()
                # Others of a topic that was made again the group takes away in a moment.
                if topic not in anew or partition < there[topic].partitions
            }
        for topic in anew:
            self._made_anew(topic)
        return True

    def find_again(self, refusal: str) -> str:
        """Find where to go on when the client refuses a place: it says so once, and maybe of one that has been left.

        Returns:
            What must be waited for; empty where reading goes on from `next`.

        Raises:
            Misconfigured: a person must decide where to go on.
            WorkerFailed: the next process begins at the start.
        """
        there = self._ask()
        if self.begin_anew():
            return ""
        if gone := [topic for topic, known in self._ids.items() if known and topic not in there]:
            return f"{gone[0]} is not there"  # it will have another id, or reading it fails
        with self._finding():
            is_forgotten, lost = self._is_forgotten(), self._off_the_log()
        if is_forgotten:
            raise WorkerFailed(f"{self._group}: a topic was deleted and made anew, to be read from its start")
        if lost:
            topic = lost[0].topic
            numbers = ",".join(str(place.partition) for place in lost if place.topic == topic)
            raise Misconfigured(
                f"group {self._group} left off at a place that is no longer on the log ({refusal}): records were "
                "deleted before they were read. Decide where to go on: `kafka-consumer-groups --bootstrap-server "
                f"BROKER --group {self._group} --topic {topic}:{numbers} --reset-offsets --to-earliest --execute` is "
                "the oldest record that is left, --to-latest what comes from now on; then start the service again"
            )
        self.next = dict(self.next)
        return ""

    def _starts(self, partitions: list[TopicPartition]) -> tuple[list[TopicPartition], list[str]]:
        starts, anew = self._consumer.committed(partitions, timeout=15), dict[str, None]()
        for place in starts:
            if place.error:
                raise KafkaException(place.error)  # else it would seem that there is none yet, and all be read again
            was = place.metadata or ""  # of an earlier build, or of a person who moved the place, there is none
            if place.offset >= 0 and is_another(was, self._ids.setdefault(place.topic, was)):
                anew[place.topic] = None
                place.offset = -1
            if place.offset < 0:
                # The first offset by number: asked to start at "the beginning", librdkafka idles for half a second.
                place.offset = self._start_of(place.topic, place.partition)
        return starts, list(anew)

    def _as_list(self, places: Mapping[Place, int]) -> list[TopicPartition]:
        """Each with its topic's id, that is committed with it."""
        return [
            TopicPartition(topic, partition, offset, self._ids.get(topic, ""))
            for (topic, partition), offset in places.items()
        ]

    def _start_of(self, topic: str, partition: int) -> int:
        return partition_bounds(self._consumer, TopicPartition(topic, partition))[0]

    def _is_forgotten(self) -> bool:
        """Whether the broker has forgotten places of the group, as it does when their topic is deleted: all that tells
        of it where topics have no ids."""
        here = [TopicPartition(*place) for place, offset in self.next.items() if offset > 0]
        return any(place.offset < 0 for place in self._consumer.committed(here, timeout=ANSWER_S))

    def _off_the_log(self) -> list[TopicPartition]:
        """Places that are before or behind their partition's log, by topic and partition."""
        places = [TopicPartition(*place, offset) for place, offset in sorted(self.next.items())]
        bounds = [partition_bounds(self._consumer, place) for place in places]
        return [place for place, (first, end) in zip(places, bounds, strict=True) if not first <= place.offset <= end]

    def _ask(self) -> Mapping[str, TopicNow]:
        try:
            return self._topics.ask()
        except KafkaException as fault:
            raise WorkerFailed(f"{self._group} cannot ask for its topics: {fault}") from fault

    @contextmanager
    def _finding(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as fault:
            raise WorkerFailed(f"{self._group} cannot find its place: {fault}") from fault


def fit(counted: Mapping[str, int], by_topic: Mapping[str, set[int]], state_topic: str | None) -> bool:
    """Whether a camera's records of each topic, and its state, are here together.

    Args:
        counted: Partitions of each topic.
        by_topic: Those of each topic that are here.
        state_topic: Where the state is; None where there is none.
    """
    joined = {counted.get(topic, 0) for topic in by_topic}
    enough = not state_topic or counted.get(state_topic, 0) >= max(joined, default=0)
    here = list(by_topic.values())
    return len(joined) <= 1 and enough and all(one == here[0] for one in here)
