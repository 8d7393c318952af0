"""Cameras are watched by views where they send them, and a vehicle is one sample however often it was photographed."""

from typing import Any

import numpy as np
import pytest

from services.drift import views
from services.drift.cameras import Cameras
from tests.simulation.cameras import Camera, Watched, ms

EVERY_S = 5
HASH = 0x5A5A_1234_9F0F_77C3


def view(number: int, **changes: Any) -> dict[str, Any]:
    """A view of a quiet road, five seconds after the one before; two of its 64 bits are noise."""
    noise = np.random.default_rng(number)
    flipped = HASH ^ (1 << int(noise.integers(63)))
    return {
        "camera": "a",
        "boot": "b",
        "sequence": number,
        "captured_at_ms": ms(EVERY_S * number) - 5,
        "received_at_ms": ms(EVERY_S * number),
        "brightness": 0.5 + 0.01 * noise.normal(),
        "contrast": 0.2 + 0.002 * noise.normal(),
        "sharpness": 0.02 + 0.0005 * noise.normal(),
        "dark_share": 0.0,
        "bright_share": 0.0,
        "perceptual_hash": flipped,
        "bits_per_pixel": 1.5 + 0.01 * noise.normal(),
    } | changes


def shown(watched: Watched, first: int, count: int, **changes: Any) -> None:
    """*count* views, each noted and followed by a look for what is absent."""
    for number in range(first, first + count):
        watched.core.on_views([(watched.cameras, view(number, **changes))], watched._note)
        watched.evaluate(EVERY_S * number + 1)


def test_an_hour_without_a_car_is_neither_silence_nor_drift() -> None:
    """Views come, objects do not: also where there had been many."""
    watched, camera = Watched(), Camera()
    watched.live(camera, 300)
    first = int(camera.at_s / EVERY_S) + 1
    shown(watched, first, 720)
    assert watched.kinds() == set()
    assert watched.history() == []


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("camera_covered", {"contrast": 0.01, "sharpness": 1e-5}),
        ("camera_black", {"brightness": 0.01, "contrast": 0.01}),
        ("camera_white", {"brightness": 0.99}),
        ("camera_frozen", {**view(7), "sequence": 0}),
        ("camera_blurred", {"sharpness": 0.001}),
        ("camera_moved", {"perceptual_hash": HASH ^ 0x0FF0_00FF_F00F_0FF0}),
    ],
)
def test_what_a_view_shows_of_its_camera_is_raised_within_half_a_minute(kind: str, broken: dict[str, Any]) -> None:
    """The right alarm alone, and it is cleared again."""
    watched = Watched()
    shown(watched, 0, 60)
    broken = {name: value for name, value in broken.items() if name not in ("sequence", "received_at_ms")}
    shown(watched, 60, 7, **broken)
    assert watched.history() == [(kind, True)]
    assert watched.alarm(kind).raised_at_ms - ms(EVERY_S * 60 - 1) <= 30_000
    assert watched.alarm(kind).since_ms in (ms(EVERY_S * 60), ms(EVERY_S * 61))
    shown(watched, 67, 8)
    assert watched.history() == [(kind, True), (kind, False)]


def test_views_that_stop_are_a_silent_camera() -> None:
    """Within the time of five of them and a grace; it is over when they come again."""
    watched = Watched()
    shown(watched, 0, 60)
    watched.evaluate(EVERY_S * 59 + 30)
    assert watched.kinds() == set()
    watched.evaluate(EVERY_S * 59 + 45)
    assert watched.kinds() == {"camera_silent"}
    shown(watched, 80, 20)
    assert watched.kinds() == set()


def test_crops_do_not_judge_a_camera_that_sends_views() -> None:
    """A row of crops that are black clears nothing and raises nothing; without views it does (negative control)."""
    for with_views, raised in ((True, set()), (False, {"camera_black"})):
        watched, camera = Watched(), Camera(fps=2.0)
        if with_views:
            shown(watched, 0, 60)
            camera.at_s = EVERY_S * 59
        watched.see(*camera.shots(30, brightness=0.01, contrast=0.01))
        assert watched.kinds() == raised


def test_beside_a_camera_that_sends_views_one_that_sends_none_is_judged_by_its_frames() -> None:
    """Both stopped sending frames at once: only the one whose views still come is well."""
    watched, quiet, gone = Watched(), Camera("a"), Camera("b")
    watched.see(*quiet.shots(100), *gone.shots(100))
    first = int(gone.at_s / EVERY_S) + 1
    shown(watched, first, 20)
    assert watched.kinds("a") == set()
    assert watched.kinds("b") == {"camera_silent"}
    assert watched.alarm("camera_silent", "b").since_ms == ms(gone.at_s - 1 / gone.fps)


def test_crops_judge_a_camera_again_whose_views_have_stopped() -> None:
    """Objects still come, so the camera lives and sends no views any more; the first view to come judges it again."""
    watched, camera = Watched(), Camera(fps=2.0)
    shown(watched, 0, 60)
    camera.at_s = EVERY_S * 59 + 20
    watched.see(*camera.shots(30, brightness=0.01, contrast=0.01))
    assert watched.kinds() == set()
    camera.at_s = EVERY_S * 59 + 60
    watched.see(*camera.shots(30, brightness=0.01, contrast=0.01))
    assert watched.kinds() == {"camera_black"}
    number = int(camera.at_s / EVERY_S) + 1
    shown(watched, number, 1)
    camera.at_s = EVERY_S * number + 1
    watched.see(*camera.shots(60))
    assert watched.kinds() == {"camera_black"}
    shown(watched, number + 8, 4)
    assert watched.kinds() == set()


def test_what_is_known_of_views_comes_back_from_the_log() -> None:
    """And is as it was when a transaction is aborted."""
    watched = Watched()
    shown(watched, 0, 30)
    rows = dict(watched.cameras.changes())
    watched.cameras.commit()
    again = Cameras()
    for key, value in rows.items():
        again.restore(key, value)
    assert again.followed.get("a") == watched.cameras.followed.get("a")
    before = str(watched.cameras.followed.get("a"))
    shown(watched, 30, 1)
    watched.cameras.rollback()
    assert str(watched.cameras.followed.get("a")) == before


def test_of_a_camera_whose_first_view_is_aborted_nothing_is_known() -> None:
    """Nor is anything written of it, and the view that comes again is its first."""
    watched = Watched()
    shown(watched, 0, 1)
    once = str(watched.cameras.followed.get("a"))
    watched.cameras.rollback()
    assert watched.cameras.followed.get("a") is None
    assert watched.cameras.changes() == []
    shown(watched, 0, 1)
    assert str(watched.cameras.followed.get("a")) == once


def test_a_vehicle_is_one_sample() -> None:
    """Three pictures of each teach what one does; so do three labels."""
    counts = []
    for followed in (True, False):
        watched, camera = Watched(), Camera()
        for number in range(40):
            shots = [camera.shot(track=f"v{number}" if followed else None) for _ in range(3)]
            for each in shots:
                watched.see(each)
            watched.label(*(each for each in camera.labelled(shots, track=shots[0].track)))
        counts.append((int(watched.table.reference["frames"].sum()), float(watched.report().recent_labels)))
    (one_each, labels_one_each), (all_three, labels_all_three) = counts
    assert (one_each, all_three) == (40, 120)
    assert labels_one_each == pytest.approx(37, abs=1)
    assert labels_all_three > 80


def test_each_rule_is_a_kind_that_alerts_explain() -> None:
    """By its name there."""
    from catseye.contract.alert_kinds import unknown

    assert unknown(rule.kind for rule in views.RULES) == []
