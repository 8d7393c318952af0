"""The demo of whole roads: films with their truth, and what came of it held against that."""

from pathlib import Path

import av
import pytest

from catseye.contract.records import Vehicle
from infra.local.demo_roads import Found, figures_of, matched, sentences
from infra.local.films import SHOWN, Drive, Film, composed, planned
from services.simulator.roads import FPS


def vehicle(camera: str, track: str, label: str) -> Vehicle:
    """A record of the topic."""
    return Vehicle(
        camera=camera,
        boot="b",
        track=track,
        vehicle_id="0" * 32,
        first_seen_ms=0,
        last_seen_ms=1,
        received_at_ms=2,
        completed_at_ms=3,
        model="m",
        version="v",
        label=label,
        confidence=0.9,
        probabilities={label: 0.9},
        sequences=[0],
    )


ROAD = Film("road-01", "clear", Path("road-01.avi"), (Drive("car", "up", 4.0, 8.0), Drive("bike", "down", 4.5, 9.0)))
FOUND = {"road-01": [Found("1", "down", 5.0, 8.5), Found("2", "up", 4.5, 7.0)]}


def test_vehicles_that_pass_each_other_are_told_apart_by_their_direction() -> None:
    """Those that share no time are no pair, and one that was followed twice is one pair."""
    assert [(drive.label, each.track) for drive, each in matched(ROAD.drives, FOUND["road-01"])] == [
        ("car", "2"),
        ("bike", "1"),
    ]
    assert matched(ROAD.drives, [Found("1", "up", 20.0, 22.0)]) == []
    twice = [Found("1", "up", 4.0, 5.0), Found("2", "left", 5.0, 8.0)]
    assert [each.track for _, each in matched(ROAD.drives[:1], twice)] == ["1"]


def test_what_was_sent_and_has_no_record_is_lost_and_a_second_record_is_a_repeat() -> None:
    """The class counts of those that were matched."""
    both = [vehicle("road-01", "a1-1", "bike"), vehicle("road-01", "a1-2", "truck")]
    whole = figures_of([ROAD], FOUND, both)
    assert (whole["vehicles"], whole["counted"], whole["lost"], whole["repeated"]) == (2, 2, 0, 0)
    assert whole["accuracy_by_vehicle"] == 0.5
    assert whole["roads"][0]["by_direction"] == {"down": 1, "up": 1}
    assert "2 vehicles counted of 2; lost 0, repeated 0; the class is right of 50.0%" in sentences(whole)[0]
    assert figures_of([ROAD], FOUND, both[:1])["lost"] == 1
    assert figures_of([ROAD], FOUND, [*both, both[0]])["repeated"] == 1
    assert figures_of([ROAD], {"road-01": []}, [])["accuracy_by_vehicle"] == 0.0


def test_each_condition_is_shown_before_one_comes_again() -> None:
    """An empty road would show nothing."""
    names = list(planned(len(SHOWN) + 1))
    assert [condition for _, condition in names] == [*SHOWN, SHOWN[0]]
    assert "empty" not in SHOWN
    assert names[0][0] == "road-01"


def test_a_film_shows_what_it_says_that_drives(tmp_path: Path) -> None:
    """All of it can be read, and pictures differ while somebody drives."""
    film = composed("road-01", "clear", 3, 18.0, tmp_path)
    assert film.drives
    with av.open(str(film.file)) as container:
        pictures = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    assert len(pictures) == round(18 * FPS)
    middle = film.drives[0]
    number = round((middle.from_s + middle.to_s) / 2 * FPS)
    differ = [int((abs(pictures[each] - pictures[0]) > 30).sum()) for each in (1, number)]
    assert differ[1] > 10 * max(differ[0], 20)


def test_a_film_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(OSError, match=r"road-01\.avi cannot be written"):
        composed("road-01", "clear", 3, 1.0, tmp_path / "nowhere")
