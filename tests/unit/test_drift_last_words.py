"""What drift says last of a camera counts all that came, in whatever order records and moments came."""

from dataclasses import replace as changed_rules
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.identity import DOCTOR
from catseye.contract.records import CameraReport, DriftStatistic, Outcome, Prediction
from catseye.runtime.stream import Output
from services.drift.ahead import MOST
from services.drift.rules import Rules
from tests.simulation.cameras import CODEC, QUICK, Camera, drift_service, ms, outcome
from tests.simulation.partitions import FakeMessage, Partition

THINNED: Final = changed_rules(QUICK, reference_samples=100, reference_span_ms=8 * 100 * 200)
"""Of frames that come faster, one in a fifth of a second is looked at."""
TICK_S: Final = 1.0
QUIET_S: Final = 10.0
"""Twice as long as statistics take."""


class Evening:
    """A partition of drift, and what it said last of each camera."""

    def __init__(self, rules: Rules = QUICK) -> None:
        self.partition = Partition(lambda: drift_service(rules))
        self.now_s = 0.0
        self.reports: dict[str, CameraReport] = {}
        self.statistics: dict[tuple[str, str], DriftStatistic] = {}

    def take(self, *records: Prediction | Outcome, now_s: float | None = None) -> None:
        """A batch."""
        self.now_s = max(self.now_s, now_s or 0.0)
        self.partition.take([self.message(each) for each in records], ms(self.now_s))
        self._heard()

    @staticmethod
    def message(record: Prediction | Outcome) -> FakeMessage:
        """A record as it lies on its topic."""
        topic = "predictions" if isinstance(record, Prediction) else "outcomes"
        return FakeMessage(topic, CODEC.encode(record), name=record.camera.encode())

    def tick(self, for_s: float = TICK_S) -> None:
        """Time passes, and nothing comes."""
        for _ in range(round(for_s / TICK_S)):
            self.now_s += TICK_S
            state = self.partition.state
            rows = self.partition.core.on_time({0: state}, ms(self.now_s))
            self.partition.outputs += [Output(*row) for row in rows]
            self.partition.state_log += state.changes()
            state.commit()
        self._heard()

    def _heard(self) -> None:
        for each in self.partition.outputs:
            if each.topic == "drift.reports":
                report = CODEC.decode(each.value, CameraReport)
                self.reports[report.camera] = report
            if each.topic == "statistics":
                statistic = CODEC.decode(each.value, DriftStatistic)
                self.statistics[statistic.camera, statistic.signal] = statistic
        self.partition.outputs.clear()

    def labels(self, camera: str = "a") -> tuple[float, float]:
        """How many labels the last report counts, and how many of them are errors, rounded: each fades a little."""
        found = self.reports.get(camera)
        return (0, 0) if found is None else (round(found.recent_labels), round(found.recent_errors))

    def quiet(self) -> None:
        """Nothing comes for twice as long as statistics take."""
        self.tick(QUIET_S)


GAPS_MS: Final = (0, 1, 60, 210, 2_900, 7_000)


@st.composite
def evenings(draw: st.DrawFn) -> tuple[list[Prediction | Outcome | float], dict[str, int]]:
    """Records as drift may read them, with pauses in seconds between, and how many labels count of each camera.

    Predictions of a camera come in order, labels anywhere between; each batch ends at a pause.
    """
    shots: list[Prediction] = []
    labels: list[Outcome] = []
    counted: dict[str, int] = {}
    for name in "ab":
        camera, at_ms, of_it = Camera(name), 1_000, []
        for _ in range(draw(st.integers(1, 6))):
            if draw(st.integers(0, 4)) == 0:
                camera.version += "'"
                at_ms += 210  # a frame of a new version that is passed over shows nothing yet
            at_ms += draw(st.sampled_from(GAPS_MS))
            camera.at_s = at_ms / 1_000
            of_it.append(camera.shot())
        shots += of_it
        chosen = [each for each in of_it if draw(st.booleans())]
        labels += [wrong(each, delay_s=draw(st.sampled_from(GAPS_MS)) / 1_000 - 0.1) for each in chosen]
        counted[name] = sum(each.version == camera.version for each in chosen)
    labels = draw(st.permutations(labels))
    shots.sort(key=lambda each: each.received_at_ms)
    records: list[Prediction | Outcome | float] = [*shots]
    for label in labels:
        records.insert(draw(st.integers(0, len(records))), label)
    for _ in range(draw(st.integers(0, 6))):
        records.insert(draw(st.integers(0, len(records))), draw(st.sampled_from([0.0, 0.2, 4.0, 9.0])))
    return records, counted


@pytest.mark.parametrize("rules", [QUICK, THINNED], ids=["every frame", "a frame in a fifth of a second"])
@settings(max_examples=15, derandomize=True)
@given(evenings())
def test_every_label_is_told_within_seconds_of_the_last_record(
    rules: Rules, drawn: tuple[list[Prediction | Outcome | float], dict[str, int]]
) -> None:
    """In whatever order outcomes, predictions and moments come, and though nothing comes after them."""
    records, counted = drawn
    evening, batch = Evening(rules), []
    for each in [*records, 0.0]:
        if not isinstance(each, float):
            batch.append(each)
            continue
        if batch:
            newest = max(it.received_at_ms if isinstance(it, Prediction) else it.label_received_at_ms for it in batch)
            evening.take(*batch, now_s=(newest - ms(0)) / 1_000 + 0.05)
        evening.tick(each)
        batch = []
    evening.quiet()
    assert {name: evening.labels(name) for name in "ab"} == {name: (count, count) for name, count in counted.items()}


def wrong(shot: Prediction, **changes: Any) -> Outcome:
    """What somebody says who saw another class."""
    return outcome(shot, "tractor", **changes)


def test_a_label_that_is_read_before_the_first_frame_of_its_camera_counts() -> None:
    """Topics are read side by side: an outcome may come in a batch before that of its prediction."""
    evening, camera = Evening(), Camera()
    shot = camera.shot()
    evening.take(wrong(shot), now_s=1)
    evening.take(shot)
    evening.quiet()
    assert evening.labels() == (1, 1)


def test_a_label_of_a_new_version_counts_though_its_frame_is_read_later() -> None:
    """It is evidence about the version that is about to predict."""
    evening, camera = Evening(), Camera()
    evening.take(*camera.shots(3))
    camera.version = "v2"
    shot = camera.shot()
    evening.take(wrong(shot), now_s=2)
    evening.take(shot)
    evening.quiet()
    assert evening.labels() == (1, 1)


def test_a_label_that_waits_survives_aborts_and_crashes() -> None:
    """It is on the log as long as it waits, and counts once."""
    evening, camera = Evening(), Camera()
    shot = camera.shot()
    evening.take(wrong(shot), now_s=1)
    evening.partition.crash()
    evening.partition.abort([evening.message(shot)], ms(1))
    assert evening.partition.state.changes() == []
    evening.take(shot)
    evening.partition.crash()
    evening.take(*camera.shots(2))
    evening.quiet()
    assert evening.labels() == (1, 1)
    assert len(evening.partition.state.ahead) == 0


def test_of_more_labels_than_accuracy_is_made_of_the_newest_wait() -> None:
    """The others only show that labels come."""
    evening, camera = Evening(), Camera()
    shots = camera.shots(MOST + 3)
    evening.take(*camera.labelled(shots[:3]), now_s=1)
    evening.take(*camera.labelled(shots[3:]))
    table, row = evening.partition.state.home("a")
    assert (table.watch["labels"][row], table.watch["labelled"][row]) == (3, 0)
    evening.take(*shots)
    assert (table.watch["labels"][row], table.watch["labelled"][row]) == (MOST + 3, MOST)


def test_a_label_of_the_version_before_waits_for_nothing() -> None:
    """Its frame is known; it shows that labels come."""
    evening, camera = Evening(), Camera()
    old = camera.shot()
    camera.version = "v2"
    evening.take(old, camera.shot(), now_s=1)
    evening.take(wrong(old))
    evening.quiet()
    assert evening.labels() == (0, 0)
    assert len(evening.partition.state.ahead) == 0


@pytest.mark.parametrize("delay_s", [-0.05, 0.0])
def test_a_label_that_ingest_took_no_later_than_its_frame_is_told(delay_s: float) -> None:
    """Though what was told of the camera before is of that very moment."""
    evening, camera = Evening(), Camera()
    shot = camera.shot()
    evening.take(shot, now_s=1)
    evening.quiet()
    evening.take(wrong(shot, delay_s=delay_s))
    evening.quiet()
    assert evening.labels() == (1, 1)


def test_two_labels_of_one_moment_are_both_told() -> None:
    """Whatever was told between them."""
    evening, camera = Evening(), Camera()
    first, second = camera.shots(2)
    evening.take(first, second, wrong(first, label_received_at_ms=ms(9)), now_s=9)
    evening.quiet()
    evening.take(wrong(second, label_received_at_ms=ms(9)))
    evening.quiet()
    assert evening.labels() == (2, 2)


@pytest.mark.parametrize("changes", [{"change": "corrected"}, {"change": "withdrawn"}, {"role": "shadow"}])
def test_labels_that_count_for_nothing_hold_up_none_that_does(changes: dict[str, Any]) -> None:
    """One a second: time goes on with them, and the last wrong label is told."""
    evening, camera = Evening(), Camera()
    shot = camera.shot()
    evening.take(shot, wrong(shot, delay_s=1), now_s=1)
    evening.tick(1)
    evening.take(wrong(shot, delay_s=2.1), now_s=2.1)
    for at_s in range(3, 13):
        evening.take(wrong(shot, label_received_at_ms=ms(at_s), **changes), now_s=at_s)
    assert evening.labels() == (2, 2)


def test_the_last_samples_are_told_when_nothing_more_comes() -> None:
    """How confidence and pictures are is known without another frame, and without any label."""
    evening, camera = Evening(), Camera()
    evening.take(camera.shot(), now_s=0.1)
    evening.take(*camera.shots(20), now_s=1.1)
    told = evening.statistics["a", "entropy"].reference_name
    evening.quiet()
    assert evening.statistics["a", "entropy"].reference_name != told


def test_labels_of_the_doctor_are_no_cameras() -> None:
    """Neither told nor kept."""
    evening = Evening()
    evening.take(wrong(Camera(DOCTOR).shot()), now_s=1)
    evening.quiet()
    assert evening.reports == {}
    assert [*evening.partition.state] == []
