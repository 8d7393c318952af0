"""A whole road becomes vehicles: each once, whatever the light, the leaves and the others do."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.cli import main
from catseye.roads.boxes import Box, around
from catseye.roads.motion import lamps_joined
from catseye.roads.road import Planes, Road
from catseye.roads.tracks import Track, Tracks
from catseye.video.times import Thinning
from tests.corpora.videos import write_video

HEIGHT, WIDTH, FPS = 180, 320, 25


@dataclass(frozen=True)
class Shot:
    """A picture, as the decoder gives it."""

    luma: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]
    at_s: float
    captured_at_ms: int


@dataclass(frozen=True)
class Car:
    """A car drives through from picture *since* on: so many pixels a picture, to the right where that is above 0."""

    since: int
    top: int
    speed: int
    level: int = 220
    until: int = 10_000


def shots(cars: list[Car], count: int = 220, gain: Callable[[int], float] = lambda number: 1.0) -> Iterator[Shot]:
    """A grainy road with a tree beside it, whose leaves sway."""
    rng = np.random.default_rng(3)
    road = rng.integers(70, 110, (HEIGHT, WIDTH)).astype(np.float32)
    for number in range(count):
        picture = road + rng.normal(0, 2, road.shape)
        picture[5:30, 5:30] += 40 * np.sin(number + np.mgrid[:25, :25][0])
        for car in cars:
            travelled = car.speed * (min(number, car.until) - car.since)
            left = travelled - 60 if car.speed > 0 else WIDTH + travelled
            if number >= car.since and -60 < left < WIDTH:
                picture[car.top : car.top + 30, max(0, left) : max(0, left + 60)] = car.level
                picture[car.top + 8 : car.top + 22, max(0, left + 20) : max(0, left + 40)] = 30
        luma = np.clip(picture * gain(number), 0, 255).astype(np.uint8)
        grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
        yield Shot(luma, grey, grey, number / FPS, 1_000_000 + 40 * number)


def directions(cars: list[Car], gain: Callable[[int], float] = lambda number: 1.0) -> Counter[str]:
    """Vehicles of a road by where they go."""
    road = Road(lambda picture, box: b"jpeg")
    found = [vehicle for shot in shots(cars, gain=gain) for vehicle in road.take(shot)] + road.end()
    assert all(vehicle.views and vehicle.first_seen_ms < vehicle.last_seen_ms for vehicle in found)
    return Counter(vehicle.track.direction for vehicle in found)


def test_an_empty_road_has_no_vehicle() -> None:
    """Leaves sway, and that is all."""
    assert directions([]) == {}


def test_two_that_pass_each_other_are_two() -> None:
    """Each with its direction."""
    assert directions([Car(40, 60, 6), Car(45, 95, -6)]) == {"right": 1, "left": 1}


def test_those_that_are_there_when_a_stream_begins_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it ends soon. Negative control: without the seconds that are held one leaves a ghost or is missed."""
    cars = [Car(-15, 60, 4), Car(-30, 95, -5)]
    assert directions(cars) == {"right": 1, "left": 1}
    road = Road(lambda picture, box: b"jpeg")
    assert [vehicle for shot in shots(cars, 55) for vehicle in road.take(shot)] == []
    assert Counter(vehicle.track.direction for vehicle in road.end()) == {"right": 1, "left": 1}
    monkeypatch.setattr("catseye.roads.road._MOST_HELD", 1)
    assert directions(cars) != {"right": 1, "left": 1}


def test_exposure_that_steps_while_a_car_passes_makes_no_other() -> None:
    """Negative control of what evens the light: the whole picture gets darker by a third, and brighter again."""
    assert directions([Car(60, 60, 6)], gain=lambda number: 0.66 if 80 <= number < 130 else 1.0) == {"right": 1}


def test_one_that_stops_for_a_second_is_one_and_one_that_hardly_moves_is_none() -> None:
    """A car that comes to park is no vehicle that drove by; one behind the other are two."""
    assert directions([Car(40, 60, 6), Car(80, 60, 6)]) == {"right": 2}
    assert directions([Car(40, 60, 6, until=46)]) == {}


def test_a_road_counts_the_same_at_every_rate_of_pictures() -> None:
    """Of 6, 8, 12 and 25 a second, and at uneven times: what a vehicle is depends on seconds, not on pictures."""
    cars = [Car(60, 60, 6), Car(70, 95, -6), Car(135, 60, 8)]
    roads = {rate: (Road(lambda picture, box: b"jpeg"), Thinning(rate)) for rate in (6.0, 8.0, 12.0, 25.0)}
    found = {rate: Counter[str]() for rate in roads}
    chance = np.random.default_rng(1)
    uneven, counted = Road(lambda picture, box: b"jpeg"), Counter[str]()
    for shot in shots(cars, 205):
        for rate, (road, thinning) in roads.items():
            if thinning.wants(shot.at_s):
                found[rate].update(vehicle.track.direction for vehicle in road.take(shot))
        if chance.random() < 0.5:
            counted.update(vehicle.track.direction for vehicle in uneven.take(shot))
    for rate, (road, _) in roads.items():
        found[rate].update(vehicle.track.direction for vehicle in road.end())
    counted.update(vehicle.track.direction for vehicle in uneven.end())
    assert {**found, 0.0: counted} == {rate: {"right": 2, "left": 1} for rate in [*roads, 0.0]}


def test_views_are_apart_in_time_and_whole_where_one_is() -> None:
    """The best comes first; no more than three."""
    taken: list[Box] = []

    def crop(picture: Planes, box: Box) -> bytes:
        taken.append(box)
        return b"jpeg"

    road = Road(crop)
    found = [vehicle for shot in shots([Car(40, 60, 4)]) for vehicle in road.take(shot)]
    (vehicle,) = found
    stamps = sorted(view.at_s for view in vehicle.views)
    assert 1 < len(stamps) <= 3
    assert np.diff(stamps).min() >= 0.4
    assert vehicle.views[0].score == max(view.score for view in vehicle.views)
    assert all(0 <= view.box.left < view.box.right <= 1.0001 for view in vehicle.views)
    assert vehicle.first_seen_ms < vehicle.views[0].captured_at_ms < vehicle.last_seen_ms


def moving(number: int, hidden: range = range(0)) -> list[Box]:
    """A box that goes to the right, but for pictures in which it is hidden."""
    return [] if number in hidden else [Box(0.02 * number, 0.4, 0.15, 0.1)]


def test_one_that_is_hidden_for_a_second_is_the_same_afterwards() -> None:
    """Negative control: after two seconds it is another."""
    for hidden, ends in ((range(10, 32), 0), (range(8, 41), 1)):
        tracks = Tracks()
        ended = [track for number in range(42) for track in tracks.take(moving(number, hidden), number / 25, number)]
        assert (len(ended), len(tracks.now)) == (ends, 1)


def test_what_left_where_nothing_is_seen_any_more_is_not_what_comes_from_there() -> None:
    """In the far, where boxes are small, and at the ends of the picture."""
    far = [Box(0.5, 0.3 - 0.004 * number, 0.06, 0.07) for number in range(20)]
    out = [Box(0.7 + 0.02 * number, 0.4, 0.3 - 0.02 * number, 0.2) for number in range(14)]
    for leaving in (far, out):
        tracks = Tracks()
        for number, box in enumerate(leaving):
            tracks.take([box], number / 12.5, number)
        empty: list[list[Box]] = [[]] * 7  # half a second
        for number, boxes in enumerate([*empty, *([box] for box in reversed(leaving))], len(leaving)):
            tracks.take(boxes, number / 12.5, number)
        assert [track.number for track in tracks.now] == [2]


def test_a_rear_that_shows_at_the_end_of_the_picture_is_no_second_vehicle() -> None:
    """A vehicle that drives in, whose middle has the colour of the road; what is a length behind it is one."""
    for behind, vehicles in ((0.05, 1), (0.5, 2)):
        tracks, found = Tracks(), list[Track]()
        for number in range(35):
            front = Box(0.4, 0.9 - 0.04 * number, 0.2, min(0.3, 0.1 + 0.04 * number))
            rear = Box(0.42, front.bottom + behind, 0.16, 0.1).inside()
            boxes = [box for box in (front.inside(), rear) if box is not None and box.height > 0.03]
            found += tracks.take(boxes, number / 12.5, number)
        assert sum(track.drives for track in found + tracks.end()) == vehicles


def test_two_in_one_box_stay_within_it_and_go_on_where_they_part() -> None:
    """Both brake while they pass each other, so that each is far from where its speed would have brought it."""
    tracks = Tracks()
    for number in range(60):
        come = 0.02 * min(number, 12) + 0.004 * max(0, min(number, 40) - 12) + 0.02 * max(0, number - 40)
        one, other = Box(0.1 + come, 0.4, 0.3, 0.2), Box(0.6 - come, 0.55, 0.3, 0.2)
        gap = max(one.left - other.right, other.left - one.right)
        tracks.take([around([one, other])] if gap < 0 else [one, other], number / 12.5, number)
    assert [(track.number, track.direction, track.drives) for track in tracks.now] == [
        (1, "right", True),
        (2, "left", True),
    ]


def test_one_that_melts_with_what_just_came_keeps_its_own_way() -> None:
    """In the far one goes away while another comes out of it: one box at once twice as wide, then the other's."""
    tracks, found = Tracks(), list[Track]()
    for number in range(60):
        gone, come = Box(0.52, 0.6 - 0.0075 * number, 0.06, 0.1), Box(0.44, 0.3 + 0.01 * (number - 36), 0.06, 0.1)
        boxes = [gone] if number < 36 else [around([gone, come])] if number < 44 else [come]
        found += tracks.take(boxes, number / 12.5, number)
    assert [(track.number, track.drives, track.direction) for track in found + tracks.end()] == [
        (1, True, "up"),
        (2, True, "down"),
    ]


def test_pieces_of_one_are_one_and_one_of_two_is_two() -> None:
    """Motion breaks a vehicle where its roof has the colour of the road, and melts two that pass each other."""
    tracks = Tracks()
    for number in range(10):
        tracks.take(moving(number), number / 25, number)
    box = moving(10)[0]
    halves = [box._replace(width=0.06), box._replace(left=box.left + 0.09, width=0.06)]
    tracks.take(halves, 0.4, 10)
    assert [track.number for track in tracks.now] == [1]
    both = Tracks()
    for number in range(30):
        one, other = Box(0.02 * number, 0.4, 0.15, 0.1), Box(0.8 - 0.02 * number, 0.48, 0.15, 0.1)
        near = abs(one.centre[0] - other.centre[0]) < 0.15
        melted = [Box(min(one.left, other.left), 0.4, abs(one.left - other.left) + 0.15, 0.18)]
        assert both.take(melted if near else [one, other], number / 25, number) == []
    assert sorted((track.number, track.direction) for track in both.now) == [(1, "right"), (2, "left")]


def test_a_piece_that_goes_along_with_its_vehicle_is_none_of_its_own() -> None:
    """Negative control: what goes the other way beside it, or as fast in the next lane, is."""
    pieces: list[tuple[Callable[[float], Box], list[bool]]] = [
        (lambda at: Box(at - 0.14, 0.42, 0.12, 0.06), [True, False]),
        (lambda at: Box(0.8 - at, 0.42, 0.12, 0.06), [True, True]),
        (lambda at: Box(at, 0.55, 0.15, 0.1), [True, True]),
    ]
    for piece, drives in pieces:
        tracks = Tracks()
        for number in range(30):
            at = 0.2 + 0.02 * number
            tracks.take([Box(at, 0.4, 0.15, 0.1), *([piece(at)] if number > 2 else [])], number / 25, number)
        assert [track.drives for track in sorted(tracks.end(), key=lambda track: track.number)][:2] == drives


@pytest.mark.parametrize(("lasts", "until"), [(8, 60), (60, 60), (8, 20)], ids=["a piece", "a vehicle", "at the end"])
def test_a_piece_that_came_beside_its_vehicle_and_was_not_seen_for_long_is_none(lasts: int, until: int) -> None:
    """A side of it that was seen by itself at first. Negative control: what goes as far as the other is a vehicle."""
    tracks, found = Tracks(), list[Track]()
    for number in range(until):
        come = 0.012 * number
        piece = [Box(0.58 + 0.02 * np.sin(number), 0.88 - come, 0.07, 0.09)] if number < lasts else []
        found += tracks.take([Box(0.4, 0.8 - come, 0.16, 0.2), *piece], number / 12.5, number)
    found += tracks.end()
    assert sorted(track.drives for track in found) == [lasts == 60, True]


def test_one_that_goes_through_beside_one_that_stops_waits_for_seconds_and_counts() -> None:
    """Both came at once, and the other will go further: nobody can tell before."""
    tracks, ended_s = Tracks(), dict[int, float]()
    for number in range(150):
        come = 0.02 * number
        one, other = Box(0.4, 0.8 - come, 0.1, 0.1), Box(0.53, 0.8 - min(come, 0.4), 0.1, 0.1)
        boxes = [box for box in (one.inside(), other) if box is not None and box.area > 0.003]
        for track in tracks.take(boxes, number / 12.5, number):
            ended_s[track.number] = number / 12.5
            assert track.drives
    assert [*ended_s] == [1]
    assert 6 < ended_s[1] < 7  # it was there for 3.5 s


def test_lamps_are_one_vehicle_with_the_nearest_that_lies_level() -> None:
    """Two lamps, or a lamp and a side that is lit; no lamp of another height, too far, or of two vehicles at once."""
    lamp, wide = Box(0.4, 0.5, 0.02, 0.03), Box(0.5, 0.5, 0.1, 0.1)
    right = lamp._replace(left=0.48)
    (pair,) = lamps_joined([lamp, right], 0.0025, 16 / 9)
    assert (pair.left, pair.right) == pytest.approx((0.4, 0.5))
    assert pair.area > 0.0025
    assert pair.top < lamp.top < lamp.bottom < pair.bottom
    assert lamps_joined([lamp, wide], 0.0025, 16 / 9) == [around([lamp, wide])]
    far, low = lamp._replace(left=0.58), lamp._replace(left=0.48, top=0.53)
    both = wide._replace(left=0.61)
    for apart in ([lamp, far], [lamp, low], [wide, both], [lamp]):
        assert lamps_joined(apart, 0.0025, 16 / 9) == apart
    four = [lamp, right, lamp._replace(left=0.54), lamp._replace(left=0.62)]
    places = [(round(box.left, 2), round(box.right, 2)) for box in lamps_joined(four, 0.0025, 16 / 9)]
    assert places == [(0.4, 0.42), (0.62, 0.64), (0.48, 0.56)]


def test_the_command_counts_a_video_without_kafka(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`catseye roadside --dry-run`: a line and an entry for each vehicle; what is no video is a sentence."""
    pictures = [np.repeat(shot.luma[..., None], 3, axis=2) for shot in shots([Car(40, 60, 6), Car(45, 95, -6)], 160)]
    write_video(tmp_path / "road.mp4", pictures, gop=25)
    with pytest.raises(SystemExit) as ended:
        main(["roadside", str(tmp_path / "road.mp4"), "--camera", "c", "--dry-run", "--json", str(tmp_path / "o.json")])
    assert ended.value.code in {None, 0}
    written = json.loads((tmp_path / "o.json").read_text())
    tracks = written.pop("tracks")
    assert written == {
        "pictures": 160,
        "vehicles": 2,
        "views": 2,
        "dropped": 0,
        "by_direction": {"left": 1, "right": 1},
    }
    assert [sorted(track) for track in tracks] == [["direction", "first_picture", "last_picture", "track"]] * 2
    assert all(35 <= track["first_picture"] < 70 < track["last_picture"] < 130 for track in tracks)
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(SystemExit) as refused:
        main(["roadside", str(tmp_path / "o.json"), "--camera", "c", "--dry-run"])
    assert refused.value.code == 2
    assert "neither a JPEG nor a video that FFmpeg reads" in capsys.readouterr().err


@pytest.mark.slow
def test_the_edge_of_a_shadow_that_moves_over_the_road_is_no_vehicle() -> None:
    """A cloud changes the light of half the road; a car that comes after it counts (negative control)."""
    for cars, counted in (([], 0), ([Car(140, 60, 8)], 1)):
        road, found = Road(lambda picture, box: b"jpeg"), 0
        for number, shot in enumerate(shots(cars)):
            share = 1 / (1 + np.exp(-(np.arange(WIDTH) - 3 * number + 100) / 20))
            dimmed = (shot.luma * (0.65 + 0.35 * share)).astype(np.uint8)
            found += len(road.take(Shot(dimmed, shot.blue, shot.red, shot.at_s, shot.captured_at_ms)))
        assert found + len(road.end()) == counted


CONFIG = """
region: [[0, 0.2], [1, 0.2], [1, 0.8], [0, 0.8]]
lines:
  - {name: gate, from: [0.5, 0.2], to: [0.5, 0.8]}
sizes: [{at: 0.2, length: 0.05}, {at: 0.8, length: 0.1}]
pictures_per_s: 12.5
"""


def test_the_clip_counts_by_line_within_its_region(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those outside are none, the line is named, views come every five seconds, and a drawing shows it all."""
    film, config, report, drawing = (tmp_path / name for name in ("road.mp4", "road.yaml", "road.json", "road.jpg"))
    pictures = [np.repeat(shot.luma[..., None], 3, axis=2) for shot in shots([Car(40, 60, 6), Car(45, 2, 6)])]
    write_video(film, pictures, gop=25)
    config.write_text(CONFIG)
    argv = ["roadside", str(film), "--camera", "road", "--dry-run", "--config", str(config)]
    with pytest.raises(SystemExit) as ended:
        main([*argv, "--json", str(report), "--draw", str(drawing)])
    assert ended.value.code == 0, capsys.readouterr().err
    found = json.loads(report.read_text())
    assert (found["vehicles"], found["by_line"], found["views"]) == (1, {"gate": 1}, 2)
    assert found["pictures"] == 220
    picture = cv2.imread(str(drawing))
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("reigon: []", "there is no key 'reigon'; is it region?"),
        ("region: [[0, 0], [1, 1]]", "region is a list of at least three corners"),
        ("region: [[0, 0], [0.5, 0.5], [1, 1]]", "region has no area"),
        ("region: [[0, 0], [640, 0], [1, 1]]", "corner 2 of region, x is a number from 0 to 1; shares of the picture"),
        ("lines: [{name: a, from: [0, 0]}]", "line 1 is {name: …, from: [x, y], to: [x, y]}, with these three keys"),
        ("lines: [{name: a, from: [0, 0], to: [0, 0]}]", "line 1 (a) has no length"),
        ("sizes: [{at: 0.5, length: 0.1}, {at: 0.5, length: 0.2}]", "both sizes are at 0.5"),
        ("views: 0", "views is a number from 1 to 10; it is 0"),
        ("- region", "holds no keys such as `region:`"),
        ("region: [", "is no YAML that can be read"),
    ],
)
def test_a_mistake_in_the_file_of_a_camera_is_one_sentence(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file, what is wrong and what would be right."""
    config = tmp_path / "road.yaml"
    config.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["roadside", "x.mp4", "--camera", "road", "--dry-run", "--config", str(config)])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in said
    assert str(config) in said
