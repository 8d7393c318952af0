"""`catseye.contract.topics`: one table, and what follows from it."""

import pytest

from catseye.contract.topics import BY_NAME, TOPICS, Kept, full_name, misfits, state_topic


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


COUNTS = {f"t.{topic.name}": 6 if topic.by_camera else 1 for topic in TOPICS}
NAMES = [topic.name for topic in TOPICS]


def test_topics_with_the_same_number_of_partitions_fit() -> None:
    """Public ones may have any; those of a group that nobody asks about are not looked at."""
    assert misfits(COUNTS, NAMES, "t.", 6) == {}
    assert misfits(COUNTS | {"t.frames": 12, "t.labels": 1, "other": 3}, NAMES, "t.", 6) == {}
    assert misfits(COUNTS | {"t.predictions": 12}, ["frames", "labels"], "t.", 6) == {}
    wide = {name: 2 * count for name, count in COUNTS.items()}
    assert misfits(wide, NAMES, "t.", 6) == {}


def test_the_topic_that_was_given_more_is_named_with_the_way_out() -> None:
    """In each of both groups."""
    found = misfits(COUNTS | {"t.predictions": 12, "t.alerts": 3}, NAMES, "t.", 6)
    assert found == {
        "t.predictions": "topic t.predictions has 12 partitions and t.dead-letters has 6, which do not fit together: "
        "`catseye topics create` gives all 12; services go on by themselves then, and CATSEYE_PARTITIONS stays 6",
        "t.alerts": "topic t.alerts has 3 partitions and t.alert.commands has 1, which do not fit together: "
        "`catseye topics create` gives all 3; services go on by themselves then",
    }
