"""What drives by counts once, however many pictures a second a camera gives."""

from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.roads.boxes import Box
from catseye.roads.tracks import Tracks

SECONDS = 14.0


class Car(NamedTuple):
    """In one of three lanes: when it comes, how many shares of the picture it goes a second, and how long it is."""

    lane: int
    begins_s: float
    speed: float
    length: float

    def box(self, at_s: float) -> Box | None:
        """What of it is in the picture."""
        come = self.speed * (at_s - self.begins_s)
        left = come - self.length if self.lane != 1 else 1 - come
        whole = Box(left, 0.1 + 0.3 * self.lane, self.length, 0.15).inside() if come > 0 else None
        return whole if whole is not None and whole.width > 0.02 else None


CARS = st.lists(
    st.builds(
        Car, st.integers(0, 2), st.integers(0, 3).map(lambda turn: 2.5 * turn), st.floats(0.3, 0.9), st.floats(0.1, 0.3)
    ),
    max_size=6,
    unique_by=lambda car: (car.lane, car.begins_s),
)


def counted(cars: list[Car], stamps_s: list[float]) -> Counter[str]:
    """By direction."""
    tracks, gone = Tracks(), []
    for number, at_s in enumerate(stamps_s):
        boxes = [box for car in cars if (box := car.box(at_s)) is not None]
        gone += tracks.take(boxes, at_s, number)
    return Counter(track.direction for track in gone + tracks.end() if track.drives)


@settings(max_examples=20, deadline=None)
@given(CARS, st.lists(st.floats(0.02, 0.18), min_size=140, max_size=140))
def test_the_same_road_counts_the_same_at_every_rate(cars: list[Car], steps_s: list[float]) -> None:
    """At 6, 8, 12, 25 and 50 pictures a second, and at uneven times; those that follow in a lane are as fast."""
    fast = {car.lane: car.speed for car in cars}
    cars = [car._replace(speed=fast[car.lane]) for car in cars]
    truth = Counter("left" if car.lane == 1 else "right" for car in cars)
    for rate in (6, 8, 12, 25, 50):
        assert counted(cars, [number / rate for number in range(round(SECONDS * rate))]) == truth, rate
    uneven = [sum(steps_s[:number]) for number in range(len(steps_s))]
    seen = [car for car in cars if car.begins_s + (1 + car.length) / car.speed < uneven[-1]]
    if seen == cars:
        assert counted(cars, uneven) == truth
