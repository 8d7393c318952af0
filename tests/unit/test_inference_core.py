"""Inference: one prediction a frame, in order, all of a batch by one version; the shadow owes nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, BadRecord, Reason, Unavailable
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedFrame, DeadLetter, ModelEvent, Prediction, Role
from catseye.models import net
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Answer, Crop, Net
from catseye.models.stages import Serving
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.inference import BATCHES, NAME, WRITES_AS
from services.inference.core import InferenceCore, Loaded, ServingVersions, Swap
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
CLASSES = ("bike", "car", "truck")
JPEGS = [encode(scene(40, 50, seed=seed)) for seed in range(5)]
TINY = Net(tiny_model(CLASSES, JPEGS[0]))
EXAMPLE = Path(net.__file__).resolve().parents[3] / "infra" / "example" / "vehicles.onnx"
NOW_MS = 9_000
PARTITIONS = 3  # of so many, camera cam-2 lives on 2


def event(version: str = "1") -> ModelEvent:
    """An event of a version; each has a file of its own."""
    return ModelEvent(
        event_id=version,
        model="tiny",
        version=version,
        stage="champion",
        sha256=version.zfill(64),
        signature=b"",
        because="a test",
        by="a test",
        at_ms=1,
    )


def frame(sequence: int, **changes: Any) -> FakeMessage:
    """An accepted frame on partition 2, at offset 100 and its sequence."""
    fields: dict[str, Any] = {
        "camera": "cam-2",
        "boot": "b",
        "sequence": sequence,
        "captured_at_ms": 10,
        "received_at_ms": 20,
        "jpeg": JPEGS[sequence % len(JPEGS)],
        "width": 50,
        "height": 40,
        "brightness": 0.5,
        "contrast": 0.25,
        "sharpness": 0.125,
        "dark_share": 0.0,
        "bright_share": 1.0,
        "perceptual_hash": -5,
        "telemetry": {"temperature": 20.0},
        "chroma_blue": -0.125,
        "chroma_red": 0.25,
        "bits_per_pixel": 1.5,
    }
    written_ms = changes.pop("written_ms", NOW_MS)
    name = changes.get("camera", "cam-2").encode()
    value = CODEC.encode(AcceptedFrame(**fields | changes))
    return FakeMessage("frames.accepted", value, 100 + sequence, 2, name, (2, written_ms))


def decoded(jpegs: Sequence[bytes]) -> Iterator[Crop | BadRecord]:
    """One after the other; what `__main__` does with threads."""
    for jpeg in jpegs:
        try:
            yield decode_rgb(jpeg)
        except BadRecord as fault:
            yield fault


class Champions:
    """Hands out a new version each time that it is asked, and counts."""

    def __init__(self, loaded: Net = TINY) -> None:
        self.asked = 0
        self._loaded = loaded

    def __call__(self) -> Serving[Loaded]:
        self.asked += 1
        return Serving((event(str(self.asked)), self._loaded))


class Maps:
    """A net whose maps are given; satisfies what is used of a `Net`."""

    def __init__(self, activation: Sequence[Sequence[float]]) -> None:
        self.spec = TINY.spec
        self._map = np.array(activation, np.float32)

    def predict(self, crops: Sequence[Crop]) -> Answer:
        """The second class, always."""
        chances = np.tile(np.array([0.25, 0.5, 0.25], np.float32), (len(crops), 1))
        maps = np.stack([np.stack([self._map * 0, self._map, self._map * 0])] * len(crops))
        return Answer(chances, np.zeros((len(crops), 0), np.float32), maps)


def _never(event: ModelEvent, because: str) -> None:
    raise AssertionError(f"{event.version} was refused: {because}")


def core(models: Any = None, micro_batch: int = 2, role: Role = "champion", **how: Any) -> Router[ServingVersions]:
    """As its worker runs it, of a fleet without prefix."""
    refuse = how.pop("refuse", _never)
    made = InferenceCore(models or Champions(), refuse, decoded, micro_batch, role=role, **how)
    return Router(made, NAME, BATCHES, WRITES_AS[role], CODEC, "", PARTITIONS)


def ran(core_: Router[ServingVersions], *batch: FakeMessage) -> list[Output]:
    """What a batch leads to on partitions of which nothing is known."""
    return core_.on_batch(batch, {partition: core_.new_state() for partition in (0, 2)}, NOW_MS)


def predictions(outputs: Sequence[Output], topic: str = "predictions") -> list[Prediction]:
    """Those among *outputs*, in order."""
    return [CODEC.decode(output.value, Prediction) for output in outputs if output.topic == topic]


def test_a_prediction_says_what_the_net_says_and_carries_the_frame_along() -> None:
    """Class, probabilities, who said it, the frame's clocks, measures and place."""
    (output,) = ran(core(), frame(3))
    answer = TINY.predict([decode_rgb(JPEGS[3])])
    chances = dict(zip(CLASSES, answer.probabilities[0].tolist(), strict=True))
    expected = Prediction(
        camera="cam-2",
        boot="b",
        sequence=3,
        captured_at_ms=10,
        received_at_ms=20,
        predicted_at_ms=NOW_MS,
        prediction_id=prediction_id("cam-2", "b", 3, "tiny", "1", "champion"),
        model="tiny",
        version="1",
        role="champion",
        frame_partition=2,
        frame_offset=103,
        label=max(CLASSES, key=lambda name: chances[name]),
        probabilities=chances,
        brightness=0.5,
        contrast=0.25,
        sharpness=0.125,
        dark_share=0.0,
        bright_share=1.0,
        perceptual_hash=-5,
        model_sha256="1".zfill(64),
        embedding=answer.embedding[0].tolist(),
        telemetry={"temperature": 20.0},
        activation_map_png=None,
        chroma_blue=-0.125,
        chroma_red=0.25,
        bits_per_pixel=1.5,
    )
    assert (output.topic, output.partition, output.key) == ("predictions", 2, b"cam-2")
    assert CODEC.decode(output.value, Prediction) == expected


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7, 100])
def test_every_frame_has_one_prediction_in_order(micro_batch: int) -> None:
    """However many go through the net at once, and the numbers do not depend on it."""
    batch = [frame(sequence) for sequence in range(7)]
    alone = [predictions(ran(core(micro_batch=1), message))[0] for message in batch]
    made = predictions(ran(core(micro_batch=micro_batch), *batch))
    assert [one.sequence for one in made] == list(range(7))
    assert [one.label for one in made] == [one.label for one in alone]
    assert [one.probabilities for one in made] == [pytest.approx(one.probabilities, abs=1e-6) for one in alone]


def test_a_view_of_the_road_is_not_predicted() -> None:
    """It shows no object; frames before and after it are, and what was said of an object goes along."""
    seen = {"track": "b-1", "box": [0.1, 0.2, 0.3, 0.4], "first_seen_ms": 5, "last_seen_ms": 9}
    found = predictions(ran(core(), frame(0), frame(1, kind="view"), frame(2, **seen)))
    assert [each.sequence for each in found] == [0, 2]
    assert {name: getattr(found[1], name) for name in seen} == seen


def test_no_batch_mixes_two_versions() -> None:
    """The champion is asked once a batch; the next batch has the next one."""
    champions = Champions()
    one = core(champions)
    versions = [{made.version for made in predictions(ran(one, *[frame(at) for at in range(5)]))} for _ in range(3)]
    assert (versions, champions.asked) == ([{"1"}, {"2"}, {"3"}], 3)


def test_without_a_champion_the_batch_waits() -> None:
    """`Unavailable` passes through before anything is decided."""

    def nobody() -> Serving[Loaded]:
        raise Unavailable("no champion")

    one = core(nobody)
    with pytest.raises(Unavailable):
        ran(one, FakeMessage("frames.accepted", b"garbage"))
    assert one.counted() == Counter()


def test_what_cannot_be_read_or_decoded_is_dead_and_the_rest_goes_on() -> None:
    """Each with its reason; the net sees the others only."""
    batch = [frame(0), FakeMessage("frames.accepted", b"garbage", 7, 2), frame(1, jpeg=b""), frame(2), frame(3)]
    one = core()
    outputs = ran(one, *batch)
    letters = [CODEC.decode(output.value, DeadLetter) for output in outputs if output.topic == "dead-letters"]
    assert sorted((letter.reason, letter.service, letter.offset) for letter in letters) == [
        (Reason.JPEG_EMPTY, "inference", 101),
        (Reason.UNKNOWN_FORMAT, "inference", 7),
    ]
    assert [made.sequence for made in predictions(outputs)] == [0, 2, 3]
    assert one.counted() == Counter(predicted=3, dead_jpeg_empty=1, dead_unknown_format=1)


def test_a_batch_of_nothing_but_dead_frames_needs_no_net() -> None:
    """No run of the net with no crops."""
    outputs = ran(core(), FakeMessage("frames.accepted", None))
    assert [output.topic for output in outputs] == ["dead-letters"]


def test_a_map_is_given_when_it_is_asked_for() -> None:
    """A grey PNG from the lowest to the highest activation of the class that was predicted."""
    net_with_maps = cast(Net, Maps([[-1.0, 0.0], [0.5, 1.0]]))
    batch = [frame(0, explain=True), frame(1)]
    asked, not_asked = predictions(ran(core(Champions(net_with_maps)), *batch))
    assert asked.activation_map_png is not None
    picture = cv2.imdecode(np.frombuffer(asked.activation_map_png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.tolist() == [[0, 127], [191, 255]]
    assert not_asked.activation_map_png is None


def test_a_flat_map_is_black() -> None:
    """No division by zero where nothing stands out."""
    (made,) = predictions(ran(core(Champions(cast(Net, Maps([[3.0, 3.0]])))), frame(0, explain=True)))
    assert made.activation_map_png is not None
    picture = cv2.imdecode(np.frombuffer(made.activation_map_png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.tolist() == [[0, 0]]


def test_a_net_without_maps_gives_none() -> None:
    """Though it was asked."""
    (made,) = predictions(ran(core(), frame(0, explain=True)))
    assert made.activation_map_png is None


def test_the_shipped_model_knows_its_own_crops() -> None:
    """Through the whole core, with its map: the class is the folder's name for most."""
    folders = sorted(path for path in (EXAMPLE.parent / "crops").iterdir() if path.is_dir())
    jpegs = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.jpg"))[:3]]
    batch = [frame(at, jpeg=jpeg, explain=True) for at, jpeg in enumerate(jpegs)]
    made = predictions(ran(core(Champions(Net(EXAMPLE.read_bytes())), 16), *batch))
    right = sum(one.label == folders[at // 3].name for at, one in enumerate(made))
    assert right >= 0.8 * len(made)
    assert all(one.activation_map_png for one in made)


def test_it_writes_no_state_and_time_changes_nothing() -> None:
    """No outputs of its own, and nothing that a new start would miss."""
    one = core()
    state = one.new_state()
    one.on_batch([frame(0)], {2: state}, NOW_MS)
    assert (one.on_time({2: state}, NOW_MS), list(state.changes())) == ([], [])


class NotANumber:
    """A net that gives NaN for every second crop."""

    def __init__(self) -> None:
        self.spec = TINY.spec

    def predict(self, crops: Sequence[Crop]) -> Answer:
        """NaN for the second of two."""
        chances = np.full((len(crops), len(self.spec.classes)), 1 / len(self.spec.classes), np.float32)
        chances[1::2] = np.nan
        return Answer(chances, np.zeros((len(crops), 0), np.float32), None)


def test_a_net_that_gives_no_number_costs_the_frame_only() -> None:
    """A dead letter for that frame, with its own reason; the others are predicted."""
    outputs = ran(core(Champions(cast(Net, NotANumber()))), frame(0), frame(1), frame(2))
    letters = [CODEC.decode(output.value, DeadLetter) for output in outputs if output.topic.endswith("dead-letters")]
    assert [letter.reason for letter in letters] == ["model_gave_no_number"]
    assert [prediction.sequence for prediction in predictions(outputs)] == [0, 2]


# -- canaries


class Fails(Maps):
    """A net that fails over any crop."""

    def predict(self, crops: Sequence[Crop]) -> Answer:
        raise BadModel("the net fails for 2 crops")


def test_a_net_that_fails_is_refused_and_the_one_before_takes_the_batch() -> None:
    """No frame is lost or dead for it: the batch waits until another version is there."""
    serving: Serving[Loaded] = Serving((event("bad"), cast(Net, Fails([[0.0]]))))
    refused: list[tuple[str, str]] = []
    one = core(lambda: serving, refuse=lambda version, because: refused.append((version.version, because)))
    batch = [frame(sequence) for sequence in range(3)]
    with pytest.raises(Unavailable, match="bad failed while it served: the net fails for 2 crops"):
        ran(one, *batch)
    assert refused == [("bad", "the net fails for 2 crops")]
    serving = Serving((event("before"), TINY))
    assert [(each.sequence, each.version) for each in predictions(ran(one, *batch))] == [
        (sequence, "before") for sequence in range(3)
    ]


def canary(*cameras: str) -> Serving[Loaded]:
    """Version 1 for all, version 2 for these."""
    return Serving((event("1"), TINY), dict.fromkeys(cameras, (event("2"), TINY)))


@pytest.mark.parametrize("micro_batch", [1, 2, 100])
def test_a_canary_predicts_its_cameras_and_no_others(micro_batch: int) -> None:
    """Each camera's frames in their order; no run of a net mixes two versions."""
    batch = [frame(at, camera=camera) for at in range(6) for camera in ("a", "b")]
    made = predictions(ran(core(lambda: canary("b"), micro_batch), *batch))
    reported = {camera: [(one.sequence, one.version) for one in made if one.camera == camera] for camera in ("a", "b")}
    assert reported == {"a": [(at, "1") for at in range(6)], "b": [(at, "2") for at in range(6)]}


def test_a_net_sees_frames_of_its_own_version_only() -> None:
    """As many at a time as a micro-batch has, and the rest at the end."""

    class Seeing(NotANumber):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        def predict(self, crops: Sequence[Crop]) -> Answer:
            self.sizes.append(len(crops))
            return TINY.predict(crops)

    first, second = Seeing(), Seeing()
    serving = Serving((event("1"), cast(Net, first)), {"b": (event("2"), cast(Net, second))})
    ran(core(lambda: serving, 3), *[frame(at, camera="ab"[at % 4 == 0]) for at in range(12)])
    assert (first.sizes, second.sizes) == ([3, 3, 3], [3])


# -- the offset from which others predict


class Notified(list[Swap]):
    """Keeps what it is told."""

    def __call__(self, swap: Swap) -> None:
        self.append(swap)


def test_a_swap_is_reported_with_its_offset_when_it_is_on_the_log() -> None:
    """Not before the commit, once a partition, and with who predicted before."""
    notified, serving = Notified(), [Serving((event("1"), TINY))]
    one = core(lambda: serving[0], swapped=notified)
    state = one.new_state()

    def turn(*sequences: int) -> list[Swap]:
        one.on_batch([frame(at) for at in sequences], {2: state}, NOW_MS)
        before = list(notified)
        state.commit()
        assert notified[: len(before)] == before
        return notified[len(before) :]

    first, again = turn(0, 1), turn(2)
    serving[0] = canary("x")
    swap, nothing, after = turn(3, 4), turn(), turn(5)
    assert (first, again) == ([Swap(2, 100, ("1",), ())], [])
    assert (swap, nothing, after) == ([Swap(2, 103, ("1", "2"), ("1",))], [], [])
    assert one.counted()["model_swapped"] == 1


def test_a_swap_that_was_rolled_back_is_reported_by_the_batch_that_holds() -> None:
    """The batch is done again, by then perhaps with yet another version."""
    notified, champions = Notified(), Champions()
    one = core(champions, swapped=notified)
    state = one.new_state()
    for _ in range(2):
        one.on_batch([frame(0)], {2: state}, NOW_MS)
        state.rollback()
    one.on_batch([frame(0)], {2: state}, NOW_MS)
    state.commit()
    assert (notified, state.versions) == ([Swap(2, 100, ("3",), ())], ("3",))


def test_partitions_are_distinguished() -> None:
    """Each has its own offset; one without frames in the batch is told with its first ones."""
    notified = Notified()
    one = core(lambda: Serving((event("1"), TINY)), swapped=notified)
    states: dict[int, ServingVersions] = {partition: one.new_state() for partition in range(3)}
    elsewhere = FakeMessage("frames.accepted", frame(9).body, 7, 0)
    one.on_batch([frame(0), elsewhere, frame(1)], states, NOW_MS)
    for state in states.values():
        state.commit()
    assert notified == [Swap(0, 7, ("1",), ()), Swap(2, 100, ("1",), ())]


# -- the shadow


def shadow(serving: Serving[Loaded], **how: Any) -> Router[ServingVersions]:
    """Predicts with these what is at most 2 s old."""
    return core(lambda: serving, role="shadow", shadow_age_ms=2_000, **how)


def test_a_shadow_writes_to_its_own_topic_in_its_own_role() -> None:
    """Another id than the champion's; a map is the champion's to draw."""
    one = shadow(Serving((event("2"), cast(Net, Maps([[0.0, 1.0]])))))
    outputs = ran(one, frame(0, explain=True))
    (made,) = predictions(outputs, "predictions.shadow")
    assert len(outputs) == 1
    assert (made.role, made.version, made.activation_map_png) == ("shadow", "2", None)
    assert made.prediction_id == prediction_id("cam-2", "b", 0, "tiny", "2", "shadow")
    assert one.counted() == Counter(predicted=1)


def test_a_shadow_passes_over_frames_that_have_waited_too_long() -> None:
    """By the broker's clock, before a byte of them is read; those at the limit are taken."""
    one = shadow(Serving((event("2"), TINY)))
    batch = [frame(at, written_ms=NOW_MS - age_ms) for at, age_ms in enumerate((5_000, 2_001, 2_000, 0))]
    made = predictions(ran(one, FakeMessage("frames.accepted", b"garbage"), *batch), "predictions.shadow")
    assert [prediction.sequence for prediction in made] == [2, 3]
    assert one.counted() == Counter(shadow_dropped=3, predicted=2)


def test_the_champion_takes_every_frame_however_old() -> None:
    """Nothing of the shadow's budget holds for it."""
    made = predictions(ran(core(), frame(0, written_ms=0)))
    assert [prediction.sequence for prediction in made] == [0]


def test_without_a_shadow_frames_pass_unread() -> None:
    """Counted; what would be dead is not looked at."""
    one = shadow(Serving())
    assert ran(one, frame(0), FakeMessage("frames.accepted", b"garbage")) == []
    assert one.counted() == Counter(without_shadow=2)


def test_a_shadow_of_some_cameras_lets_the_others_pass() -> None:
    """Their pictures are not decoded."""
    one = shadow(Serving(None, {"b": (event("2"), TINY)}))
    outputs = ran(one, frame(0, jpeg=b""), frame(1, camera="b"))
    assert [made.camera for made in predictions(outputs, "predictions.shadow")] == ["b"]
    assert one.counted() == Counter(without_shadow=1, predicted=1)


def test_a_shadow_writes_no_dead_letters() -> None:
    """What becomes of a frame is the champion's to say; the shadow counts what it could not do."""
    one = shadow(Serving((event("2"), cast(Net, NotANumber()))))
    garbage = FakeMessage("frames.accepted", b"garbage", written=(2, NOW_MS))
    outputs = ran(one, garbage, frame(0, jpeg=b""), frame(1), frame(2))
    assert [made.sequence for made in predictions(outputs, "predictions.shadow")] == [1]
    assert {output.topic for output in outputs} == {"predictions.shadow"}
    assert one.counted() == Counter(predicted=1, dead_unknown_format=1, dead_jpeg_empty=1, dead_model_gave_no_number=1)
