"""Inference: one prediction a frame, in order, all of a batch by one version."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from catseye import net
from catseye.codec import Codec
from catseye.errors import BadRecord, Reason, Unavailable
from catseye.identity import prediction_id
from catseye.jpeg import decode_rgb
from catseye.net import Answer, Crop, Net
from catseye.records import AcceptedFrame, DeadLetter, ModelEvent, Prediction
from catseye.stream import NoState, Output
from services.inference.core import InferenceCore
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
CLASSES = ("bike", "car", "truck")
JPEGS = [encode(scene(40, 50, seed=seed)) for seed in range(5)]
TINY = Net(tiny_model(CLASSES, JPEGS[0]))
EXAMPLE = Path(net.__file__).resolve().parents[2] / "infra" / "example" / "vehicles.onnx"
NOW_MS = 9_000


def event(version: str = "1") -> ModelEvent:
    """A champion's event."""
    return ModelEvent(
        event_id=version,
        model="tiny",
        version=version,
        stage="champion",
        sha256="ab" * 32,
        signature=b"",
        because="a test",
        by="a test",
        at_ms=1,
    )


def frame(sequence: int, **changes: Any) -> FakeMessage:
    """An accepted frame on partition 2, at offset 100 and its sequence."""
    fields: dict[str, Any] = {
        "camera": "cam",
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
    }
    return FakeMessage("frames.accepted", CODEC.encode(AcceptedFrame(**fields | changes)), 100 + sequence, 2, b"cam")


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

    def __call__(self) -> tuple[ModelEvent, Net]:
        self.asked += 1
        return event(str(self.asked)), self._loaded


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


def core(champion: Any = None, micro_batch: int = 2) -> InferenceCore:
    """Of a fleet without prefix."""
    return InferenceCore(CODEC, "", champion or Champions(), decoded, micro_batch)


def predictions(outputs: Sequence[Output]) -> list[Prediction]:
    """Those among *outputs*, in order."""
    return [CODEC.decode(output.value, Prediction) for output in outputs if output.topic == "predictions"]


def test_a_prediction_says_what_the_net_says_and_carries_the_frame_along() -> None:
    """Class, probabilities, who said it, the frame's clocks, measures and place."""
    (output,) = core().on_batch([frame(3)], {}, NOW_MS)
    answer = TINY.predict([decode_rgb(JPEGS[3])])
    chances = dict(zip(CLASSES, answer.probabilities[0].tolist(), strict=True))
    expected = Prediction(
        camera="cam",
        boot="b",
        sequence=3,
        captured_at_ms=10,
        received_at_ms=20,
        predicted_at_ms=NOW_MS,
        prediction_id=prediction_id("cam", "b", 3, "tiny", "1", "champion"),
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
        model_sha256="ab" * 32,
        embedding=answer.embedding[0].tolist(),
        telemetry={"temperature": 20.0},
        activation_map_png=None,
    )
    assert (output.topic, output.partition, output.key) == ("predictions", 2, b"cam")
    assert CODEC.decode(output.value, Prediction) == expected


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7, 100])
def test_every_frame_has_one_prediction_in_order(micro_batch: int) -> None:
    """However many go through the net at once, and the numbers do not depend on it."""
    batch = [frame(sequence) for sequence in range(7)]
    alone = [predictions(core(micro_batch=1).on_batch([message], {}, NOW_MS))[0] for message in batch]
    made = predictions(core(micro_batch=micro_batch).on_batch(batch, {}, NOW_MS))
    assert [one.sequence for one in made] == list(range(7))
    assert [one.label for one in made] == [one.label for one in alone]
    assert [one.probabilities for one in made] == [pytest.approx(one.probabilities, abs=1e-6) for one in alone]


def test_no_batch_mixes_two_versions() -> None:
    """The champion is asked once a batch; the next batch has the next one."""
    champions = Champions()
    one = core(champions)
    versions = [
        {made.version for made in predictions(one.on_batch([frame(at) for at in range(5)], {}, NOW_MS))}
        for _ in range(3)
    ]
    assert (versions, champions.asked) == ([{"1"}, {"2"}, {"3"}], 3)


def test_without_a_champion_the_batch_waits() -> None:
    """`Unavailable` passes through before anything is decided."""

    def nobody() -> tuple[ModelEvent, Net]:
        raise Unavailable("no champion")

    one = core(nobody)
    with pytest.raises(Unavailable):
        one.on_batch([FakeMessage("frames.accepted", b"garbage")], {}, NOW_MS)
    assert one.counted() == Counter()


def test_what_cannot_be_read_or_decoded_is_dead_and_the_rest_goes_on() -> None:
    """Each with its reason; the net sees the others only."""
    batch = [frame(0), FakeMessage("frames.accepted", b"garbage", 7, 2), frame(1, jpeg=b""), frame(2), frame(3)]
    one = core()
    outputs = one.on_batch(batch, {}, NOW_MS)
    letters = [CODEC.decode(output.value, DeadLetter) for output in outputs if output.topic == "dead-letters"]
    assert sorted((letter.reason, letter.service, letter.offset) for letter in letters) == [
        (Reason.JPEG_EMPTY, "inference", 101),
        (Reason.UNKNOWN_FORMAT, "inference", 7),
    ]
    assert [made.sequence for made in predictions(outputs)] == [0, 2, 3]
    assert one.counted() == Counter(predicted=3, dead_jpeg_empty=1, dead_unknown_format=1)


def test_a_batch_of_nothing_but_dead_frames_needs_no_net() -> None:
    """No run of the net with no crops."""
    outputs = core().on_batch([FakeMessage("frames.accepted", None)], {}, NOW_MS)
    assert [output.topic for output in outputs] == ["dead-letters"]


def test_a_map_is_given_when_it_is_asked_for() -> None:
    """A grey PNG from the lowest to the highest activation of the class that was predicted."""
    net_with_maps = cast(Net, Maps([[-1.0, 0.0], [0.5, 1.0]]))
    batch = [frame(0, explain=True), frame(1)]
    asked, not_asked = predictions(core(Champions(net_with_maps)).on_batch(batch, {}, NOW_MS))
    assert asked.activation_map_png is not None
    picture = cv2.imdecode(np.frombuffer(asked.activation_map_png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.tolist() == [[0, 127], [191, 255]]
    assert not_asked.activation_map_png is None


def test_a_flat_map_is_black() -> None:
    """No division by zero where nothing stands out."""
    (made,) = predictions(core(Champions(cast(Net, Maps([[3.0, 3.0]])))).on_batch([frame(0, explain=True)], {}, NOW_MS))
    assert made.activation_map_png is not None
    picture = cv2.imdecode(np.frombuffer(made.activation_map_png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.tolist() == [[0, 0]]


def test_a_net_without_maps_gives_none() -> None:
    """Though it was asked."""
    (made,) = predictions(core().on_batch([frame(0, explain=True)], {}, NOW_MS))
    assert made.activation_map_png is None


def test_the_shipped_model_knows_its_own_crops() -> None:
    """Through the whole core, with its map: the class is the folder's name for most."""
    folders = sorted(path for path in (EXAMPLE.parent / "crops").iterdir() if path.is_dir())
    jpegs = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.jpg"))[:3]]
    batch = [frame(at, jpeg=jpeg, explain=True) for at, jpeg in enumerate(jpegs)]
    made = predictions(core(Champions(Net(EXAMPLE.read_bytes())), 16).on_batch(batch, {}, NOW_MS))
    right = sum(one.label == folders[at // 3].name for at, one in enumerate(made))
    assert right >= 0.8 * len(made)
    assert all(one.activation_map_png for one in made)


def test_it_remembers_nothing_and_time_changes_nothing() -> None:
    """No state, no outputs of its own."""
    one = core()
    state = one.new_state()
    assert isinstance(state, NoState)
    assert one.on_time({2: state}, NOW_MS) == []


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
    outputs = core(lambda: (event(), cast("Net", NotANumber()))).on_batch([frame(0), frame(1), frame(2)], {}, NOW_MS)
    letters = [CODEC.decode(output.value, DeadLetter) for output in outputs if output.topic.endswith("dead-letters")]
    assert [letter.reason for letter in letters] == ["model_gave_no_number"]
    assert [prediction.sequence for prediction in predictions(outputs)] == [0, 2]
