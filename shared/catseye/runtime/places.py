"""Where a worker reads: the places that it starts from and goes on from, and whether its topics fit together."""

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from catseye.kafka.clients import partition_bounds
from catseye.runtime.worker_clients import ANSWER_S

Places = Mapping[tuple[str, int], int]
"""Topic and partition to the offset that is read next."""


def starts(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """The committed offsets, or the start of the log where there is none. Raises `KafkaException`."""
    places = consumer.committed(partitions, timeout=15)
    for place in places:
        if place.error:
            raise KafkaException(place.error)  # else it would seem that there is none yet, and all be read again
        if place.offset < 0:
            # The first offset by number: asked to start at "the beginning", librdkafka idles for half a second.
            place.offset = partition_bounds(consumer, place)[0]
    return places


def as_list(places: Places) -> list[TopicPartition]:
    """*places* as the client wants them."""
    return [TopicPartition(*place, offset) for place, offset in places.items()]


def positions(consumer: Consumer, last_commit: Places) -> list[TopicPartition]:
    """Where to go on, of each partition: only with offsets is it asked whether the partitions are still ours, and
    who follows our offsets need not know where the log of a topic that has no records begins."""
    moved = consumer.position(consumer.assignment())
    return as_list({**last_commit, **{(each.topic, each.partition): each.offset for each in moved if each.offset >= 0}})


def counts(producer: Producer, names: Sequence[str]) -> dict[str, int]:
    """Partitions of those of *names* that are there. Raises `KafkaException`.

    Asked of the producer: a consumer that lists topics in a callback of its own poll has lost its way back into Python
    afterwards, and the next callback of the same poll ends the process (confluent-kafka 2.16.0).
    """
    there = producer.list_topics(timeout=ANSWER_S).topics
    return {name: len(there[name].partitions) for name in names if name in there}


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


def made_anew(consumer: Consumer, last_commit: Places) -> bool:
    """Whether a topic was deleted while it was read: the broker forgets the group's places on it, then."""
    here = [TopicPartition(*place) for place, offset in last_commit.items() if offset > 0]
    return any(place.offset < 0 for place in consumer.committed(here, timeout=ANSWER_S))
