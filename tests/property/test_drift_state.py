"""What drift knows of cameras through any road, with aborts, crashes and other batches anywhere.

What may differ when records are cut into other batches, and is kept out of the comparison: a batch's predictions are
taken before its outcomes; silence is looked for, and statistics are told, at the end of a batch; without a number of
cameras in the settings the thresholds go by the cameras that were seen, those of the whole batch at once.
"""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Final, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from catseye.contract.codec import Codec
from catseye.contract.records import CameraReport, Outcome, Prediction
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.drift.alarms import FIRST_ABSENCE
from services.drift.cameras import Cameras, Shared, Version
from services.drift.normal import normal
from services.drift.report import report
from services.drift.rules import Rules
from services.drift.table import Table
from tests.simulation.cameras import QUICK, Camera, Watched, drift_service, ms, outcome
from tests.simulation.eight_classes import REFERENCE, WATCH
from tests.simulation.partitions import FakeMessage, Partition

pytestmark = pytest.mark.slow

CODEC: Final = Codec()
RULES: Final = Rules(
    reference_samples=60, reference_span_ms=0, telemetry_span_ms=0, fleet_cameras=2, false_per_week=1e6
)
THINNED: Final = replace(RULES, reference_span_ms=8 * 60 * 75)
"""Of frames 50 ms apart every second one is looked at."""
NAMES: Final = ("a", "b")
MODES: Final = (
    "steady",
    "steady",
    "dark",
    "bright",
    "frozen",
    "black",
    "clock",
    "night",
    "wrong labels",
    "no labels",
    "next version",
    "other classes",
    "telemetry",
    "pause",
)
Kept = tuple[list[str], list[bytes], dict[int, Version], Shared]
segments = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(MODES), st.integers(1, 50)), min_size=1, max_size=6
)
seeds = st.integers(0, 5)


class Road:
    """Records of two cameras, in order of time."""

    def __init__(self, seed: int) -> None:
        self._cameras = {name: Camera(name, seed=seed, fps=20) for name in NAMES}
        self._versions = dict.fromkeys(NAMES, 1)
        self._more_classes = dict.fromkeys(NAMES, False)
        self._last: dict[str, Prediction] = {}

    def records(self, camera_name: str, mode: str, count: int) -> list[Prediction | Outcome]:
        """What comes of *count* more frames of a camera, and of as many of the other one."""
        camera = self._cameras[camera_name]
        if mode == "other classes":
            self._more_classes[camera_name] = not self._more_classes[camera_name]
        if mode in ("next version", "other classes"):
            self._versions[camera_name] += 1
            camera.version = f"v{self._versions[camera_name]}"
        if mode == "pause":
            camera.at_s += 60.0
        found: list[Prediction | Outcome] = []
        for _ in range(count):
            for each in self._cameras.values():  # the other one goes on, so that nobody misses it
                found += self._seen(each, mode if each is camera else "steady")
        for each in self._cameras.values():
            each.at_s = camera.at_s
        return found

    def _seen(self, camera: Camera, mode: str) -> list[Prediction | Outcome]:
        """A frame and, in most modes, its label."""
        shot = self._last[camera.name] = self._shot(camera, mode)
        if mode == "no labels":
            return [shot]
        label = "tractor" if mode == "wrong labels" else camera.truth[shot.sequence]
        return [shot, outcome(shot, label, propensity=0.25 if shot.sequence % 3 else 1.0)]

    def _shot(self, camera: Camera, mode: str) -> Prediction:
        modes: dict[str, dict[str, Any]] = {
            "dark": {"brightness": 0.3},
            "bright": {"brightness": 0.8, "contrast": 0.1, "bright_share": 0.2},
            "black": {"brightness": 0.001, "contrast": 0.0, "sharpness": 0.0},
            "night": {"brightness": 0.12 + camera.sequence % 7 / 500},
            "telemetry": {"telemetry": {"temperature": 30.0 + camera.sequence % 5, "voltage": 12.0}},
            "clock": {"captured_at_ms": ms(camera.at_s) - 3_600_000},
        }
        changes = modes.get(mode, {})
        if mode == "frozen" and camera.name in self._last:
            last = self._last[camera.name]
            changes = {name: getattr(last, name) for name in ("brightness", "sharpness", "perceptual_hash")}
        shot = camera.shot(**changes)
        if self._more_classes[camera.name]:
            more = {f"class {number}": 0.0 for number in range(7)}
            shot = structs.replace(shot, probabilities=shot.probabilities | more)
        return shot


def records_of(seed: int, story: Sequence[tuple[str, str, int]]) -> list[Prediction | Outcome]:
    """All records of a road."""
    road = Road(seed)
    return [record for segment in story for record in road.records(*segment)]


def message(record: Prediction | Outcome) -> FakeMessage:
    """A record as it lies on its topic."""
    topic = "predictions" if isinstance(record, Prediction) else "outcomes"
    return FakeMessage(topic, CODEC.encode(record), name=record.camera.encode())


def core() -> Router[Cameras]:
    return drift_service(RULES)


def known(cameras: Cameras) -> Kept:
    """All that is known of cameras, to the bit."""
    homes = map(cameras.home, cameras)
    rows = [table.part(row, part) for table, row in homes for part in (b"r", b"w", b"l")]
    return [*cameras], rows, dict(cameras.versions), structs.replace(cameras.shared)


def by_camera(cameras: Cameras) -> dict[str, list[bytes]]:
    """The same without what cameras share, whatever their order, and without when absences were noticed and statistics
    told: that is at the end of a batch, also of one that the other side does not have."""
    found = {}
    for name in cameras:
        table, row = cameras.home(name)
        watch = table.watch[row].copy()
        watch["reported_ms"] = 0
        for field in ("raised_since_ms", "raised_at_ms", "cause"):
            watch[field][FIRST_ABSENCE:] = np.zeros((), watch[field].dtype)
        found[name] = [part.tobytes() for part in (table.reference[row], watch, table.learning[row])]
    return found


def kept_normal(cameras: Cameras) -> list[list[bytes]]:
    """What is kept as following from references, as far as it claims to be known."""
    kept = [table.normal[row] for table, row in map(cameras.home, cameras)]
    return [[part[name].tobytes() for name in part.dtype.names or () if part["known"]] for part in kept]


def normal_now(cameras: Cameras) -> list[list[bytes]]:
    """The same, made of the references anew."""
    for table, _, rows in cameras.placed:
        known = table.normal["known"][rows]
        table.normal["known"] = False
        normal(table, rows[known], RULES)
    return kept_normal(cameras)


def by_key(outputs: Sequence[Output]) -> dict[bytes | None, list[Output]]:
    """What was said of each camera, in order: whose turn is first goes by the log that a table was made of."""
    found: dict[bytes | None, list[Output]] = {}
    for output in outputs:
        found.setdefault(output.key, []).append(output)
    return found


def without_clock(shared: Shared) -> Shared:
    """Facts of a partition, but for when this process last heard of it."""
    return structs.replace(shared, last_record_at_ms=0)


def cuts(data: st.DataObject, messages: Sequence[FakeMessage]) -> list[list[FakeMessage]]:
    """*messages* in batches of any size."""
    batches, left = [], list(messages)
    while left:
        size = data.draw(st.integers(1, 200), "batch")
        batches.append(left[:size])
        left = left[size:]
    return batches


@settings(max_examples=40, deadline=None)
@given(seeds, segments, st.data())
def test_an_abort_never_happened_and_a_crash_loses_nothing(
    seed: int, story: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """To the bit, while learning, with alarms raised and with a new version; and what is written is the same."""
    messages = [message(record) for record in records_of(seed, story)]
    partition, straight = Partition(core), Partition(core)
    for number, batch in enumerate(cuts(data, messages)):
        now_ms = ms(number)
        match data.draw(st.sampled_from(["take", "abort", "crash"])):
            case "abort":
                before = known(partition.state)
                partition.abort(batch, now_ms)
                assert partition.state.changes() == []
                assert known(partition.state) == before
            case "crash":
                partition.crash()
        partition.take(batch, now_ms)
        straight.take(batch, now_ms)
        assert partition.state.changes() == []
    for run_through in (partition.rebuilt(), partition.state):
        assert by_camera(run_through) == by_camera(straight.state)
        assert kept_normal(run_through) == normal_now(run_through)
        assert run_through.versions == straight.state.versions
        assert without_clock(run_through.shared) == without_clock(straight.state.shared)
    assert by_key(partition.outputs) == by_key(straight.outputs)


@pytest.mark.parametrize(("kind", "rules"), [(Prediction, RULES), (Prediction, THINNED), (Outcome, RULES)])
@settings(max_examples=25, deadline=None)
@given(seeds, segments, st.data())
def test_other_batches_leave_each_camera_as_it_is(
    kind: type[Prediction] | type[Outcome],
    rules: Rules,
    seed: int,
    story: list[tuple[str, str, int]],
    data: st.DataObject,
) -> None:
    """Frames in any batches, and labels in any batches once their frames are known, give the same bits; also where
    frames between two samples are passed over."""
    records = records_of(seed, [segment for segment in story if segment[1] != "pause"])
    frames = [message(each) for each in records if isinstance(each, Prediction)]
    labels = [message(each) for each in records if isinstance(each, Outcome)]
    one, other = (Partition(lambda: drift_service(rules)) for _ in range(2))
    if kind is Outcome:
        one.take(frames)
        other.take(frames)
    chosen = frames if kind is Prediction else labels
    for batch in cuts(data, chosen):
        one.take(batch)
    for each in chosen:
        other.take([each])
    assert by_camera(one.state) == by_camera(other.state)
    assert alarms(one.state) == alarms(other.state)


class Process:
    """A worker in memory with some partitions, which it can lose and get back."""

    def __init__(self, partitions: Sequence[int]) -> None:
        self._core = drift_service(replace(RULES, fleet_cameras=0))
        self.states = {partition: self._core.new_state() for partition in partitions}
        self.outputs: list[Output] = []
        self._logs: dict[int, list[tuple[bytes, bytes | None]]] = {partition: [] for partition in partitions}

    def take(self, batch: Sequence[FakeMessage], now_ms: int, what: str) -> None:
        """Take what is of these partitions, after what happens first; then time is told."""
        mine = [each for each in batch if each.place in self.states]
        if what == "abort":
            self._core.on_batch(mine, self.states, now_ms)
            for cameras in self.states.values():
                cameras.rollback()
        if what == "rebalance":
            self._rebalanced()
        self.outputs += self._core.on_batch(mine, self.states, now_ms)
        self.outputs += self._core.on_time(self.states, now_ms)
        for partition, cameras in self.states.items():
            self._logs[partition] += cameras.changes()
            cameras.commit()

    def _rebalanced(self) -> None:
        """All partitions go, and come again the other way round."""
        self.states.clear()
        for partition in reversed(self._logs):
            cameras = self.states[partition] = self._core.new_state()
            for key, value in self._logs[partition]:
                cameras.restore(key, value)
            cameras.commit()


def on_three_partitions(seed: int, story: Sequence[tuple[str, str, int]]) -> list[FakeMessage]:
    """Records of a road on each, side by side."""
    roads = []
    for place in range(3):
        records = records_of(seed + place, [*story[place:], *story[:place]])
        named = [structs.replace(each, camera=f"{place}{each.camera}") for each in records]
        roads.append([replace(message(each), place=place) for each in named])
    return [each for at_once in zip_longest(*roads) for each in at_once if each]


def parted(batches: Sequence[tuple[Sequence[FakeMessage], str]]) -> list[int]:
    """Partitions of which one process with all three knows, or says, anything else than a process that has only one."""
    whole, alone = Process(range(3)), [Process([place]) for place in range(3)]
    for number, (batch, what) in enumerate(batches):
        for process in (whole, *alone):
            process.take(batch, ms(number), what)
    return [
        place
        for place, process in enumerate(alone)
        if by_camera(whole.states[place]) != by_camera(process.states[place])
        or whole.states[place].shared != process.states[place].shared
        or [each for each in whole.outputs if each.key and each.key.startswith(b"%d" % place)] != process.outputs
    ]


@settings(max_examples=15, deadline=None)
@given(seeds, segments, st.data())
def test_a_round_over_several_partitions_leaves_each_as_if_it_were_alone(
    seed: int, story: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """To the bit and to the word, with aborts, and when partitions come back to rows that were others' before."""
    messages = on_three_partitions(seed, story)
    happens = st.sampled_from(["nothing", "abort", "rebalance"])
    assert parted([(batch, data.draw(happens)) for batch in cuts(data, messages)]) == []


def test_partitions_whose_rows_are_mixed_up_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: rows that each partition numbers from 0, in one table."""
    messages = on_three_partitions(0, [("a", "steady", 100), ("b", "dark", 50)])
    batches = [(messages[:400], "nothing"), (messages[400:], "nothing")]
    assert parted(batches) == []
    take = Table.take

    def mixed(table: Table, name: str, cameras: weakref.ref[Cameras]) -> int:
        take(table, name, cameras)
        return len(cast("Cameras", cameras()))

    monkeypatch.setattr(Table, "take", mixed)
    assert parted(batches) == [0, 1, 2]


def alarms(cameras: Cameras) -> list[CameraReport]:
    """What is said of each camera now, at one time."""
    return [report(*cameras.home(name), RULES, 0, ("frames.accepted", 0)) for name in sorted(cameras)]


@settings(max_examples=25, deadline=None)
@given(seeds, segments, st.integers(0, 100_000))
def test_time_that_is_reported_twice_changes_nothing_more(
    seed: int, story: list[tuple[str, str, int]], later_ms: int
) -> None:
    """Absences are raised once."""
    partition = Partition(core)
    partition.take([message(record) for record in records_of(seed, story)], 0)
    partition.core.on_time({0: partition.state}, later_ms)
    before = known(partition.state)
    assert list(partition.core.on_time({0: partition.state}, later_ms)) == []
    assert known(partition.state) == before


def test_a_camera_is_known_in_at_most_8_kilobytes() -> None:
    """What is normal and what is seen, together, as they lie on the state topic."""
    assert REFERENCE.itemsize + WATCH.itemsize <= 8 * 1_024


def test_learning_leaves_the_log_when_it_is_done() -> None:
    """Its key is removed, and a table made of the log is as the one that lived."""
    watched, camera = Watched(QUICK), Camera()
    log: dict[bytes, bytes | None] = {}
    gone = []
    for _ in range(30):
        watched.live(camera, 10)
        log |= dict(watched.cameras.changes())
        gone.append(log.get(b"a\0l", b"") is None)
        watched.cameras.commit()
    assert (gone[0], gone[-1]) == (False, True)
    assert not np.frombuffer(watched.table.learning[0].tobytes(), np.uint8).any()
    restored = Cameras()
    for key, value in log.items():
        restored.restore(key, value)
    restored.commit()
    assert known(restored)[:3] == known(watched.cameras)[:3]
    assert without_clock(restored.shared) == without_clock(watched.cameras.shared)
