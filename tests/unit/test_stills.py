"""How long groups stood still, from the broker's clock."""

from infra.local.evidence import FrameAt, LabelAt, Log, OutcomeAt, PredictionAt
from infra.local.stills import Passage, lag_gone_at_ms, longest_still_ms, passages


def test_a_standstill_counts_only_while_there_is_work() -> None:
    """Between two records that come out a group stood still from when the second one was there."""
    idle = [Passage(0, 0, 10), Passage(0, 50_000, 50_010)]
    stuck = [Passage(0, 0, 10), Passage(0, 20, 50_010)]
    assert longest_still_ms(idle) == 10
    assert longest_still_ms(stuck) == 49_990


def test_partitions_stand_still_on_their_own() -> None:
    """A partition that works does not hide one that does not."""
    ways = [Passage(0, at, at + 1) for at in range(0, 1_000, 10)] + [Passage(1, 0, 900)]
    assert longest_still_ms(ways) == 900


def test_nobody_works_without_a_broker() -> None:
    """The time in which the broker was away does not count."""
    assert longest_still_ms([Passage(0, 0, 10_000)], [(1_000, 4_000), (9_000, 20_000)]) == 6_000


def test_lag_is_gone_when_the_last_late_record_came_out() -> None:
    """What takes no longer than allowed is no lag."""
    ways = [Passage(0, 0, 100), Passage(0, 50, 5_000), Passage(0, 4_900, 5_100)]
    assert lag_gone_at_ms(ways, 1_000) == 5_000
    assert lag_gone_at_ms(ways, 10_000) == float("-inf")


def test_every_service_has_its_passages() -> None:
    """Ingest from frames to accepted, inference from there to predictions, ground truth from the later of prediction
    and label to the outcome."""
    frame = ("north", "b0", 0)
    label = (frame, "car", 5)
    log = Log(
        frames=[FrameAt(2, 0, frame, 10), FrameAt(2, 1, frame, 12)],
        accepted=[FrameAt(1, 0, frame, 20)],
        predictions=[PredictionAt(1, 0, frame, "p", "v1", "champion", 1, 0, "car", 30)],
        labels_accepted=[LabelAt(1, 0, label, 90)],
        outcomes=[OutcomeAt(1, 0, label, "p", "champion", "car", "matched", 95)],
    )
    expected = {
        "ingest": [Passage(1, 10, 20)],
        "inference": [Passage(1, 20, 30)],
        "ground_truth": [Passage(1, 90, 95)],
    }
    assert expected == passages(log)
