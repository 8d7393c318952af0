"""Checks before a training, suspects among labels, and the gate after it."""

import itertools

import numpy as np
import pytest

from services.trainer.checks import Limits, check
from services.trainer.gate import DRIFTED, ELSEWHERE, GOLDEN, MOST_ROWS, HeldOut, Row, assess, markdown
from services.trainer.gate import Where as WhereOf
from services.trainer.suspects import confident, neighbour_votes, suspects

_PICTURES = itertools.count(step=10_000)
"""The first number of so many pictures, new each time."""
LIMITS = Limits(fresh_fewest=4, different_fewest=3, suspects_most=0.15)


def frames(
    where: WhereOf,
    *,
    both: int = 0,
    won: int = 0,
    lost: int = 0,
    neither: int = 0,
    camera: str = "north",
    label: str = "car",
    alike: int = 1,
) -> list[HeldOut]:
    """So many frames of each kind, *alike* of a kind near-identical."""
    kinds = (((True, True), both), ((False, True), won), ((True, False), lost), ((False, False), neither))
    return [
        HeldOut(where, camera, label, *right, picture=first + place // alike)
        for (right, count), first in zip(kinds, _PICTURES, strict=False)
        for place in range(count)
    ]


def passed(held_out: list[HeldOut]) -> bool:
    """What the gate says, with a margin of one point and an error of 5 %."""
    return assess(held_out, margin=0.01, error=0.05).passed


def test_better_where_it_drifted_and_the_same_elsewhere_passes() -> None:
    """And the sentence has the numbers."""
    verdict = assess(
        [*frames(DRIFTED, both=40, won=30, lost=2, neither=8), *frames(ELSEWHERE, both=90, won=1, lost=2, neither=7)],
        margin=0.01,
        error=0.05,
    )
    assert verdict.passed
    assert verdict.because == (
        "passed the gate: drifted 52.5% to 87.5% of 80 (won 30, lost 2); "
        "elsewhere 92.0% to 91.0% of 100 (won 1, lost 2)"
    )


def test_without_evidence_of_better_where_it_drifted_it_does_not_pass() -> None:
    """Three against one is luck; better elsewhere does not help."""
    verdict = assess(
        [*frames(DRIFTED, both=40, won=3, lost=1), *frames(ELSEWHERE, both=50, won=50)], margin=0.01, error=0.05
    )
    assert not verdict.passed
    assert verdict.because == (
        "gate: no evidence of better where it drifted: drifted 93.2% to 97.7% of 44 (won 3, lost 1)"
    )


@pytest.mark.parametrize("where", [ELSEWHERE, GOLDEN])
def test_worse_elsewhere_does_not_pass(where: WhereOf) -> None:
    """On the road or on the golden set."""
    verdict = assess(
        [*frames(DRIFTED, won=50), *frames(where, both=150, lost=30, won=2, camera="")], margin=0.01, error=0.05
    )
    assert not verdict.passed
    assert verdict.because.startswith(f"gate: worse by more than 1.0%: {where} 98.9% to 83.5% of 182 (won 2, lost 30)")


def test_a_loss_within_the_margin_passes_whatever_the_evidence() -> None:
    """20 of 10,000 for certain is less than a point."""
    assert passed([*frames(DRIFTED, won=50), *frames(ELSEWHERE, both=9_980, lost=20)])
    assert not passed([*frames(DRIFTED, won=50), *frames(ELSEWHERE, both=980, lost=20)])


def test_one_camera_that_is_worse_stops_it() -> None:
    """Others that win hide it in the whole, not in the slices."""
    others = [*frames(DRIFTED, won=50), *frames(ELSEWHERE, both=100, won=40, camera="south")]
    assert passed(others)
    verdict = assess([*others, *frames(ELSEWHERE, both=60, lost=20, camera="east")], margin=0.01, error=0.05)
    assert not verdict.passed
    assert "elsewhere/camera/east" in verdict.because


def test_where_nothing_drifted_not_being_worse_is_enough() -> None:
    """A training by schedule, or by a person's wish."""
    assert passed(frames(ELSEWHERE, both=100))
    assert not passed(frames(ELSEWHERE, both=100, lost=30))


def test_without_a_held_out_frame_nothing_passes() -> None:
    """No evidence at all."""
    assert assess([], margin=0.01, error=0.05).because == "gate: there is no held-out frame to assess by"


def test_a_loss_on_the_whole_is_not_hidden_by_many_slices() -> None:
    """A picture of each of eight cameras and classes is evidence together, and of no camera."""
    lost = [frames(ELSEWHERE, both=19, lost=1, camera=f"c{place}", label=f"class {place}") for place in range(8)]
    verdict = assess([*frames(DRIFTED, won=50), *itertools.chain(*lost)], margin=0.01, error=0.05)
    assert verdict.because == "gate: worse by more than 1.0%: elsewhere 100.0% to 95.0% of 160 (won 0, lost 8)"


def test_a_picture_that_is_seen_often_says_what_it_says_once() -> None:
    """Neither twenty frames of two lorries that are parked, nor of as many that changed, are evidence."""
    known = frames(ELSEWHERE, both=500)
    assert passed([*frames(DRIFTED, won=50), *known, *frames(ELSEWHERE, lost=20, alike=10)])
    assert not passed([*frames(DRIFTED, won=50), *known, *frames(ELSEWHERE, lost=20)])
    verdict = assess([*frames(DRIFTED, won=50, alike=25), *known], margin=0.01, error=0.05)
    assert verdict.because == (
        "gate: no evidence of better where it drifted: drifted 0.0% to 100.0% of 50 (won 2, lost 0)"
    )


def test_a_picture_is_won_by_whoever_has_more_of_its_frames_right() -> None:
    """In one light the one, in another the other; and as many each say nothing."""
    one = [HeldOut(ELSEWHERE, "north", "car", *right, picture=7) for right in ((True, False), (False, True))]
    assert [(row.won, row.lost) for row in assess(one, margin=0.01, error=0.05).rows[:1]] == [(0, 0)]
    more = [*one, HeldOut(ELSEWHERE, "north", "car", True, False, picture=7)]
    assert [(row.won, row.lost) for row in assess(more, margin=0.01, error=0.05).rows[:1]] == [(0, 1)]
    others = [*more, HeldOut(ELSEWHERE, "north", "van", False, True, picture=7)]  # as dark, and another vehicle
    assert [(row.won, row.lost) for row in assess(others, margin=0.01, error=0.05).rows[:1]] == [(1, 1)]


def test_pictures_of_an_equal_candidate_stop_it_about_as_rarely_as_was_set() -> None:
    """Each is seen 20 times, and whoever knows it knows it each time; counted by frames it would be stopped at the half
    of times."""
    chance = np.random.default_rng(5)
    stopped, by_frames = 0, 0
    for _ in range(100):
        won = int(chance.binomial(12, 0.5))
        both = frames(ELSEWHERE, both=200)
        stopped += not passed([*both, *frames(ELSEWHERE, won=20 * won, lost=20 * (12 - won), alike=20)])
        by_frames += not passed([*both, *frames(ELSEWHERE, won=20 * won, lost=20 * (12 - won))])
    assert stopped <= 5
    assert by_frames >= 25


@pytest.mark.slow
def test_an_equal_candidate_passes_for_better_about_as_rarely_as_was_set() -> None:
    """5 % to both sides, so 2.5 % to the better one; Wilson's interval is not exact."""
    chance = np.random.default_rng(3)
    better = [
        passed(frames(DRIFTED, both=100, won=won, lost=40 - won)) for won in chance.binomial(40, 0.5, 1_500).tolist()
    ]
    assert np.mean(better) < 0.04


def test_slices_of_an_equal_candidate_stop_it_about_as_rarely_as_was_set() -> None:
    """Twenty cameras and no loss in truth."""
    chance = np.random.default_rng(4)
    stopped = 0
    for _ in range(100):
        held_out = frames(DRIFTED, won=50)
        for camera in range(20):
            won = int(chance.binomial(20, 0.5))
            held_out += frames(ELSEWHERE, both=20, won=won, lost=20 - won, camera=f"c{camera}")
        stopped += not passed(held_out)
    assert stopped <= 8


def test_the_table_is_numbers_and_lines_for_a_person() -> None:
    """The wholes first; of too many rows those with fewest frames are left out of the event."""
    held_out = [
        *frames(DRIFTED, won=2),
        *(one for camera in range(300) for one in frames(ELSEWHERE, both=1 + (camera < 9), camera=f"c{camera:03}")),
    ]
    verdict = assess(held_out, margin=0.01, error=0.05)
    assert [row.name for row in verdict.rows[:2]] == ["drifted", "elsewhere"]
    assert len(verdict.metrics) == 5 * MOST_ROWS
    assert verdict.metrics["drifted/won"] == 2.0
    assert verdict.metrics["elsewhere/camera/c008/frames"] == 2.0
    lines = markdown(verdict.rows).splitlines()
    assert len(lines) == 2 + len(verdict.rows)
    assert lines[2] == "| drifted | 2 | 0.0% (0.0% to 65.8%) | 100.0% (34.2% to 100.0%) | 2 | 0 |"


def test_a_row_knows_its_gain() -> None:
    """As a difference of accuracies."""
    row = Row("drifted", frames=10, champion=5, candidate=8, won=4, lost=1, low=0.3, high=0.9)
    assert row.gain == pytest.approx(0.3)
    assert (row.is_better, row.is_worse(0.0)) == (False, False)


# -- checks


def checked(count: int, *, different: int = 9, suspects_count: int = 0, fresh: int = 9, classes: int = 2) -> str:
    """What is refused of so many frames."""
    names = [f"class-{place % classes}" for place in range(count)]
    suspected = [place < suspects_count for place in range(count)]
    clusters = [place % different for place in range(count)]
    return check(names, clusters, suspected, [place < fresh for place in range(count)], LIMITS).refusal


def test_good_data_are_not_refused() -> None:
    """And where nothing changed all frames are looked at."""
    assert (checked(20), checked(20, fresh=0)) == ("", "")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (checked(0), "too_few_frames"),
        (checked(20, fresh=3), "too_few_frames"),
        (checked(20, classes=1), "one_class"),
        (checked(20, different=2), "duplicates"),
        (checked(20, suspects_count=2), "labels"),
    ],
)
def test_what_is_not_fit_to_train_on_is_refused_by_a_code(refusal: str, code: str) -> None:
    """A stable word before the colon."""
    assert refusal.partition(":")[0] == code


def test_suspects_are_counted_where_the_change_is() -> None:
    """Many right labels of old frames must not hide wrong ones of new frames."""
    found = check(
        ["a", "b"] * 10, list(range(20)), [place < 2 for place in range(20)], [place < 5 for place in range(20)], LIMITS
    )
    assert found.refusal == (
        "labels: 2 of 5 labels (40.0%) are contradicted by the champion and by similar frames; 15% may be "
        "(CATSEYE_TRAINER_SUSPECTS_MOST)"
    )
    assert found.numbers["data/fresh_suspect_share"] == 0.4
    assert found.numbers["data/imbalance"] == 1.0


# -- suspects

SIDE = 40


def two_clouds(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of two classes that lie apart, labels, and a champion that is right and sure."""
    chance = np.random.default_rng(seed)
    labels = np.repeat([0, 1], SIDE)
    features = chance.normal(0, 0.3, (2 * SIDE, 4)).astype(np.float32)
    features[:, 0] += np.where(labels == 0, -2, 2)
    champion = np.where(labels[:, None] == [0, 1], 0.95, 0.05).astype(np.float32)
    return champion, features, labels


def test_wrong_labels_are_suspects_and_right_ones_are_not() -> None:
    """Champion and neighbours say the same against them."""
    champion, features, labels = two_clouds()
    given = labels.copy()
    given[[3, 50]] = 1 - labels[[3, 50]]
    found = suspects(champion, features, given, np.arange(2 * SIDE))
    assert np.flatnonzero(found).tolist() == [3, 50]


def test_a_champion_that_is_wrong_in_fog_makes_no_suspects() -> None:
    """The labels of foggy frames agree with each other: neighbours do not contradict them."""
    champion, features, labels = two_clouds()
    champion[:SIDE] = champion[:SIDE, ::-1]
    assert not suspects(champion, features, labels, np.arange(2 * SIDE)).any()


def test_a_cluster_does_not_vouch_for_itself() -> None:
    """The same wrong label on a parked car's hundred frames is found by what other cars look like."""
    champion, features, labels = two_clouds()
    given = labels.copy()
    given[:8] = 1
    clusters = np.arange(2 * SIDE)
    clusters[:8] = 0
    assert np.flatnonzero(suspects(champion, features, given, clusters)).tolist() == list(range(8))


def test_confidence_is_over_the_mean_of_the_class() -> None:
    """A class that nobody carries is never predicted; below the mean nothing is."""
    chances = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.5, 0.5, 0.0]], dtype=np.float32)
    assert confident(chances, np.array([0, 0, 1, 1])).tolist() == [0, -1, 1, -1]


def test_where_all_is_one_cluster_nobody_says_anything() -> None:
    """All classes alike."""
    _, features, labels = two_clouds()
    votes = neighbour_votes(features, labels, np.zeros(2 * SIDE, dtype=np.int64), 2)
    assert np.unique(votes).tolist() == [0.5]
