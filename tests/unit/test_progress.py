"""Watermarks by hops, step by step."""

import pytest

from catseye.runtime.progress import (
    ALL_WORKED,
    ROAD,
    TOKENS_MOST,
    UNKNOWN,
    UNOBSERVED_MS,
    Hop,
    Observation,
    Progress,
    Tracker,
    road_of_frames,
    road_of_labels,
    road_to_observe,
)

A, B = Hop("first", ("in",), everywhere=True), Hop("second", ("middle",))
STANDS_MS = 15_000


class Stepped:
    """Two hops on two partitions; ends and committed offsets are set by hand."""

    def __init__(self) -> None:
        self.tracker = Tracker((A, B), (A, B), 2)
        self.ends = {"in": [0, 0], "middle": [0, 0]}
        self.committed = {"in": [0, 0], "middle": [0, 0]}

    def at(self, at_ms: int) -> Progress:
        def offsets(of: dict[str, list[int]], topic: str) -> dict[tuple[str, int], int]:
            return {(topic, partition): offset for partition, offset in enumerate(of[topic])}

        return self.tracker.observe(
            Observation(
                at_ms,
                [offsets(self.committed, topic) for topic in ("in", "middle")],
                [offsets(self.ends, topic) for topic in ("in", "middle")],
            )
        )


def watermarks(progress: Progress) -> list[int]:
    return [progress.worked_until_ms(partition) for partition in range(2)]


def test_nothing_is_known_before_a_token_has_passed() -> None:
    """0 stands for that; over the past everything is worked."""
    road = Stepped()
    assert UNKNOWN.worked_until_ms(0) == 0
    assert ALL_WORKED.worked_until_ms(7) > 10**15
    assert watermarks(road.at(1_000)) == [0, 0]
    assert watermarks(road.at(2_000)) == [1_000, 1_000]


def test_each_partition_has_its_own_watermark() -> None:
    """Where a hop works partition by partition, the one that stands does not stop the other."""
    road = Stepped()
    road.at(1_000)
    road.ends["middle"] = [5, 5]
    road.committed["middle"] = [5, 4]
    assert watermarks(road.at(2_000)) == [1_000, 0]
    road.committed["middle"] = [5, 5]
    assert watermarks(road.at(3_000)) == [2_000, 2_000]


def test_a_public_topic_is_passed_on_all_its_partitions_or_on_none() -> None:
    """A camera's frames may lie on any of them."""
    road = Stepped()
    road.ends["in"] = [3, 0]
    road.at(1_000)
    road.committed["in"] = [2, 0]
    assert watermarks(road.at(2_000)) == [0, 0]
    road.committed["in"] = [3, 0]
    assert watermarks(road.at(3_000)) == [2_000, 2_000]


def test_a_partition_that_is_new_holds_the_watermark_too() -> None:
    """What was published to it before it is read is on its way; tokens from before it was made pass as they would."""
    road = Stepped()
    road.ends["in"] = [3, 0]
    road.at(1_000)
    road.ends["in"], road.committed["in"] = [3, 0, 2], [3, 0, 0]
    assert watermarks(road.at(2_000)) == [1_000, 1_000]
    assert watermarks(road.at(3_000)) == [1_000, 1_000]
    road.committed["in"] = [3, 0, 2]
    assert watermarks(road.at(4_000)) == [3_000, 3_000]


def test_the_first_hop_that_stands_is_named() -> None:
    """Those after it wait for it; since when is the time of what it has worked off."""
    road = Stepped()
    for second in range(1, 20):
        if second == 3:
            road.ends["in"] = [1, 1]
        progress = road.at(1_000 * second)
    assert progress.stalled(STANDS_MS) == ("first", 2_000, 16_000)
    assert [hop.waited_ms for hop in progress.hops] == [16_000, 0]
    road.committed["in"], road.ends["middle"] = [1, 1], [1, 1]
    progress = road.at(20_000)
    assert progress.stalled(STANDS_MS) is None
    assert progress.hops[1] == ("second", 2_000, 0)  # what has just come to it does not count as having waited
    road.committed["middle"] = [1, 1]
    assert watermarks(road.at(21_000)) == [20_000, 20_000]


def test_time_that_nobody_observed_is_no_wait() -> None:
    """A broker that was away answers again: the hops have had no time since."""
    road = Stepped()
    road.at(1_000)
    road.ends["in"] = [1, 1]
    road.at(2_000)
    assert road.at(2_000 + UNOBSERVED_MS).hops[0].waited_ms == UNOBSERVED_MS
    progress = road.at(120_000)
    assert progress.hops[0].waited_ms == UNOBSERVED_MS
    assert progress.hops[0].worked_until_ms == 1_000


def test_a_service_that_never_committed_is_not_said_to_stand() -> None:
    """There are fleets without it; its watermark is unknown all the same."""
    tracker = Tracker((A,), (A,), 1)
    for second in range(60):
        progress = tracker.observe(Observation(1_000 + 1_000 * second, [{}], [{("in", 0): 4}]))
    assert (progress.stalled(STANDS_MS), progress.worked_until_ms(0)) == (None, 0)


def test_the_tokens_of_a_long_stall_are_few_and_still_show_progress() -> None:
    """An hour of one a second; then the hop works the backlog off and its watermark moves in steps, never too far."""
    road = Stepped()
    for second in range(1, 3_601):
        road.ends["in"] = [second, 0]
        road.at(1_000 * second)
    assert len(road.tracker._queues[0][0].waiting) <= TOKENS_MOST
    seen = set()
    for offset in range(0, 3_600, 100):
        road.committed["in"] = [offset, 0]
        until_ms = road.at(3_601_000 + offset).hops[0].worked_until_ms
        assert until_ms <= 1_000 * offset
        seen.add(until_ms)
    assert len(seen) > 4
    road.committed["in"] = [3_600, 0]
    assert road.at(3_700_000).hops[0].worked_until_ms > max(seen)


def test_a_clock_that_was_put_back_and_a_topic_made_anew_start_anew() -> None:
    """What was known by another clock, or of another log, says nothing."""
    road = Stepped()
    road.at(9_000)
    assert watermarks(road.at(10_000)) == [9_000, 9_000]
    assert watermarks(road.at(5_000)) == [0, 0]
    road.ends["in"] = [50, 50]
    road.at(6_000)
    road.ends["in"] = road.committed["in"] = [2, 2]
    road.at(7_000)
    assert watermarks(road.at(8_000)) == [7_000, 7_000]


def test_roads_are_observed_together() -> None:
    """Each hop once, with the topics that any of them needs; a hop that is not observed is a mistake of the caller."""
    frames, labels = (
        road_of_frames("drift", "predictions", "dead-letters", "views"),
        road_of_labels("drift", "outcomes"),
    )
    together = road_to_observe((frames, labels))
    assert together == ROAD
    assert road_to_observe((frames,)) == frames
    assert road_to_observe((road_of_frames("ground_truth", "predictions"),))[-1] == (
        "ground_truth",
        ("predictions",),
        False,
    )
    Tracker(frames, together, 3)
    Tracker(labels, together, 3)
    with pytest.raises(ValueError, match="labels"):
        Tracker(labels, frames, 3)
