"""Classes are told apart up to 32: each has its share, its accuracy and its look, and rows grow with their number."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest

from catseye.contract.records import DriftStatistic, Outcome, Prediction
from services.drift.cameras import Cameras
from services.drift.core import DriftCore
from services.drift.layout import BUCKETS, layout_of
from tests.simulation.cameras import CODEC, QUICK, Camera, Watched, outcome
from tests.simulation.partitions import FakeMessage

TWENTY: Final = tuple(f"class {number}" for number in range(20))
EIGHT: Final = TWENTY[:8]
ONE: Final = "class 15"


class Classes:
    """A camera whose model has so many classes.

    Args:
        names: Of the classes.
        share: Of `ONE` among what it shows, the others are alike.
    """

    def __init__(self, names: tuple[str, ...] = TWENTY, share: float = 0.3) -> None:
        self.camera = Camera()
        self.names = names
        self.share = share
        self._chance = np.random.default_rng(3)
        self._centres = self._chance.normal(size=(len(names), 16))

    def shot(self, *, share: float | None = None, look: float = 0.0) -> Prediction:
        """The next frame; *look* is added to each feature of `ONE`."""
        wanted = self.share if share is None else share
        others = [name for name in self.names if name != ONE]
        best = ONE if ONE in self.names and self._chance.random() < wanted else str(self._chance.choice(others))
        place = self.names.index(best)
        features = self._centres[place] + self._chance.normal(size=16) + look * (best == ONE)
        chances = dict.fromkeys(self.names, 0.05 / (len(self.names) - 1)) | {best: 0.95}
        return self.camera.shot(label=best, probabilities=chances, embedding=features.tolist())

    def label(self, shot: Prediction, wrong: Mapping[str, float]) -> Outcome:
        """The truth of a frame: of each class a share of the answers is *wrong*, else three in a hundred."""
        is_wrong = self._chance.random() < wrong.get(shot.label, 0.03)
        # What was taken for another class is of that class in truth: so a class is wrong by its own labels.
        truth = shot.label
        taken_for = self.names[(self.names.index(truth) + 1) % len(self.names)]
        return outcome(shot, truth, correct=not is_wrong, predicted=taken_for if is_wrong else truth)


def learned() -> tuple[Classes, Watched]:
    """A camera that is done with learning, labels too."""
    classes, watched = Classes(), Watched(QUICK)
    for _ in range(700):
        shot = classes.shot()
        watched.see(shot)
        watched.label(classes.label(shot, {}))
    assert watched.kinds() == set()
    return classes, watched


@pytest.mark.slow
def test_a_class_beyond_the_seventh_that_comes_more_often_is_named() -> None:
    """The fifteenth of twenty alone."""
    classes, watched = learned()
    for _ in range(400):
        watched.see(classes.shot(share=0.7))
        if "predictions" in watched.kinds():
            break
    alarm = watched.alarm("predictions")
    assert (alarm.signal, alarm.label) == ("class_share", ONE)


@pytest.mark.slow
def test_a_class_beyond_the_seventh_that_is_wrong_more_often_is_named() -> None:
    """Its labels alone contradict what was predicted, and too few to be much of all."""
    classes, watched = learned()
    for _ in range(600):
        shot = classes.shot(share=0.05)
        watched.see(shot)
        watched.label(classes.label(shot, {ONE: 0.7}))
        if "accuracy" in watched.kinds():
            break
    alarm = watched.alarm("accuracy")
    assert (alarm.signal, alarm.label) == ("loss", ONE)


@pytest.mark.slow
def test_a_class_beyond_the_seventh_that_looks_different_is_found() -> None:
    """Its features have moved, as far as those of classes are apart; a distance from all of many would not show it."""
    classes, watched = learned()
    for _ in range(600):
        watched.see(classes.shot(look=2.0))
        if "input" in watched.kinds():
            break
    assert watched.alarm("input").signal == "embedding"


def test_rows_grow_with_the_classes_of_the_model() -> None:
    """At most 8 KB for eight, 12 KB for sixteen and 18 KB for thirty-two: what is normal and what is seen."""
    sizes = [layout.reference.itemsize + layout.watch.itemsize for layout in map(layout_of, BUCKETS)]
    for size, most_kb in zip(sizes, (8, 12, 18), strict=True):
        assert size <= most_kb * 1_024
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])


@pytest.mark.parametrize(("classes", "buckets"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32), (1_000, 32)])
def test_the_narrowest_rows_that_tell_all_classes_apart(classes: int, buckets: int) -> None:
    """Of more than 32 classes the first 31 are told apart."""
    assert layout_of(classes).buckets == buckets


class Log:
    """A partition and what lies on its topic."""

    def __init__(self) -> None:
        self.core = DriftCore(QUICK)
        self.cameras = self.core.new_state()
        self.rows: dict[bytes, bytes | None] = {}

    def take(self, classes: Classes, count: int, version: str) -> None:
        """The next frames of a camera, each with its label, whose model is of *version*."""
        classes.camera.version = version
        shots = [classes.shot() for _ in range(count)]
        self.core.on_predictions([(self.cameras, shot) for shot in shots])
        self.core.on_outcomes([(self.cameras, classes.label(shot, {})) for shot in shots])

    def commit(self) -> None:
        self.rows |= dict(self.cameras.changes())
        self.cameras.commit()

    def taken(self) -> dict[int, int]:
        """Rows that are somebody's, by how many classes they tell apart."""
        tables = [self.cameras.tables.of(layout_of(classes)) for classes in (8, 32)]
        return {table.layout.buckets: sum(map(bool, table.names)) for table in tables}

    def restored(self) -> Cameras:
        """What a process that starts now reads."""
        found = DriftCore(QUICK).new_state()
        for key, value in self.rows.items():
            if value is not None:
                found.restore(key, value)
        found.commit()
        return found


def known(cameras: Cameras) -> tuple[int, list[bytes]]:
    """How many classes the rows of camera a tell apart, and the rows."""
    table, row = cameras.home("a")
    return table.layout.buckets, [table.part(row, part) for part in (b"r", b"w", b"l")]


@pytest.mark.slow
def test_a_camera_goes_to_a_model_of_more_classes_and_back() -> None:
    """Its rows too, on the log as well; what is of the device stays, what is of classes is learned anew."""
    log, eight, twenty = Log(), Classes(EIGHT), Classes(TWENTY)
    twenty.camera = eight.camera
    for classes, version, buckets in ((eight, "v1", 8), (twenty, "v2", 32), (eight, "v3", 8)):
        log.take(classes, 250, version)
        log.commit()
        assert known(log.cameras) == known(log.restored())
        table, row = log.cameras.home("a")
        assert table.layout.buckets == buckets
        assert table.reference["closed"][row].any()
        assert table.watch["frames"][row] == classes.camera.sequence
        assert log.taken() == {8: int(buckets == 8), 32: int(buckets == 32)}


def test_a_camera_that_moved_in_an_aborted_transaction_never_did() -> None:
    """To the bit, however often it moved; and the rows that it had are free."""
    log, eight, twenty = Log(), Classes(EIGHT), Classes(TWENTY)
    twenty.camera = eight.camera
    log.take(eight, 150, "v1")
    log.commit()
    before = known(log.cameras)
    log.take(twenty, 40, "v2")
    log.take(eight, 40, "v3")
    log.take(twenty, 40, "v4")
    assert known(log.cameras)[0] == 32
    log.cameras.rollback()
    assert known(log.cameras) == before
    assert log.cameras.changes() == []
    assert log.taken() == {8: 1, 32: 0}


def test_what_was_learned_of_twenty_classes_in_rows_of_eight_stays_until_the_next_version() -> None:
    """As an earlier build left it: no reference is lost, and no bucket of many classes becomes that of one."""
    log, twenty = Log(), Classes(TWENTY)
    log.take(Classes(EIGHT), 1, "v1")
    log.take(twenty, 1, "v1")  # the same version: rows are as they were
    assert known(log.cameras)[0] == 8
    log.take(twenty, 1, "v2")
    assert known(log.cameras)[0] == 32


def test_cameras_of_many_and_of_few_classes_are_taken_together() -> None:
    """One sent twice as many frames; the other has its own, and none more."""
    log, eight, twenty = Log(), Classes(EIGHT), Classes(TWENTY)
    twenty.camera = Camera("b")
    shots = [eight.shot(), twenty.shot(), eight.shot()]
    log.core.on_predictions([(log.cameras, shot) for shot in shots])
    assert {name: log.cameras.home(name)[0].layout.buckets for name in "ab"} == {"a": 8, "b": 32}
    frames = {name: table.watch["frames"][row] for name in "ab" for table, row in [log.cameras.home(name)]}
    assert frames == {"a": 2, "b": 1}


def test_statistics_are_of_those_that_sent_something_new() -> None:
    """The others, in rows of another width, have been published."""
    watched, eight, twenty = Watched(QUICK), Classes(EIGHT), Classes(TWENTY)
    eight.camera, twenty.camera = Camera("a", fps=0.01), Camera("b", fps=0.01)

    def cameras_of(*shots: Prediction) -> set[str]:
        messages = [FakeMessage("predictions", CODEC.encode(shot)) for shot in shots]
        written = watched.service.on_batch(messages, {0: watched.cameras}, 0)
        return {CODEC.decode(each.value, DriftStatistic).camera for each in written if each.topic == "statistics"}

    assert cameras_of(eight.shot(), twenty.shot()) == {"a", "b"}
    assert cameras_of(eight.shot()) == {"a"}
