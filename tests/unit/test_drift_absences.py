"""What does not come, and what cannot be accepted."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from catseye.contract.records import CameraReport
from catseye.runtime.progress import ALL_WORKED, UNKNOWN, Progress
from catseye.runtime.stream import Output
from services.drift import absences
from tests.simulation.cameras import CODEC, QUICK, Camera, Watched, ms, outcome
from tests.simulation.partitions import FakeMessage


def refuse(watched: Watched, count: int, at_s: float, reason: str = "jpeg_corrupt", camera: str = "a") -> None:
    """So many frames of a camera became dead letters."""
    for number in range(count):
        row = watched.cameras.row(camera)
        watched._note(watched.table, absences.refused(watched.table, row, reason, ms(at_s) + number))


def reports_in(outputs: Sequence[Output]) -> list[Output]:
    """Without statistics of the samples that came last, which say nothing of absence."""
    return [output for output in outputs if output.topic != "statistics"]


def test_a_camera_that_stops_is_silent_and_comes_back() -> None:
    """After five times its longest pause and a grace, since its last frame; it ends when frames came for as long."""
    camera, watched = Camera(fps=20), Watched()
    watched.see(*camera.shots(100))
    stopped_s = camera.at_s - 0.05
    watched.evaluate(stopped_s + 15.2)
    assert watched.history() == []
    watched.evaluate(stopped_s + 15.3)
    assert watched.history() == [("camera_silent", True)]
    alarm = watched.alarm("camera_silent")
    assert (alarm.since_ms, alarm.raised_at_ms) == (ms(stopped_s), ms(stopped_s + 15.3))
    assert alarm.examples_after == []
    watched.evaluate(stopped_s + 60)
    assert len(watched.history()) == 1
    camera.at_s = stopped_s + 60
    watched.see(*camera.shots(280))
    assert watched.history() == [("camera_silent", True)]
    watched.see(*camera.shots(30))
    assert watched.history() == [("camera_silent", True), ("camera_silent", False)]


@pytest.mark.slow
def test_a_frame_now_and_then_does_not_end_a_silence() -> None:
    """Of a camera that sent 20 a second: frames must come for as long as their absence took to be noticed, without a
    pause of that length."""
    camera, watched = Camera(fps=20), Watched()
    watched.see(*camera.shots(100))
    camera.at_s += 15.3
    watched.evaluate(camera.at_s)
    for _ in range(10):
        camera.at_s += 16
        watched.see(*camera.shots(100))
        watched.evaluate(camera.at_s)
    assert watched.history() == [("camera_silent", True)]
    watched.see(*camera.shots(300))
    assert watched.history() == [("camera_silent", True), ("camera_silent", False)]


@pytest.mark.slow
def test_what_took_long_to_be_missed_is_back_after_a_minute() -> None:
    """This service was down, or held up: how long has nothing to do with the camera."""
    camera, watched = Camera(fps=1), Watched()
    watched.see(*camera.shots(1_000))
    camera.at_s += 7_200
    watched.evaluate(camera.at_s)
    watched.see(*camera.shots(50))
    assert watched.kinds() == {"camera_silent"}
    watched.see(*camera.shots(10))
    assert watched.kinds() == set()


@pytest.mark.parametrize("pause_s", [16.0, 70.0])
def test_a_slow_camera_is_back_after_a_minute_or_its_first_frame(pause_s: float) -> None:
    """One frame stands for the usual time between two of them, and more than a minute nobody waits."""
    camera, watched = Camera(fps=1 / pause_s), Watched()
    watched.see(*camera.shots(200))
    camera.at_s += 10 * pause_s
    watched.evaluate(camera.at_s)
    assert watched.kinds() == {"camera_silent"}
    frames = 0
    while watched.kinds():
        watched.see(camera.shot())
        frames += 1
    assert frames == (4 if pause_s < 70 else 1)


def test_a_pause_that_is_usual_is_no_silence() -> None:
    """A camera that sends one frame in ten minutes is missed after fifty."""
    camera, watched = Camera(fps=1 / 600), Watched()
    watched.see(*camera.shots(30))
    last_s = camera.at_s - 600
    watched.evaluate(last_s + 2_900)
    assert watched.history() == []
    watched.evaluate(last_s + 3_100)
    assert watched.history() == [("camera_silent", True)]


def test_a_camera_of_few_frames_is_not_missed() -> None:
    """Nobody knows its pace yet; and nothing is said of an empty table."""
    watched = Watched()
    watched.evaluate(1_000)
    watched.see(*Camera().shots(19))
    watched.evaluate(1_000)
    assert watched.history() == []


@pytest.mark.slow
def test_labels_that_stop_are_missed_while_frames_come() -> None:
    """And not while none come: no frames, no labels."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 300)
    watched.see(*camera.shots(150))
    watched.evaluate(camera.at_s)
    assert watched.history() == [("labels_missing", True)]
    watched.live(camera, 120)
    assert watched.history() == [("labels_missing", True)]
    watched.live(camera, 30)
    assert watched.history() == [("labels_missing", True), ("labels_missing", False)]
    silent, alone = Camera(), Watched()
    alone.live(silent, 150)
    alone.evaluate(silent.at_s + 1_000)
    assert alone.history() == [("camera_silent", True)]


@pytest.mark.slow
def test_labels_that_come_in_one_batch_a_day_are_not_missed_between() -> None:
    """However many they are, the first day's and those of a week later; a week without any is a lack."""
    camera, watched = Camera(fps=1 / 600), Watched()
    for _ in range(12):
        shots = watched.see_and_keep(camera.shots(144))
        for nth in range(400):
            at_ms = shots[-1].received_at_ms + nth
            watched.label(outcome(shots[nth % len(shots)], "car", label_received_at_ms=at_ms))
    assert ("labels_missing", True) not in watched.history()
    watched.see(*camera.shots(7 * 144))
    watched.evaluate(camera.at_s)
    assert "labels_missing" in watched.kinds()
    watched.label(outcome(camera.shot(), "car", label_received_at_ms=ms(camera.at_s)))
    assert "labels_missing" not in watched.kinds()


@pytest.mark.slow
def test_labels_that_never_came_are_not_missed() -> None:
    """A hundred make a habit."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 99)
    watched.see(*camera.shots(1_000))
    watched.evaluate(camera.at_s)
    assert ("labels_missing", True) not in watched.history()


def test_many_refused_frames_are_dead_letters_and_no_silence() -> None:
    """Ten, or a fifth of its frames; the camera speaks, if badly. It ends when they have faded."""
    camera, watched = Camera(fps=0.5), Watched()
    watched.see(*camera.shots(60))
    last_s = camera.at_s - 2
    refuse(watched, 9, last_s)
    assert watched.history() == []
    refuse(watched, 20, last_s + 1)
    assert watched.history() == [("camera_dead_letters", True)]
    watched.evaluate(last_s + 16)
    assert watched.history() == [("camera_dead_letters", True)]
    watched.see(*camera.shots(400))
    watched.evaluate(camera.at_s)
    assert watched.history() == [("camera_dead_letters", True), ("camera_dead_letters", False)]


def test_the_commonest_reason_of_refused_frames_is_reported() -> None:
    """Of the last ones: another reason takes over, and what was refused an hour ago has no say."""
    camera, watched = Camera(fps=0.5), Watched()
    watched.see(*camera.shots(60))
    last_s = camera.at_s - 2
    for number in range(10):
        refuse(watched, 2, last_s + number / 10, "jpeg_truncated")
        refuse(watched, 1, last_s + number / 10, "jpeg_two_images")
    assert watched.alarm("camera_dead_letters").signal == "jpeg_truncated"
    refuse(watched, 40, last_s + 2, "jpeg_too_large")
    assert watched.alarm("camera_dead_letters").signal == "jpeg_too_large"
    watched.see(*camera.shots(2_000))
    watched.evaluate(camera.at_s)
    refuse(watched, 11, camera.at_s, "jpeg_corrupt")
    assert watched.alarm("camera_dead_letters").signal == "jpeg_corrupt"


def test_few_refused_frames_of_many_are_nothing() -> None:
    """Ten in a minute of 1,200 are not a fifth."""
    camera, watched = Camera(fps=20), Watched()
    watched.see(*camera.shots(200))
    refuse(watched, 100, camera.at_s)
    assert watched.history() == []


def test_a_stranger_s_refused_frames_are_reported_too() -> None:
    """A camera of which nothing was ever accepted: the report names it, and no model."""
    watched = Watched()
    refuse(watched, 11, 0.0)
    assert watched.history() == [("camera_dead_letters", True)]
    report = watched.report()
    assert (report.camera, report.model, report.version, report.learning_left) == ("a", "", "", 200)


@pytest.mark.parametrize("reason", ["captured_in_future", "captured_too_long_ago"])
def test_frames_refused_for_their_time_are_a_wrong_clock(reason: str) -> None:
    """It ends when frames with a right clock come again."""
    camera, watched = Camera(fps=1), Watched()
    watched.see(*camera.shots(60))
    refuse(watched, 15, camera.at_s, reason)
    assert watched.history() == [("camera_clock", True)]
    watched.see(*camera.shots(19))
    assert watched.history() == [("camera_clock", True)]
    watched.see(*camera.shots(2))
    assert watched.history() == [("camera_clock", True), ("camera_clock", False)]


@pytest.mark.slow
def test_a_clock_that_is_right_now_and_then_is_wrong() -> None:
    """Twenty right frames end it only if none was refused for its time for as long as a wrong clock takes to be one."""
    camera, watched = Camera(fps=20), Watched()
    watched.see(*camera.shots(60))
    refuse(watched, 300, camera.at_s, "captured_in_future")
    for _ in range(10):
        watched.see(*camera.shots(200))
        refuse(watched, 1, camera.at_s, "captured_in_future")
    clock = [raised for kind, raised in watched.history() if kind == "camera_clock"]
    assert clock == [True]
    watched.see(*camera.shots(310))
    assert watched.history()[-1] == ("camera_clock", False)


def test_a_backlog_is_no_silence() -> None:
    """Time goes on with the records while they come, however late they are, and with the clock after."""
    camera, watched = Camera(fps=20), Watched()
    service, cameras = watched.service, watched.cameras
    watched.see(*camera.shots(100))
    cameras.shares().last_record_at_ms = ms(10_000)
    assert reports_in(service.on_time({0: cameras}, ms(10_014))) == []
    (output,) = service.on_time({0: cameras}, ms(10_016))
    assert (output.topic, output.key) == ("drift.reports", b"a")
    assert watched.kinds() == {"camera_silent"}


def test_the_last_labels_are_reported_when_nothing_more_comes() -> None:
    """Once it has been quiet for as long as statistics take; each label once, and a camera without labels never."""
    camera, watched = Camera(fps=20), Watched()
    service, cameras = watched.service, watched.cameras
    watched.see(*camera.shots(20))
    cameras.shares().last_record_at_ms = ms(100)
    assert reports_in(service.on_time({0: cameras}, ms(105))) == []
    table, row = cameras.home("a")
    table.watch["labels"][row] = table.watch["recent_labels"][row] = 4
    table.watch["recent_errors"][row] = 1
    table.watch["label_seen_ms"][row] = cameras.shared.newest_ms + 1
    assert service.on_time({0: cameras}, ms(109)) == []
    found = service.on_time({0: cameras}, ms(110))
    (report,) = [CODEC.decode(each.value, CameraReport) for each in found if each.topic == "drift.reports"]
    assert (report.camera, report.recent_labels, report.recent_errors) == ("a", 4, 1)
    assert service.on_time({0: cameras}, ms(115)) == []


def worked(until_s: float, partition: int = 0) -> Progress:
    """The services before have worked until then, on one partition."""
    return Progress(ms(until_s), {partition: ms(until_s)})


def test_a_service_that_stands_silences_nobody() -> None:
    """What was published waits on the log: not one of the cameras is absent, for as long as it takes."""
    watched = Watched()
    service, states = watched.service, {0: watched.cameras}
    cameras = [Camera(name, fps=20) for name in "abc"]
    for camera in cameras:
        watched.see(*camera.shots(100))
    watched.core.on_progress(worked(5), worked(5))
    watched.cameras.shares().last_record_at_ms = ms(5)
    for at_s in range(6, 600):
        assert reports_in(service.on_time(states, ms(at_s))) == []
    for camera in cameras:  # it goes on, and reads what came in meanwhile as taken now
        camera.at_s = 600
        watched.see(*camera.shots(20))
    watched.core.on_progress(worked(601), worked(601))
    assert reports_in(service.on_time(states, ms(601))) == []
    assert watched.history() == []


def test_a_camera_that_falls_silent_during_a_stall_is_found_after_it() -> None:
    """Within its bound from the time that the services before have worked until, and its neighbour is not."""
    watched = Watched()
    service, states = watched.service, {0: watched.cameras}
    silent, well = Camera("silent", fps=20), Camera("well", fps=20)
    watched.see(*silent.shots(100), *well.shots(100))
    watched.cameras.shares().last_record_at_ms = ms(5)
    watched.core.on_progress(worked(5), worked(5))
    assert reports_in(service.on_time(states, ms(60))) == []
    well.at_s = 60
    watched.see(*well.shots(20))
    watched.cameras.shares().last_record_at_ms = ms(61)
    watched.core.on_progress(worked(20), worked(20))
    assert service.on_time(states, ms(61)) == []
    watched.core.on_progress(worked(60.9), worked(60.9))
    (output,) = service.on_time(states, ms(61))
    assert (output.topic, output.key) == ("drift.reports", b"silent")
    assert [(alarm.kind, alarm.since_ms) for alarm in watched.report("silent").alarms] == [("camera_silent", ms(4.95))]


@pytest.mark.slow
@pytest.mark.parametrize("stood_s", [30, 300])
def test_a_service_that_stood_makes_no_camera_slow_to_be_missed(stood_s: int) -> None:
    """Ingest took nothing meanwhile, or a broker was away, then all at once: that pause was not the camera's, so that
    it is missed as soon as before."""
    camera, watched = Camera(fps=4), Watched()
    watched.see(*camera.shots(100))
    received_ms = ms(camera.at_s + stood_s)
    for number in range(4 * stood_s):
        watched.see(camera.shot(received_at_ms=received_ms + number))
    watched.see(*camera.shots(40))
    stopped_s = camera.at_s - 0.25
    watched.evaluate(stopped_s + 16)
    assert "camera_silent" not in watched.kinds()
    watched.evaluate(stopped_s + 17)
    assert "camera_silent" in watched.kinds()


@pytest.mark.parametrize("stood_s", [30, 300])
def test_a_service_that_stood_makes_no_labels_slow_to_be_missed(stood_s: int) -> None:
    """As for frames: labels that waited came after a pause that was nobody's habit."""
    camera, watched = Camera(fps=1), Watched()
    watched.live(camera, 150)
    received_ms = ms(camera.at_s + stood_s)
    for number in range(stood_s):
        shot = camera.shot(received_at_ms=received_ms + number)
        watched.see(shot)
        watched.label(*camera.labelled([shot], labelled_at_ms=shot.captured_at_ms + 1_000))
    watched.live(camera, 20)
    last_s = camera.at_s
    watched.see(*camera.shots(20))
    watched.evaluate(last_s + 9)
    assert "labels_missing" not in watched.kinds()
    watched.evaluate(last_s + 19)
    assert "labels_missing" in watched.kinds()


def test_a_pause_in_which_labels_were_missed_is_their_own() -> None:
    """Services had worked so far: next time they are missed after five times as long."""
    camera, watched = Camera(fps=1), Watched()
    watched.live(camera, 150)
    watched.see(*camera.shots(60))
    watched.evaluate(camera.at_s)
    assert "labels_missing" in watched.kinds()
    watched.live(camera, 80)
    assert "labels_missing" not in watched.kinds()
    watched.see(*camera.shots(120))
    watched.evaluate(camera.at_s)
    assert "labels_missing" not in watched.kinds()


def test_a_camera_that_sends_its_frames_in_batches_is_missed_once() -> None:
    """One that has its network now and then: its frames waited, but it was missed meanwhile: the pause is its own."""
    camera, watched = Camera(fps=1), Watched()
    for _ in range(4):
        shots = camera.shots(180)
        watched.evaluate(camera.at_s)
        for number, each in enumerate(shots):
            watched.see(replace(each, received_at_ms=ms(camera.at_s) + 100 * number))
    assert watched.history() == [("camera_silent", True), ("camera_silent", False)]


def test_a_camera_whose_clock_stands_is_missed_by_the_mean_of_its_pauses() -> None:
    """Each of its frames seems to have waited for as long as it paused; that makes it no camera without pauses."""
    camera, watched = Camera(fps=1 / 20), Watched()
    for _ in range(100):
        watched.see(camera.shot(captured_at_ms=ms(0)))
    stopped_s = camera.at_s - 20
    watched.evaluate(stopped_s + 110)
    assert "camera_silent" not in watched.kinds()
    watched.evaluate(stopped_s + 120)
    assert "camera_silent" in watched.kinds()


@pytest.mark.slow
def test_labels_that_wait_in_a_service_are_not_missing() -> None:
    """Frames go on past ingest; labels are missed up to where their own road is worked off, and then they are."""
    camera, watched = Camera(), Watched()
    service, states = watched.service, {0: watched.cameras}
    watched.live(camera, 300)
    watched.core.on_progress(ALL_WORKED, worked(camera.at_s))
    watched.see(*camera.shots(2_000))
    watched.cameras.shares().last_record_at_ms = ms(camera.at_s)
    assert service.on_time(states, ms(camera.at_s)) == []
    watched.core.on_progress(ALL_WORKED, worked(camera.at_s))
    assert len(service.on_time(states, ms(camera.at_s))) == 1
    assert watched.kinds() == {"labels_missing"}


def test_nobody_is_missed_before_it_is_known_how_far_services_have_worked() -> None:
    """Nor where only another partition has been worked off."""
    camera, watched = Camera(fps=20), Watched()
    service, states = watched.service, {0: watched.cameras}
    watched.see(*camera.shots(100))
    watched.cameras.shares().last_record_at_ms = ms(5)
    for progress in (UNKNOWN, worked(1_000, partition=1)):
        watched.core.on_progress(progress, progress)
        assert reports_in(service.on_time(states, ms(1_000))) == []


def test_time_in_which_nobody_listened_is_no_silence() -> None:
    """After an hour in which this service was down it waits for what lies on the log before it says who is silent."""
    camera, watched = Camera(fps=20), Watched()
    watched.see(*camera.shots(100))
    watched.cameras.shares().last_record_at_ms = ms(5)
    log = watched.cameras.changes()
    restarted = Watched(QUICK)
    for key, value in log:
        restarted.cameras.restore(key, value)
    restarted.cameras.commit()
    assert restarted.core.on_time({0: restarted.cameras}, ms(3_600)) == []
    assert restarted.kinds() == set()


def test_a_camera_alone_is_silent_though_labels_still_come() -> None:
    """Labels of earlier frames are no frames."""
    camera, watched = Camera(fps=20), Watched()
    shots = watched.live(camera, 150)
    for number, shot in enumerate(shots[:60]):
        received_s = camera.at_s + number
        (late,) = camera.labelled([shot], delay_s=received_s - shot.sequence / camera.fps)
        watched.service.on_batch([FakeMessage("outcomes", CODEC.encode(late))], {0: watched.cameras}, ms(received_s))
        watched.core.on_time({0: watched.cameras}, ms(received_s))
    assert watched.kinds() == {"camera_silent"}


@pytest.mark.slow
def test_a_new_version_does_not_make_labels_missing() -> None:
    """Labels of the version before go on for as long as labels take: they are labels."""
    camera, watched = Camera(fps=20), Watched()
    old = watched.live(camera, 300)
    camera.version = "v2"
    for number in range(400):
        watched.see(camera.shot())
        late = old[number % len(old)]
        watched.label(*camera.labelled([late], delay_s=camera.at_s - late.sequence / 20))
    watched.evaluate(camera.at_s)
    assert ("labels_missing", True) not in watched.history()


@pytest.mark.slow
def test_labels_of_a_blind_camera_are_labels() -> None:
    """A frozen camera whose frames are labelled has a fault, and not also missing labels."""
    camera, watched = Camera(fps=20), Watched()
    watched.live(camera, 300)
    for _ in range(400):
        shot = camera.shot(brightness=0.5, sharpness=0.05, perceptual_hash=77)
        watched.see(shot)
        watched.label(*camera.labelled([shot]))
    watched.evaluate(camera.at_s)
    assert watched.kinds() == {"camera_frozen"}
