"""Camera faults: each rule is raised after a run of frames and cleared after another; what is odd but right is none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from catseye.contract.records import Prediction
from services.drift.fault_rules import CLOCK_MS, LASTING_MS, RUN
from services.drift.faults import CLEAR
from services.drift.rules import Rules
from tests.simulation.cameras import Camera, Watched, ms

SAME = {"brightness": 0.5, "sharpness": 0.05, "perceptual_hash": 77}
Shot = Callable[[Camera], Prediction]


def late(camera: Camera) -> Prediction:
    return camera.shot(predicted_at_ms=ms(camera.at_s) + 60_000)


def an_hour_behind(camera: Camera) -> Prediction:
    return camera.shot(captured_at_ms=ms(camera.at_s) - 3_600_000)


FAULTS: dict[str, Shot] = {
    "camera_frozen": lambda camera: camera.shot(**SAME),
    "camera_black": lambda camera: camera.shot(brightness=0.01),
    "camera_white": lambda camera: camera.shot(brightness=0.99),
    "camera_covered": lambda camera: camera.shot(contrast=0.01),
    "camera_blurred": lambda camera: camera.shot(sharpness=0.002),
    "camera_clock": an_hour_behind,
    "service_slow": late,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_raised_after_a_run_and_cleared_after_another(kind: str) -> None:
    """Once each, and the camera that has learned goes on as before."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(300))
    assert watched.history() == []
    began_s = camera.at_s
    lasting_ms = CLOCK_MS if kind == "camera_clock" else LASTING_MS
    for _ in range(RUN + 40 + (lasting_ms - LASTING_MS) // 50):
        watched.see(FAULTS[kind](camera))
    assert watched.history() == [(kind, True)]
    alarm = watched.alarm(kind)
    assert ms(began_s) <= alarm.since_ms <= ms(began_s + 2)
    assert lasting_ms <= alarm.raised_at_ms - alarm.since_ms <= lasting_ms + 200
    assert (alarm.detector, alarm.signal, alarm.estimate, alarm.reference) == ("rule", kind, 1.0, 0.0)
    watched.see(*camera.shots(CLEAR + 80 + (lasting_ms - LASTING_MS) // 50))
    assert watched.history() == [(kind, True), (kind, False)]


@pytest.mark.parametrize("kind", ["camera_frozen", "camera_black", "camera_white", "camera_covered"])
def test_a_fault_takes_a_run_and_half_a_second(kind: str) -> None:
    """One frame less, or as many within less time, raises nothing."""
    for count, fps in ((RUN - 1, 20.0), (RUN, 100.0)):
        camera, watched = Camera(fps=fps), Watched()
        watched.see(*camera.shots(50))
        for _ in range(count):
            watched.see(FAULTS[kind](camera))
        watched.see(*camera.shots(10))
        assert watched.history() == []


def test_a_fault_that_comes_and_goes_is_raised_once() -> None:
    """It ends after twenty right frames in a row, not after nineteen."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(50))
    for _ in range(5):
        watched.see(*camera.shots(RUN, brightness=0.01), *camera.shots(CLEAR - 1))
    assert watched.history() == [("camera_black", True)]
    watched.see(camera.shot())
    assert watched.history() == [("camera_black", True), ("camera_black", False)]


@pytest.mark.slow
def test_a_fault_ends_after_as_long_as_it_took() -> None:
    """Fifteen seconds for a clock, however many right frames come in less; each wrong one begins them anew."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(300))
    for _ in range(5):
        for _ in range(320):
            watched.see(an_hour_behind(camera))
        watched.see(*camera.shots(290))
    assert watched.history() == [("camera_clock", True)]
    watched.see(*camera.shots(20))
    assert watched.history() == [("camera_clock", True), ("camera_clock", False)]


def test_a_fault_that_took_long_to_be_one_ends_after_a_minute() -> None:
    """Its frames came hours apart, which the right ones do not."""
    camera, watched = Camera(fps=1), Watched()
    watched.see(*camera.shots(50))
    for _ in range(RUN):
        camera.at_s += 3_600
        watched.see(camera.shot(brightness=0.01))
    assert watched.history() == [("camera_black", True)]
    watched.see(*camera.shots(60))
    assert watched.history() == [("camera_black", True)]
    watched.see(*camera.shots(2))
    assert watched.history() == [("camera_black", True), ("camera_black", False)]


@pytest.mark.slow
def test_a_clock_that_keeps_its_new_time_is_right_after_an_hour() -> None:
    """A clock that was set right at last, or for summer time, must not blind its camera for ever."""
    camera, watched = Camera(fps=1), Watched()
    for _ in range(30):
        watched.see(an_hour_behind(camera))
    watched.see(*camera.shots(3_000))
    assert watched.history() == [("camera_clock", True)]
    watched.see(*camera.shots(1_000))
    assert watched.history() == [("camera_clock", True), ("camera_clock", False)]
    assert int(watched.table.reference["frames"][0, 1]) >= 200
    for _ in range(30):
        watched.see(an_hour_behind(camera))
    assert watched.history()[-1] == ("camera_clock", True)


@pytest.mark.slow
def test_frames_that_waited_are_no_wrong_clock() -> None:
    """Ten minutes of frames are worked off twice as fast as they come: each is less late than the one before."""
    camera, watched = Camera(fps=5), Watched()
    watched.see(*camera.shots(300))
    stopped_s = camera.at_s
    for nth, each in enumerate(camera.shots(6_000)):
        at_ms = ms(stopped_s + 600 + nth / 10)
        watched.see(replace(each, received_at_ms=at_ms, predicted_at_ms=at_ms + 30))
    assert ("camera_clock", True) not in watched.history()


def test_a_black_picture_that_repeats_is_black_and_not_frozen() -> None:
    """Nor covered nor blurred: the plainest word is the one that helps."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(300))
    watched.see(*camera.shots(60, brightness=0.001, contrast=0.0, sharpness=0.0, perceptual_hash=0))
    assert watched.history() == [("camera_black", True)]


def noisy_night(camera: Camera) -> Prediction:
    """A still scene: nothing moves but the sensor's noise."""
    noise = np.random.default_rng(camera.sequence).normal(size=3)
    return camera.shot(
        brightness=0.1 + 1e-4 * noise[0],
        contrast=0.08 + 1e-4 * noise[1],
        sharpness=0.01 * np.exp(0.01 * noise[2]),
        perceptual_hash=12345,
    )


def white_bus(camera: Camera) -> Prediction:
    """A minute of frames of which one in three shows little but a white side."""
    return camera.shot(brightness=0.93, contrast=0.05) if camera.sequence % 3 else camera.shot()


def rain(camera: Camera) -> Prediction:
    """Less contrast, and streaks that are as sharp as what they hide."""
    drawn = camera.shot()
    return camera.shot(contrast=drawn.contrast * 0.6, sharpness=drawn.sharpness * 0.4)


def fog(camera: Camera) -> Prediction:
    """Contrast falls to a half, and the Laplacian with its square."""
    drawn = camera.shot()
    return camera.shot(brightness=0.6, contrast=drawn.contrast * 0.5, sharpness=drawn.sharpness * 0.1)


def slow_clock(camera: Camera) -> Prediction:
    """It loses a second in every ten."""
    return camera.shot(captured_at_ms=ms(camera.at_s * 0.9))


@pytest.mark.slow
@pytest.mark.parametrize("shot", [noisy_night, white_bus, rain, fog, slow_clock])
def test_what_is_odd_but_right_is_no_fault(shot: Shot) -> None:
    """Neither at once, on a camera that has learned something else, nor from the first frame on."""
    for first in (300, 0):
        camera, watched = Camera(), Watched()
        watched.see(*camera.shots(first))
        for _ in range(400):
            watched.see(shot(camera))
        assert [kind for kind, _ in watched.history() if kind.startswith(("camera_", "service_"))] == []


def test_a_camera_that_was_always_blurred_is_not_out_of_focus() -> None:
    """Only what is usual for it counts."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(400, sharpness=0.002))
    assert watched.history() == []


def test_frames_of_a_fault_teach_nothing() -> None:
    """Neither while it lasts nor while it is suspected: what is learned is the road."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(50))
    learned = int(watched.table.reference["frames"][0, 1])
    watched.see(*camera.shots(60, brightness=0.99))
    assert int(watched.table.reference["frames"][0, 1]) == learned + 2  # before the third in a row


def test_a_slow_service_blinds_no_camera() -> None:
    """Its frames count, and it is told by the mean, not by one frame."""
    rules = Rules(reference_samples=200, reference_span_ms=0, latency_ms=1_000)
    camera, watched = Camera(), Watched(rules)
    for number in range(100):
        watched.see(camera.shot(predicted_at_ms=ms(camera.at_s) + (5_000 if number % 10 == 0 else 30)))
    assert watched.history() == []
    for _ in range(150):
        watched.see(late(camera))
    assert watched.history() == [("service_slow", True)]
    assert watched.report().learning_left == 0


def test_statistical_alarms_of_the_fault_s_own_frames_go_with_it() -> None:
    """What the pictures seemed to say since the fault began was the fault."""
    rules = Rules(reference_samples=200, reference_span_ms=0, fleet_cameras=1, false_per_week=1e9)
    camera, watched = Camera(), Watched(rules)
    watched.see(*camera.shots(300))
    changes: dict[str, Any] = {"sharpness": 0.002, "contrast": 0.15, "bright_share": 0.3}
    watched.see(*camera.shots(60, **changes))
    assert watched.kinds() == {"camera_blurred"}
    watched.see(*camera.shots(200))
    assert watched.kinds() == set()
