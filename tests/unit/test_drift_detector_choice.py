"""`services.drift.detector_choice`: river's detectors in the engine's place, by signal."""

import numpy as np
import pytest

from services.drift.cameras import Cameras
from services.drift.detector_choice import NAMES, DetectorChoice, streams_of
from services.drift.layout import FRAMES_FAMILIES, OUTCOME_FAMILIES, PICTURE
from services.drift.streams import Fed
from tests.simulation.eight_classes import ACCURACY, FAMILIES, FRAME_STREAMS, PREDICTIONS

ROWS = np.array([0])


def width(families: slice) -> int:
    """Streams of *families*."""
    return FRAME_STREAMS if families == FRAMES_FAMILIES else ACCURACY.streams + 1


def cameras_of_one() -> Cameras:
    """One camera that has learned a loss of one in ten and little entropy."""
    cameras = Cameras()
    cameras.row("cam")
    table = cameras.table
    table.reference["label_weights"][0, :, 0] = 500
    table.reference["label_losses"][0, :, 0] = 50
    table.reference["output_mean"][0] = 0.2
    return cameras


def play(chosen: DetectorChoice, cameras: Cameras, families: slice, x: list[float]) -> list[tuple[int, int, int, int]]:
    """Alarms of all samples; each is what every stream of *families* gets."""
    found = []
    for value in x:
        fed = Fed(np.full((1, width(families)), value, np.float32), np.full((1, width(families)), 0.5, np.float32))
        found += chosen.take(cameras.table, ROWS, fed, families)
    return found


def test_without_a_choice_the_engine_keeps_every_stream() -> None:
    """Which is how it is shipped."""
    fed = Fed(np.full((1, FRAME_STREAMS), 0.5, np.float32), np.full((1, FRAME_STREAMS), 0.5, np.float32))
    assert DetectorChoice({}, 1e6).take(cameras_of_one().table, ROWS, fed, FRAMES_FAMILIES) == []
    assert not np.isnan(fed.x).any()


@pytest.mark.parametrize(
    ("signal", "families", "streams"),
    [
        ("brightness", FRAMES_FAMILIES, {0, 1, 2}),
        ("entropy", FRAMES_FAMILIES, {PREDICTIONS.first + 8, PREDICTIONS.first + 18}),
        ("margin", FRAMES_FAMILIES, {PREDICTIONS.first + 9, PREDICTIONS.first + 19}),
        ("loss", OUTCOME_FAMILIES, set(range(ACCURACY.streams))),
    ],
)
def test_a_chosen_signal_is_taken_from_the_engine(signal: str, families: slice, streams: set[int]) -> None:
    """All its streams; the others stay."""
    fed = Fed(np.full((1, width(families)), 0.5, np.float32), np.full((1, width(families)), 0.5, np.float32))
    cameras = cameras_of_one()
    DetectorChoice({signal: "hddm_w"}, 1e6).take(cameras.table, ROWS, fed, families)
    assert set(np.flatnonzero(np.isnan(fed.x[0])).tolist()) == streams


@pytest.mark.parametrize("name", ["adwin", "page_hinkley", "hddm_w", "esr"])
def test_it_raises_the_familys_alarm_and_says_who_it_was(name: str) -> None:
    """A loss that goes from none to nearly always."""
    found = play(DetectorChoice({"loss": name}, 1e4), cameras_of_one(), OUTCOME_FAMILIES, [0.0] * 300 + [1.0] * 200)
    assert found[0] == (0, FAMILIES.index(ACCURACY), ACCURACY.first, NAMES.index(name))


def test_its_own_window_goes_on_so_that_its_alarm_ends() -> None:
    """The engine has no stream left in the family to count with."""
    cameras = cameras_of_one()
    play(DetectorChoice({"loss": "hddm_w"}, 1e6), cameras, OUTCOME_FAMILIES, [0.0] * 7)
    assert cameras.table.watch["window"][0].tolist() == [0, 0, 0, 7, 0]


def test_what_takes_nothing_now_is_not_fed() -> None:
    """Streams that are thinned, and signals that a frame does not have."""
    cameras = cameras_of_one()
    play(DetectorChoice({"brightness": "adwin"}, 1e6), cameras, FRAMES_FAMILIES, [float("nan")] * 3)
    assert cameras.table.detectors == {}


def test_restored_detectors_go_on_as_if_nothing_had_happened() -> None:
    """From the log's bytes, and after a rollback."""
    chosen, run_through = DetectorChoice({"entropy": "adwin", "brightness": "hddm_a"}, 1e4), cameras_of_one()
    play(chosen, run_through, FRAMES_FAMILIES, [0.2, 0.3] * 40)
    restored = cameras_of_one()
    for key, value in run_through.changes():
        restored.restore(key, value)
    run_through.commit()
    play(chosen, run_through, FRAMES_FAMILIES, [0.9] * 5)
    run_through.rollback()
    for cameras in (run_through, restored):
        play(chosen, cameras, FRAMES_FAMILIES, [0.25] * 3)
    states = [{key: each.to_bytes() for key, each in of.table.detectors.items()} for of in (run_through, restored)]
    assert states[0] == states[1]
    assert len(states[0]) == 3


def test_dropped_detectors_are_gone_for_good() -> None:
    """With their reference; those of other streams stay."""
    chosen, cameras = DetectorChoice({"entropy": "adwin", "loss": "adwin"}, 1e4), cameras_of_one()
    play(chosen, cameras, FRAMES_FAMILIES, [0.2])
    play(chosen, cameras, OUTCOME_FAMILIES, [0.0])
    cameras.commit()
    table = cameras.table
    table.drop_detectors(0, range(ACCURACY.first))
    changes = dict(cameras.changes())
    cameras.commit()
    assert changes == {b"cam\0dentropy up": None}
    assert set(table.detectors) == {(0, ACCURACY.first)} == set(table.detector_states)
    for key, value in changes.items():
        cameras.restore(key, value)
    assert set(table.detector_states) == {(0, ACCURACY.first)}


def test_a_signal_without_streams_is_refused() -> None:
    """The settings turn it into a sentence."""
    assert streams_of(PICTURE[1]) == (3, 4)
    with pytest.raises(KeyError):
        streams_of("smell")
