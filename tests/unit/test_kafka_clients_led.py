"""A leader that has just moved is waited for, by whoever asks for offsets."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from catseye.kafka.clients import offsets_at

PLACE = TopicPartition("frames", 0, -1)


class Answers:
    """A consumer that gives these answers in turn; proven against a broker by tests/system/test_backlog.py."""

    def __init__(self, *answers: Any) -> None:
        self.left = list(answers)
        self.learnt: list[str] = []

    def list_topics(self, topic: str, timeout: float) -> None:
        assert timeout > 0
        self.learnt.append(topic)

    def offsets_for_times(self, _: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: list[TopicPartition] = [answer]
        return found


def of_place(code: int) -> Any:
    """An answer whose fault lies in the place, as with several brokers."""
    place = TopicPartition("frames", 0, -1)
    return type("Place", (), {"error": KafkaError(code), "topic": place.topic, "partition": 0, "offset": -1001})()


@pytest.mark.parametrize("how", ["raised", "in the place"])
def test_a_leader_that_moves_is_waited_for(how: str) -> None:
    code = KafkaError.NOT_LEADER_FOR_PARTITION
    fault = KafkaException(KafkaError(code)) if how == "raised" else of_place(code)
    reader: Any = Answers(fault, fault, TopicPartition("frames", 0, 7))
    assert [place.offset for place in offsets_at(reader, [PLACE], 1)] == [7]


@pytest.mark.parametrize("how", ["raised", "in the place"])
def test_any_other_fault_is_told_at_once(how: str) -> None:
    code = KafkaError.TOPIC_AUTHORIZATION_FAILED
    fault = KafkaException(KafkaError(code)) if how == "raised" else of_place(code)
    reader: Any = Answers(fault, TopicPartition("frames", 0, 7))
    with pytest.raises(KafkaException) as met:
        offsets_at(reader, [PLACE], 1)
    assert met.value.args[0].code() == code
    assert len(reader.left) == 1


@pytest.mark.parametrize("how", ["raised", "in the place"])
def test_who_knows_fewer_partitions_than_there_are_asks_for_the_topic(how: str) -> None:
    """Else nothing is known of the others for minutes after somebody widened it."""
    code = KafkaError._UNKNOWN_PARTITION
    fault = KafkaException(KafkaError(code)) if how == "raised" else of_place(code)
    reader: Any = Answers(fault, TopicPartition("frames", 0, 7))
    assert [place.offset for place in offsets_at(reader, [PLACE], 1)] == [7]
    assert reader.learnt == ["frames"]
