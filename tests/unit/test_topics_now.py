"""Topics that are there, with their ids, as a broker gives them or gives none."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from catseye.kafka.topics_now import TopicsNow, is_another
from catseye.settings import Settings


class Answers:
    """A client whose broker answers as a test says."""

    def __init__(self, **topics: object) -> None:
        self._topics = topics

    def describe_topics(self, names: Any, request_timeout: float) -> dict[str, "Future[object]"]:
        """One answer a topic."""
        assert (names.topic_names, request_timeout > 0) == (sorted(self._topics), True)
        return {name: answered(answer) for name, answer in self._topics.items()}


def answered(answer: object) -> "Future[object]":
    """An answer that is there."""
    future: Future[object] = Future()
    if isinstance(answer, KafkaError):
        future.set_exception(KafkaException(answer))
    else:
        future.set_result(SimpleNamespace(topic_id=answer, partitions=[0, 1, 2]))
    return future


def asked(**topics: object) -> TopicsNow:
    """Who asks for *topics*."""
    now = TopicsNow(Settings(), topics)
    vars(now)["_client"] = Answers(**topics)
    return now


def test_what_is_there_is_kept_for_who_must_not_wait() -> None:
    """With ids where there are any; what is not there is no fault."""
    now = asked(a=Uuid(1, 2), b=Uuid(0, 0), c=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert now.known == {}
    assert now.ask() == {"a": (str(Uuid(1, 2)), 3), "b": ("", 3)}
    assert now.known == now.ask()


def test_a_topic_that_may_not_be_asked_for_is_a_fault() -> None:
    """It cannot be taken for one that is missing."""
    now = asked(a=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        now.ask()
    assert now.known == {}


@pytest.mark.parametrize(("was", "now", "expected"), [("a", "b", True), ("a", "a", False), ("", "b", False)])
def test_only_two_ids_that_are_known_tell_two_topics_apart(was: str, now: str, expected: bool) -> None:
    """A broker that was upgraded gives ids from then on, and nothing is read again for that."""
    assert (is_another(was, now), is_another(now, was)) == (expected, expected)
