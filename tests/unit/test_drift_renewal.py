"""A new version of the model: what it was held to stays, what its predictions were like goes."""

import math

import pytest
from msgspec import structs

from tests.simulation.cameras import QUICK, Camera, Watched


def renewed(**changes: float) -> tuple[Camera, Watched]:
    """A camera that has learned, and whose next frame is a new version's."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 400)
    for name, value in changes.items():
        setattr(camera, name, value)
    camera.version = "v2"
    return camera, watched


def test_pictures_are_learned_anew_and_labels_are_not() -> None:
    """The new version is held to what the one before it could do."""
    camera, watched = renewed()
    before = watched.table.reference[0].copy()
    assert watched.report().version == "v1"
    watched.see(camera.shot())
    known = watched.table.reference[0]
    assert watched.report().learning_left == QUICK.reference_samples - 1
    assert (int(known["frames"][1]), known["closed"].any(), known["histogram"].any()) == (1, False, False)
    for name in ("label_weights", "label_squares", "label_losses", "labels_closed", "labels_began_s"):
        assert known[name].tolist() == before[name].tolist()
    assert known["decorrelation_lag"][-1] == before["decorrelation_lag"][-1]
    assert not watched.table.learning[0].tobytes().strip(b"\0")  # pace is measured from half of the reference on
    assert watched.table.learning[0]["count"][-1] == 0


def test_the_report_says_which_version_and_since_when() -> None:
    """Event time of its first prediction."""
    camera, watched = renewed()
    shot = camera.shot()
    watched.see(shot)
    report = watched.report()
    assert (report.model, report.version, report.version_since_ms) == ("m", "v2", shot.received_at_ms)


def test_the_first_version_renews_nothing() -> None:
    """There was nothing before it."""
    watched = Watched()
    watched.see(*Camera().shots(2))
    assert int(watched.table.reference["frames"][0, 1]) == 2


def changed(error_share: float) -> tuple[Camera, Watched]:
    """A camera that has learned, and whose road is another since."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 400)
    camera.error_share, camera.light = error_share, 0.8
    watched.live(camera, 200)
    return camera, watched


@pytest.mark.slow
def test_on_a_changed_road_a_version_is_held_to_what_it_does_there() -> None:
    """It was made for the road as it is now: what it does at first is usual, and worse than that is seen."""
    camera, watched = changed(error_share=0.5)
    assert {"input", "accuracy"} <= watched.kinds()
    camera.version, camera.error_share = "v2", 0.12
    watched.live(camera, 1)
    assert watched.kinds() == set()
    assert not watched.table.reference[0]["labels_closed"].any()
    watched.live(camera, 600)
    assert watched.kinds() == set()
    camera.error_share = 0.5
    watched.live(camera, 300)
    assert "accuracy" in watched.kinds()


@pytest.mark.slow
def test_the_floor_stays_raised_until_a_version_is_over_it() -> None:
    """And nothing is learned as usual as long as it is."""
    camera, watched = changed(error_share=0.9)
    assert "accuracy_floor" in watched.kinds()
    camera.version = "v2"
    watched.live(camera, 100)
    assert watched.kinds() == {"accuracy_floor"}
    assert not watched.table.reference[0]["label_weights"].any()
    camera.error_share = 0.1
    watched.live(camera, 500)
    assert watched.kinds() == set()


@pytest.mark.slow
def test_a_worse_version_is_seen_against_the_one_before() -> None:
    """From its first labels on."""
    camera, watched = renewed(error_share=0.35)
    watched.live(camera, 300)
    assert {kind for kind, _ in watched.history()} == {"accuracy"}


@pytest.mark.slow
def test_going_back_to_a_version_is_a_new_one_too() -> None:
    """Its number is that of its name: nothing is written about it twice."""
    camera, watched = renewed()
    watched.see(*camera.shots(2))
    watched.cameras.commit()
    camera.version = "v1"
    watched.see(camera.shot())
    assert [key for key, _ in watched.cameras.changes() if key.startswith(b"\0v")] == []
    assert watched.report().version == "v1"
    assert watched.report().learning_left == QUICK.reference_samples - 1


@pytest.mark.parametrize("moment", ["before its first label", "after it"])
def test_statistics_of_a_new_version_are_numbers(moment: str) -> None:
    """Also while none of its labels has come: nothing that is not a number is written."""
    camera, watched = renewed()
    if moment == "after it":
        watched.live(camera, 3)
    else:
        watched.see(*camera.shots(3))
    outputs = watched.statistics()
    numbers = [value for each in outputs for value in structs.asdict(each).values() if isinstance(value, float)]
    assert numbers
    assert all(math.isfinite(value) for value in numbers)
