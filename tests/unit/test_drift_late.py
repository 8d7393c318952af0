"""Colour and bits a pixel; and a signal that comes when a camera's reference is whole."""

from typing import Any

import numpy as np
import pytest

from services.drift.layout import OPTIONAL, PICTURE
from services.drift.normal import normal
from tests.simulation.cameras import QUICK, Camera, Watched
from tests.simulation.eight_classes import FAMILIES, INPUT, STREAM

ROW = np.array([0])
DUSK_S = 700.0
"""No frame comes while night falls and while it ends."""
INPUT_PLACE = FAMILIES.index(INPUT)
OLD = [number for number, stream in enumerate(STREAM[INPUT.slice]) if not stream.place.signal.optional]
NEW = [number for number in range(INPUT.streams) if number not in OLD]


def see(watched: Watched, camera: Camera, count: int, **changes: Any) -> None:
    """Frames with colour."""
    watched.see(*(camera.coloured(**changes) for _ in range(count)))


def signals(watched: Watched) -> set[str]:
    """Names of the statistics of the picture."""
    return {statistic.signal for statistic in watched.statistics()} & {*PICTURE}


def weights(watched: Watched) -> Any:
    """What streams of pictures count for, over their pace."""
    usual = normal(watched.table, ROW, watched.rules)
    return usual["weight"][0, INPUT.slice] / usual["decorrelation_lag"][0, INPUT.slice]


@pytest.mark.parametrize(
    ("signal", "changes"),
    [
        ("chroma_blue", {"blue": -0.05}),  # an infrared filter that sticks
        ("chroma_red", {"red": 0.06}),
        ("bits_per_pixel", {"bits": 0.4}),  # an encoder with other settings
    ],
)
def test_a_tint_and_another_encoder_are_seen(signal: str, changes: dict[str, float]) -> None:
    """As another input, and the signal is named; nothing is raised before."""
    camera, watched = Camera(), Watched(QUICK)
    see(watched, camera, 400)
    assert (watched.kinds(), signals(watched)) == (set(), {*PICTURE})
    see(watched, camera, 60, **changes)
    assert watched.alarm("input").signal == signal


@pytest.mark.slow
def test_grey_at_night_is_usual() -> None:
    """Each phase has its own colour: none at night, exactly; and there a tint is seen at once."""
    camera, watched = Camera(), Watched(QUICK)
    for _ in range(2):
        see(watched, camera, 300)
        camera.at_s += DUSK_S
        for _ in range(300):
            watched.see(camera.shot(chroma_blue=0.0, chroma_red=0.0, bits_per_pixel=0.9, brightness=0.1))
        camera.at_s += DUSK_S
    assert watched.kinds() == set()
    for _ in range(40):
        watched.see(camera.shot(chroma_blue=0.03, chroma_red=0.0, bits_per_pixel=0.9, brightness=0.1))
    assert watched.alarm("input").signal == "chroma_blue"


def test_a_camera_that_knew_nothing_of_colour_learns_it_while_the_others_go_on() -> None:
    """Its reference stays whole, old signals are tested with every frame and keep their share of the evidence until
    the new ones are known; then those raise alarms too."""
    camera, watched = Camera(), Watched(QUICK)
    watched.see(*camera.shots(300))
    table, before = watched.table, weights(watched)
    known = table.reference[0].copy()
    assert before[OLD] == pytest.approx([1 / 24] * 24)
    assert before[NEW].tolist() == [0] * 9
    tested = int(table.watch["tested"][0])
    see(watched, camera, 140)
    assert not signals(watched) & {"chroma_blue", "chroma_red", "bits_per_pixel"}
    assert weights(watched).tolist() == before.tolist()
    assert table.reference["late"][0, OPTIONAL].tolist() == [2, 2, 2]
    see(watched, camera, 20)
    assert int(table.watch["tested"][0]) == tested + 160
    assert watched.report().learning_left == 0
    assert table.reference["late"][0].tolist() == [0] * len(table.reference["late"][0])
    assert signals(watched) == {*PICTURE}
    assert weights(watched) == pytest.approx([1 / 33] * 33)
    assert not table.learning[0].tobytes().strip(b"\0")
    for name in ("histogram", "means", "counts"):
        others = [place for place in range(len(known["decorrelation_lag"]) - 4) if place not in OPTIONAL]
        assert (table.reference[name][0][:, others] == known[name][:, others]).all()
    see(watched, camera, 60, red=0.06)
    assert watched.alarm("input").signal == "chroma_red"


def test_what_drifts_is_not_learned_late() -> None:
    """While pictures are other than usual their colour is not taken for usual either."""
    camera, watched = Camera(), Watched(QUICK)
    watched.see(*camera.shots(300))
    watched.see(*camera.shots(60, brightness=0.8))
    assert watched.kinds() == {"input"}
    see(watched, camera, 20, brightness=0.8)
    assert not watched.table.reference["late"].any()


def test_a_signal_that_came_in_the_midst_of_learning_is_learned_with_or_after_it() -> None:
    """Too little of it was seen: it begins anew once the others are whole. Enough: it is known with them."""
    for first, knows in ((180, set()), (90, {*PICTURE})):
        camera, watched = Camera(), Watched(QUICK)
        watched.see(*camera.shots(first))
        see(watched, camera, 201 - first)
        assert signals(watched) & {"chroma_blue"} == knows & {"chroma_blue"}
        see(watched, camera, 160)
        assert signals(watched) == {*PICTURE}
        assert watched.kinds() == set()


def test_a_night_that_comes_later_is_learned_with_the_decorrelation_lag_of_the_day() -> None:
    """A signal is known by day; by night its reference grows with the others."""
    camera, watched = Camera(), Watched(QUICK)
    watched.see(*camera.shots(300))
    see(watched, camera, 160)
    lag = watched.table.reference["decorrelation_lag"][0, OPTIONAL].tolist()
    assert min(lag) >= 1
    camera.at_s += DUSK_S
    see(watched, camera, 300, brightness=0.1)
    assert watched.table.reference["decorrelation_lag"][0, OPTIONAL].tolist() == lag
    assert watched.table.reference["histogram"][0, 0, OPTIONAL].any(axis=1).all()
    assert watched.kinds() == set()


def test_of_a_camera_that_knew_day_and_night_a_signal_is_learned_late_in_both() -> None:
    """First by day, which gives the decorrelation lag; that stays by night, which has a reference of its own."""
    camera, watched = Camera(), Watched(QUICK)
    watched.see(*camera.shots(300))
    camera.at_s += DUSK_S
    watched.see(*camera.shots(300, brightness=0.1))
    known = watched.table.reference
    assert known["closed"][0].astype(bool).all()
    camera.at_s += DUSK_S
    see(watched, camera, 160)
    lag = known["decorrelation_lag"][0, OPTIONAL].tolist()
    assert min(lag) >= 1
    camera.at_s += DUSK_S
    see(watched, camera, 200, brightness=0.1)
    assert known["histogram"][0][:, OPTIONAL].any(axis=-1).all()
    assert (known["decorrelation_lag"][0, OPTIONAL].tolist(), known["late"][0].any()) == (lag, False)
    assert watched.kinds() == set()
