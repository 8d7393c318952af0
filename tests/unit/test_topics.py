"""`catseye.contract.topics`: one table, and what follows from it."""

import pytest

from catseye.contract.topics import BY_NAME, TOPICS, Kept, full_name, state_topic


def test_every_topic_stands_once() -> None:
    """Two of one name would share a log."""
    assert list(BY_NAME) == [topic.name for topic in TOPICS]


def test_names_carry_the_prefix() -> None:
    """Two fleets on one cluster keep apart by it."""
    assert full_name("frames.accepted", "blue.") == "blue.frames.accepted"
    assert state_topic("ground_truth", "blue.") == "blue.ground_truth.state"


@pytest.mark.parametrize("name", ["frame", "ingest", "blue.frames"])
def test_a_topic_that_is_not_in_the_table_has_no_name(name: str) -> None:
    """Nothing is written to a topic that nobody declared."""
    with pytest.raises(KeyError):
        full_name(name, "blue.")


def test_state_is_compacted_private_and_has_no_public_record() -> None:
    """And the other way round: whatever has no record is a service's state."""
    states = [topic for topic in TOPICS if topic.record is None]
    assert {topic.name for topic in states} == {topic.name for topic in TOPICS if topic.name.endswith(".state")}
    assert {(topic.kept, topic.public) for topic in states} == {(Kept.COMPACTED, False)}


def test_only_frames_and_labels_are_written_by_strangers() -> None:
    """Everything else may be read without checks."""
    assert {topic.name for topic in TOPICS if topic.public} == {"frames", "labels"}


def test_topics_that_are_joined_are_all_by_camera() -> None:
    """A frame, its prediction, its label and its outcome meet on one partition number."""
    joined = ("frames.rekeyed", "frames.accepted", "labels.accepted", "predictions", "outcomes", "labels.unmatched")
    assert [name for name in joined if not BY_NAME[name].by_camera] == []
