"""Records in, reports and statistics out: what is sorted where, what is refused, and what is told when."""

from dataclasses import replace as changed_rules
from typing import Any, Final

import pytest
from msgspec.structs import replace

from catseye.contract.dead_letters import dead_letter
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import DOCTOR, partition_of
from catseye.contract.records import CameraReport, CameraView, DeadLetter, DriftStatistic, Outcome, Prediction
from catseye.runtime.stream import Output
from services.drift.cameras import Cameras
from services.drift.report import version_of
from tests.simulation.cameras import CODEC, QUICK, Camera, Watched, drift_service, ms, outcome
from tests.simulation.partitions import FakeMessage


def message(record: Prediction | Outcome | DeadLetter | CameraView, place: int = 0) -> FakeMessage:
    """A record as it lies on its topic."""
    topics = {Prediction: "predictions", Outcome: "outcomes", DeadLetter: "dead-letters", CameraView: "views"}
    return FakeMessage(topics[type(record)], CODEC.encode(record), place=place)


def letter(reason: str = "jpeg_corrupt", **changes: Any) -> DeadLetter:
    """What ingest says of a frame that it refused."""
    refused = FakeMessage("frames", b"?", name=b"a")
    sound = dead_letter("ingest", refused, BadRecord(Reason.JPEG_CORRUPT, "why"), ms(1))
    return replace(sound, reason=reason, **changes)


class Service:
    """The core and what it knows of some partitions."""

    def __init__(self, partitions: int = 1, rules: Any = QUICK) -> None:
        self.core = drift_service(rules, partitions)
        self.states = {number: self.core.new_state() for number in range(partitions)}

    def take(
        self, *records: Prediction | Outcome | DeadLetter | CameraView | FakeMessage, now_s: float = 0
    ) -> list[Output]:
        batch = [each if isinstance(each, FakeMessage) else message(each) for each in records]
        return self.core.on_batch(batch, self.states, ms(now_s))


def reports(outputs: list[Output]) -> list[CameraReport]:
    return [CODEC.decode(each.value, CameraReport) for each in outputs if each.topic == "drift.reports"]


def statistics_in(outputs: list[Output]) -> list[DriftStatistic]:
    return [CODEC.decode(each.value, DriftStatistic) for each in outputs if each.topic == "statistics"]


def test_a_report_goes_out_when_something_changed() -> None:
    """A version, the end of learning, an alarm; keyed by the camera, on the one partition that reports have."""
    service, camera = Service(2), Camera()
    (first,) = [each for each in service.take(message(camera.shot(), 1)) if each.topic == "drift.reports"]
    assert (first.partition, first.key) == (0, b"a")
    assert CODEC.decode(first.value, CameraReport).version == "v1"
    lefts = []
    for shot in camera.shots(250):
        lefts += [report.learning_left for report in reports(service.take(message(shot, 1)))]
    assert lefts == [0]
    raised = []
    for shot in camera.shots(40, brightness=0.001):
        raised += [[alarm.kind for alarm in report.alarms] for report in reports(service.take(message(shot, 1)))]
    assert raised == [["camera_black"]]
    assert service.core.counted() == {"frames_watched": 291, "reported": 3}


def test_statistics_go_out_every_few_seconds_of_event_time() -> None:
    """Of each camera that has shown a prediction, to the partition of its frames; and with labels its report too."""
    service, camera = Service(), Camera(fps=2)
    at_s = []
    for shot in camera.shots(30):
        outputs = service.take(shot)
        if statistics_in(outputs):
            at_s.append((shot.received_at_ms - ms(0)) / 1_000)
            assert {each.key for each in outputs} == {b"a"}
            assert {statistic.at_ms for statistic in statistics_in(outputs)} == {shot.received_at_ms}
    assert at_s == [0, 5, 10]
    shots = camera.shots(20)
    labels = [outcome(shots[0], "car")]
    assert len(reports(service.take(*shots, *labels))) == 1


THINNED: Final = changed_rules(QUICK, reference_samples=100, reference_span_ms=8 * 100 * 200)
"""Samples a fifth of a second apart, over two minutes and forty seconds."""


def test_of_a_fast_camera_a_frame_in_a_fifth_of_a_second_is_examined() -> None:
    """It learns and is watched by those, and a fault is seen after as many of them; none is lost to the count, and how
    many frames a camera has is known as before."""
    service, camera = Service(rules=THINNED), Camera(fps=20)
    for _ in range(17):
        service.take(*camera.shots(200))
    table, row = service.states[0].table, service.states[0].row("a")
    assert (int(table.watch["frames"][row]), bool(table.reference["closed"][row, 1])) == (850, True)
    assert table.watch["gap_ms"][row] == pytest.approx(50, rel=0.01)
    raised = [
        number
        for number, shot in enumerate(camera.shots(100, brightness=0.001))
        if any(report.alarms for report in reports(service.take(shot)))
    ]
    assert raised == [4 * 11]
    counted = service.core.counted()
    assert counted["frames_watched"] + counted["frames_passed_over"] == 3_500
    assert counted["frames_watched"] == 875


def test_frames_that_came_before_the_last_one_are_examined() -> None:
    """Our own clock was set back: nobody knows for how long."""
    service, camera = Service(rules=THINNED), Camera(fps=20)
    service.take(camera.shot())
    camera.at_s -= 3_600
    service.take(*camera.shots(10))
    assert service.core.counted() == {"frames_watched": 11, "reported": 1}


def test_a_prediction_that_cannot_be_read_is_a_dead_letter_though_it_would_be_passed_over() -> None:
    """As far as it is read."""
    service, camera = Service(rules=THINNED), Camera(fps=20)
    service.take(camera.shot())
    cut = replace_body(message(camera.shot()), slice(14))
    assert [output.topic for output in service.take(cut)] == ["dead-letters"]
    assert service.core.counted()["dead_malformed_avro"] == 1


def replace_body(record: FakeMessage, piece: slice) -> FakeMessage:
    """Only a piece of a record's bytes."""
    return FakeMessage(record.topic_name, (record.body or b"")[piece])


def test_without_news_of_a_camera_nothing_is_reported_of_it() -> None:
    """No sample and no label since: its statistics would be what they were."""
    service, slow, fast = Service(), Camera("slow", fps=0.05), Camera("fast", fps=1)
    outputs = [
        [each.camera for each in statistics_in(service.take(shot))]
        for shot in [slow.shot(), *fast.shots(20), slow.shot()]
    ]
    assert [set(each) for each in outputs if each] == [{"slow"}, {"fast"}, {"fast"}, {"fast"}, {"slow", "fast"}]


def test_of_a_large_fleet_each_camera_has_its_turn() -> None:
    """Two hundred at once, whoever was not among them the next time."""
    service = Service()
    cameras = [Camera(f"cam-{number:03d}", seed=number, fps=0.1) for number in range(250)]
    seen = []
    for _ in range(3):
        outputs = service.take(*[camera.shot() for camera in cameras])
        seen.append({statistic.camera for statistic in statistics_in(outputs)})
    assert [len(each) for each in seen] == [200, 200, 200]
    assert seen[0] | seen[1] == {camera.name for camera in cameras}


def test_partitions_know_nothing_of_each_other() -> None:
    """A camera is known where its records lie."""
    service, camera = Service(2), Camera()
    service.take(message(camera.shot(), 1))
    assert (len(service.states[0]), len(service.states[1])) == (0, 1)
    for at_s in (0, 3_600, 7_200):  # where nothing ever came nobody is missed
        assert service.core.on_time(service.states, ms(at_s))[1:] == []
    assert service.core.on_time({0: service.states[0]}, ms(9_000)) == []


def test_a_partition_that_goes_is_forgotten_at_once() -> None:
    """Nothing that was done with it holds on to it: its rows are free for the next one, the others stay."""
    service = Service(2)
    records = [message(Camera(name).shot(), place) for place, name in enumerate("ab")]
    service.take(*records, message(outcome(Camera("a").shot(), "car")), letter())
    service.core.on_time(service.states, ms(9_000))
    table = service.states[0].table
    del service.states[0]
    assert table.names == ["", "b"]
    service.states[0] = service.core.new_state()
    assert (service.states[0].row("c"), table.names) == (0, ["c", "b"])


@pytest.mark.parametrize("topic", ["predictions", "outcomes", "dead-letters"])
def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(topic: str) -> None:
    """With its bytes as they were."""
    service, camera = Service(), Camera()
    outputs = service.take(FakeMessage(topic, b"\xff", 7), camera.shot(), now_s=3)
    (output,) = [each for each in outputs if each.topic == "dead-letters"]
    refused = CODEC.decode(output.value, DeadLetter)
    assert (refused.service, refused.topic, refused.offset, refused.value) == ("drift", topic, 7, b"\xff")
    assert (output.key, refused.refused_at_ms) == (f"{topic}-0".encode(), ms(3))
    assert len(reports(outputs)) == 1
    assert service.core.counted()["dead_unknown_format"] == 1


@pytest.mark.parametrize(
    ("changes", "camera"),
    [
        ({}, "a"),
        ({"camera": "b"}, "b"),
        ({"topic": "frames.rekeyed"}, "a"),
        ({"key": b"message-17"}, None),
        ({"topic": "labels"}, None),
        ({"key": b"\xff"}, None),
        ({"key": None}, None),
        ({"key": b""}, None),
        ({"camera": DOCTOR}, None),
    ],
)
def test_a_refused_frame_counts_for_its_camera(changes: dict[str, Any], camera: str | None) -> None:
    """As it was read, or as the key has it if that is one; refused labels and what has no name count for nobody."""
    service = Service()
    service.take(Camera().shot())
    service.take(*[letter(**changes) for _ in range(11)])
    assert [*service.states[0]] == (["a"] if camera in (None, "a") else ["a", camera])
    if camera:
        assert [alarm.kind for alarm in reports_of(service, camera)] == ["camera_dead_letters"]


def test_a_refused_frame_counts_where_its_camera_is_placed_and_nowhere_else() -> None:
    """A publisher may put a frame that nobody can read on any partition: no camera has two tables."""
    service = Service(3, changed_rules(QUICK, partitions=3))
    service.take(*[message(letter(camera="a"), place) for place in range(3)])
    assert [place for place in range(3) if [*service.states[place]] == ["a"]] == [partition_of("a", 3)]
    assert sum(len(service.states[place]) for place in range(3)) == 1


def test_refused_frames_are_signs_of_time() -> None:
    """Where nothing else comes they tell when it is: their own alarm ends, and who is silent beside them is missed."""
    service, camera = Service(), Camera("b", fps=1)
    (notified_first,) = reports(service.take(*[letter(camera="a", refused_at_ms=ms(5))] * 11))
    assert notified_first.alarms[0].raised_at_ms == notified_first.at_ms == ms(5)
    (ended,) = reports(service.core.on_time(service.states, ms(0)) + service.core.on_time(service.states, ms(1_800)))
    assert ended.alarms == []
    service.take(*camera.shots(30))
    for minute in range(60):
        service.take(letter(camera="a", refused_at_ms=ms(60 * minute)), now_s=60 * minute)
    assert "camera_silent" in [alarm.kind for alarm in reports_of(service, "b")]


def test_who_comes_back_with_frames_from_before_is_reported_last() -> None:
    """Of silence our clock tells, of frames the time at which they were taken: a report never lies before another."""
    service, camera = Service(), Camera()
    service.take(*camera.shots(250))
    service.core.on_time(service.states, ms(0))
    (silent,) = reports(service.core.on_time(service.states, ms(90)))
    assert [alarm.kind for alarm in silent.alarms] == ["camera_silent"]
    restored = service.core.new_state()
    for key, value in service.states[0].changes():
        restored.restore(key, value)
    service.states[0] = restored
    back = reports(service.take(*camera.shots(1_250)))
    assert [each.alarms for each in back] == [[]]
    assert back[0].at_ms == silent.at_ms


def test_the_doctors_frames_are_none_and_no_sign_of_life() -> None:
    """Silence is counted on from the last frame of a camera."""
    service, camera = Service(), Camera(fps=1)
    for shot in camera.shots(20):
        service.take(shot, now_s=camera.at_s)
    doctors = Camera(DOCTOR, fps=1)
    raised: list[str] = []
    for minute in range(1, 10):
        assert service.take(doctors.shot(), now_s=camera.at_s + 10 * minute) == []
        for report in reports(service.core.on_time(service.states, ms(camera.at_s + 10 * minute + 9))):
            raised += [alarm.kind for alarm in report.alarms]
    assert raised == ["camera_silent"]
    assert [*service.states[0]] == ["a"]


def reports_of(service: Service, camera: str) -> list[Any]:
    """Alarms of a camera now."""
    watched = Watched()
    watched.cameras = service.states[0]
    watched.table = watched.cameras.table
    return watched.report(camera).alarms


def test_a_camera_that_was_only_refused_has_no_statistics() -> None:
    """And no model; others beside it have theirs."""
    service, camera = Service(), Camera("b")
    service.take(letter(camera="a"))
    camera.at_s = 10
    outputs = service.take(camera.shot())
    assert {statistic.camera for statistic in statistics_in(outputs)} == {"b"}
    assert version_of(service.states[0].table, 0).model == ""


def test_at_most_four_readings_of_a_device_are_watched() -> None:
    """The first that come; names that do not fit are left out, and a name that is taken keeps its place."""
    service, camera = Service(), Camera()
    readings = {"volt": 1.0, "temperature": 2.0, "a name that is far too long": 3.0, "µ": 4.0}
    service.take(camera.shot(telemetry=readings))
    assert service.states[0].table.slots(0) == ("temperature", "volt")
    service.take(camera.shot(telemetry={"e": 1.0, "d": 2.0, "c": 3.0, "volt": 4.0}))
    service.take(camera.shot(telemetry={"b": 1.0}))
    stranger = Camera("b")
    service.take(stranger.shot(telemetry={"a name that is far too long": 3.0}))
    assert service.states[0].table.slots(1) == ()
    assert service.states[0].table.slots(0) == ("temperature", "volt", "c", "d")


@pytest.mark.parametrize("name", ["", "t\0", "\0"])
def test_readings_with_odd_names_are_the_same_after_a_restart(name: str) -> None:
    """What a table restored from the log watches is what the one that lived watched."""
    service, camera = Service(), Camera()
    service.take(camera.shot(telemetry={name: 1.0, "volt": 12.0}))
    restored = Cameras()
    for key, value in service.states[0].changes():
        restored.restore(key, value)
    assert restored.table.slots(0) == service.states[0].table.slots(0)


def test_a_reading_that_is_huge_poisons_nothing() -> None:
    """A finite number that a float32 cannot hold is no reading, and everything that is told stays a number."""
    service, camera = Service(), Camera()
    for number in range(300):
        reading = 1e300 if number % 50 == 7 else 20.0 + number % 3
        outputs = service.take(camera.shot(telemetry={"temperature": reading}))
        for statistic in statistics_in(outputs):
            assert abs(statistic.estimate) < 1e30
            assert abs(statistic.reference) < 1e30


@pytest.mark.slow
def test_the_same_records_lead_to_the_same_words() -> None:
    """Byte for byte, ids included: nothing is drawn and no clock is read."""
    rules = changed_rules(QUICK, fleet_cameras=0)
    records: list[Prediction | Outcome] = []
    for seed in (1, 2):
        camera = Camera(f"cam-{seed}", seed=seed)
        shots = [*camera.shots(250), *camera.shots(60, brightness=0.001), *camera.shots(80, brightness=0.8)]
        records += [*shots, *camera.labelled(shots)]
    first, second = Service(rules=rules).take(*records), Service(rules=rules).take(*records)
    assert first == second
    raised = {(report.camera, alarm.kind, alarm.cause) for report in reports(first) for alarm in report.alarms}
    assert len({cause for *_, cause in raised}) == len(raised) > 0


def test_what_begins_and_ends_within_one_batch_is_reported() -> None:
    """Of a fault that came and went while a backlog is read both are said, in their order."""
    camera, service = Camera(), Service()
    shots = [*camera.shots(250), *camera.shots(60, brightness=0.001), *camera.shots(200)]
    outputs = [[alarm.kind for alarm in report.alarms] for report in reports(service.take(*shots))]
    assert outputs.index(["camera_black"]) < len(outputs) - 1
    assert outputs[-1] == []


def dark_view(number: int, **changes: Any) -> CameraView:
    """A view of a camera in the dark, five seconds after the one before."""
    return replace(
        CameraView(
            camera="a",
            boot="b",
            sequence=number,
            captured_at_ms=ms(5 * number) - 5,
            received_at_ms=ms(5 * number),
            width=1_920,
            height=1_080,
            brightness=0.01,
            contrast=0.01,
            sharpness=1e-3,
            dark_share=1.0,
            bright_share=0.0,
            perceptual_hash=number,
            bits_per_pixel=0.1,
            jpeg=b"\xff\xd8 a picture",
        ),
        **changes,
    )


def test_views_are_read_and_what_they_show_is_reported() -> None:
    """Of a camera without a single prediction, too; the report names the view's camera and no statistic goes out."""
    service = Service()
    outputs = [output for number in range(4) for output in service.take(dark_view(number))]
    assert [[alarm.kind for alarm in each.alarms] for each in reports(outputs)] == [["camera_black"]]
    assert {(each.topic, each.key) for each in outputs} == {("drift.reports", b"a")}
    assert service.core.counted() == {"views_watched": 4, "reported": 1}


def test_a_view_of_the_doctor_is_no_camera() -> None:
    """It is a probe of the pipeline: nothing is known or told of it, however dark."""
    service = Service()
    assert [output for number in range(4) for output in service.take(dark_view(number, camera=DOCTOR))] == []
    assert DOCTOR not in service.states[0]
    assert service.core.counted() == {}


def test_a_view_that_cannot_be_read_is_a_dead_letter() -> None:
    """Cut before the last field that is of use; without its picture it is of as much use as with it."""
    service, sound = Service(), message(dark_view(0))
    assert [output.topic for output in service.take(replace_body(sound, slice(14)))] == ["dead-letters"]
    assert service.take(replace_body(sound, slice(-len(dark_view(0).jpeg)))) == []
    assert service.core.counted() == {"dead_malformed_avro": 1, "views_watched": 1}
