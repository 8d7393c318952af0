"""The trainer's loop on a broker: one answer a decision, also through kill -9. Runs in the trainer's environment."""

import itertools
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from confluent_kafka import Producer
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedFrame, Alert, ModelEvent, Outcome, Record, RetrainDecision
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import ModelSpec
from catseye.models.net import Net
from catseye.models.register import store_of
from catseye.models.signing import key_folder, verify
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from services.ingest.quality import measure
from services.simulator.weather import corrupt
from services.trainer.data import Part
from services.trainer.job import SUSPECTS_MOST
from services.trainer.recipe import Recipe
from tests.system.running import CROPS, ROOT, Running, running, wait_until

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
PARTITIONS = 2
BEFORE, FRESH = 200, 340
CHANGED, SAME = "north", "south"
PATIENCE_S = 280.0
SETTINGS = {
    "CATSEYE_PARTITIONS": str(PARTITIONS),
    "CATSEYE_TRAINER_BUDGET_S": "80",
    "CATSEYE_TRAINER_EPOCHS": "4",
    "CATSEYE_TRAINER_MARGIN": "0.05",
    "CATSEYE_TRAINER_SEARCH_TRIALS": "2",
}


class Shown(NamedTuple):
    """A picture as a camera showed it."""

    camera: str
    label: str
    image: NDArray[np.uint8]
    jpeg: bytes


class Road:
    """What ingest, inference, ground truth, incidents and the trigger would have written."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._codec = Codec()
        self._net = Net(MODEL.read_bytes())
        self._producer = Producer(client_config(settings))
        self._began_ms = time.time_ns() // 1_000_000 - 1_000_000
        self._count = 0

    def write(self, topic: str, key: str, record: Record, partition: int = 0) -> int:
        """Write one record; returns its offset."""
        offsets: list[int] = []
        self._producer.produce(
            full_name(topic, self.settings.topic_prefix),
            self._codec.encode(record),
            key.encode(),
            partition=partition,
            on_delivery=lambda _, message: offsets.append(message.offset() or 0),
        )
        assert self._producer.flush(30) == 0
        return offsets[0]

    def labelled(self, shown: Sequence[Shown], wrong_share: float = 0.0) -> int:
        """Write frames and their outcomes; returns the time of the first, Unix milliseconds."""
        chance = np.random.default_rng(7)
        answer = self._net.predict([one.image for one in shown]).probabilities
        classes = self._net.spec.classes
        first_ms = self._began_ms + self._count
        for one, chances in zip(shown, answer, strict=True):
            self._count += 1
            others = [name for name in classes if name != one.label]
            label = str(chance.choice(others)) if chance.random() < wrong_share else one.label
            self._one(one, label, classes[int(chances.argmax())], chances)
        return first_ms

    def _one(self, one: Shown, label: str, predicted: str, chances: NDArray[np.float32]) -> None:
        partition = 0 if one.camera == CHANGED else 1
        at_ms = self._began_ms + self._count
        quality = measure(one.image)
        frame = AcceptedFrame(
            camera=one.camera,
            boot="b",
            sequence=self._count,
            captured_at_ms=at_ms,
            received_at_ms=at_ms,
            jpeg=one.jpeg,
            width=one.image.shape[1],
            height=one.image.shape[0],
            **quality._asdict(),
        )
        offset = self.write("frames.accepted", one.camera, frame, partition)
        classes = self._net.spec.classes
        outcome = Outcome(
            camera=one.camera,
            boot="b",
            sequence=self._count,
            captured_at_ms=at_ms,
            received_at_ms=at_ms,
            predicted_at_ms=at_ms,
            prediction_id=prediction_id(one.camera, "b", self._count, "vehicles", "v", "champion"),
            model="vehicles",
            version="v",
            role="champion",
            frame_partition=partition,
            frame_offset=offset,
            predicted=predicted,
            confidence=float(chances.max()),
            change="matched",
            label=label,
            correct=label == predicted,
            label_probability=float(chances[classes.index(label)]),
            brightness=quality.brightness,
            source="person",
            propensity=0.9,
            labelled_at_ms=at_ms,
            label_received_at_ms=at_ms,
            label_delay_ms=0,
        )
        self.write("outcomes", one.camera, outcome, partition)

    def alert(self, since_ms: int) -> str:
        """An alert on the changed camera; returns its id."""
        alert = Alert(
            alert_id="a" * 32,
            revision=0,
            state="opened",
            kind="input",
            severity="warning",
            camera=CHANGED,
            cameras=[CHANGED],
            signal="contrast",
            phase="day",
            detector="esr",
            estimate=0.1,
            reference=0.2,
            evidence=9.0,
            threshold=5.0,
            model="vehicles",
            version="v",
            since_ms=since_ms,
            opened_at_ms=since_ms,
            updated_at_ms=since_ms,
            explanation="fog",
            by="a test",
        )
        self.write("alerts", alert.alert_id, alert)
        return alert.alert_id

    def decide(self, causes: Sequence[str], *, base_version: str = "", accepted: bool = True) -> RetrainDecision:
        """Write a decision."""
        decision = RetrainDecision(
            decision_id=secrets.token_hex(16),
            model="vehicles",
            base_version=base_version,
            accepted=accepted,
            because="drift",
            detail="a test",
            causes=list(causes),
            by="a test",
            decided_at_ms=time.time_ns() // 1_000_000,
        )
        self.write("retraining", decision.model, decision)
        return decision


def pictures(label_paths: Sequence[tuple[str, Path]], camera: str, fog: float = 0) -> list[Shown]:
    """Crops as *camera* shows them, in clear air or in fog."""
    shown = []
    for place, (label, path) in enumerate(label_paths):
        jpeg = path.read_bytes()
        image = decode_rgb(jpeg)
        if fog:
            image = corrupt(image, "fog", fog, np.random.default_rng(place))
        shown.append(Shown(camera, label, image, jpeg if not fog else _encoded(image)))
    return shown


def _encoded(image: NDArray[np.uint8]) -> bytes:
    import simplejpeg

    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), 95, "RGB", "420")
    return encoded


def crops() -> list[tuple[str, Path]]:
    """Class and file of the example's crops, but for the ten last ones of each class, classes in turn."""
    by_class = [sorted(folder.glob("*.jpg"))[:-10] for folder in sorted(CROPS.iterdir()) if folder.is_dir()]
    return [(path.parent.name, path) for turn in zip(*by_class, strict=True) for path in turn]


def examples(root: Path) -> Path:
    """The ten last crops of each class: what the golden set is cut from."""
    for folder in sorted(path for path in CROPS.iterdir() if path.is_dir()):
        (root / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[-10:]:
            shutil.copy(path, root / folder.name)
    return root


@pytest.fixture(scope="module")
def foggy(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Road, str]]:
    """A trainer, a road on which one camera of two stands in fog, and the id of the alert that says so."""
    folder = tmp_path_factory.mktemp("foggy")
    variables = SETTINGS | {"CATSEYE_TRAINER_EXAMPLES_DIR": str(examples(folder / "examples"))}
    with running(
        broker.bootstrap_servers,
        folder / "stack",
        f"test-{secrets.token_hex(4)}.",
        [Service("trainer", 0), Service("rollout", 0)],
        model=MODEL.read_bytes(),
        variables=variables,
    ) as found:
        road = Road(found.settings)
        road.labelled(pictures(crops()[:BEFORE], SAME))
        since_ms = road.labelled(pictures(crops()[BEFORE : BEFORE + FRESH], CHANGED, fog=4.4))
        yield found, road, road.alert(since_ms)


@pytest.fixture(params=["the example", "Net", "Lite"])
def graph(request: pytest.FixtureRequest) -> Any:
    """The graph of a model of six classes: the one that is shipped, and one of each architecture."""
    import onnx
    import torch

    from services.trainer import export
    from services.trainer.imagenet import pretrained
    from services.trainer.net import Net as Plain

    if request.param == "the example":
        return onnx.load(MODEL)
    torch.manual_seed(3)
    side = {"Net": 100, "Lite": 80}[request.param]
    net = pretrained(6) if request.param == "Lite" else Plain(6)
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.bias, std=0.1)  # as after a fit: the exporter leaves out what is all 0
    return export.graph_of(net, replace(Net(MODEL.read_bytes()).spec, height=side, width=side))


def test_a_model_file_becomes_a_net_and_a_file_again(graph: Any) -> None:
    """The same to 1e-4 of a logit: as it was read, awake, and written back after its weights have changed."""
    import onnx
    import torch

    from services.trainer import export
    from services.trainer.champion import graph_with, net_of, wake

    net = net_of(graph, 6)
    side = graph.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    inputs = np.random.default_rng(0).standard_normal((8, 3, side, side), dtype=np.float32)

    def served(model: onnx.ModelProto) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = export.session_of(model).run(["logits"], {"image": inputs})[0]
        return logits

    def reported() -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = net(torch.from_numpy(inputs)).numpy()
        return logits

    expected = served(graph)
    np.testing.assert_allclose(reported(), expected, atol=1e-4)
    wake(net, [inputs[:4], inputs[4:]])
    np.testing.assert_allclose(reported(), expected, atol=1e-4)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    changed = graph_with(graph, net)
    assert np.abs(reported() - expected).max() > 0.01
    np.testing.assert_allclose(served(changed), reported(), atol=1e-3)
    # The activation maps are weighted by the new classifier too: they add up to the new logits.
    logits, maps = export.session_of(changed).run(["logits", "activation_maps"], {"image": inputs})
    rest = logits - maps.mean(axis=(2, 3))
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-3)


def test_a_model_of_another_architecture_is_refused_by_name(graph: Any) -> None:
    """What is missing is named, and so is what is not known."""
    from onnx import numpy_helper

    from services.trainer.champion import graph_with, net_of

    net = net_of(graph, 6)
    features = net.classifier.in_features
    refusal = rf"its architecture is another: net\.classifier\.weight is \(6, {features}\), not"
    with pytest.raises(BadModel, match=refusal):
        net_of(graph, 7)
    graph.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2), dtype=np.float32), "more"))
    with pytest.raises(BadModel, match="holds more, which is no weight"):
        graph_with(graph, net)


def test_steps_are_as_many_as_the_budget_allows() -> None:
    """Those that are done stay done."""
    from services.trainer.fit import affordable

    found = [affordable(16, 100, spent_s, budget_s) for spent_s, budget_s in ((4, 10), (4, 100), (4, 1), (4, np.inf))]
    assert found == [40, 100, 16, 100]


def shades() -> tuple[Part, ModelSpec]:
    """64 even crops, of two classes in turn."""
    images = tuple(np.full((40, 40, 3), shade, dtype=np.uint8) for shade in range(0, 256, 4))
    spec = replace(Net(MODEL.read_bytes()).spec, classes=("dark", "light"), height=32, width=32)
    return Part(images, np.arange(64, dtype=np.int64) % 2), spec


def test_a_busy_machine_trains_the_same_net() -> None:
    """The budget is work: with as much of it a fit has as many steps, however long it takes by the clock."""
    import torch

    from services.trainer.fit import Step, fit

    part, spec = shades()
    torch.set_num_threads(1)

    def steps(clock: Iterator[float], budget_s: float) -> int:
        done: list[Step] = []
        fit(part, spec, Recipe(epochs=20), seed=1, on_step=done.append, budget_s=budget_s, clock=lambda: next(clock))
        return len(done)

    assert steps(itertools.repeat(7.0), 0.001) == 40
    assert steps(itertools.count(), 2.5) == 40  # a second at step 16, two at step 32
    assert steps(itertools.count(step=4), 8.0) == 32


@pytest.mark.parametrize(("copy_s", "budget_s", "copies"), [(1.0, 100.0, 5), (1.0, 8.0, 3), (9.0, 10.0, 1)])
def test_copies_leave_time_to_learn(
    copy_s: float, budget_s: float, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take two fifths of the budget at most, but for the first; steps are paced by what they take themselves."""
    from services.trainer.drawn import Changing
    from services.trainer.fit import Step, fit

    part, spec = shades()
    made: list[int] = []
    change = Changing.__call__

    def counted(changing: Changing, places: NDArray[np.int64]) -> NDArray[np.float32]:
        made.extend(places[places == len(part.images) - 1].tolist())
        return change(changing, places)

    monkeypatch.setattr(Changing, "__call__", counted)
    done: list[Step] = []
    recipe = Recipe(epochs=20, copies=5)
    clock = lambda: copy_s * len(made)  # noqa: E731 - a copy takes so long, a step nothing
    fit(part, spec, recipe, seed=1, on_step=done.append, budget_s=budget_s, clock=clock)
    assert (len(made), len(done)) == (copies, 40)


def answers(found: Running, decision: RetrainDecision) -> list[ModelEvent]:
    """Model events that answer *decision*: those that rollout made of what the trainer handed in."""
    events = [event for event in found.records("models") if event.decision_id == decision.decision_id]
    return [event for event in events if event.by == "trainer"]


def answered(found: Running, decision: RetrainDecision) -> ModelEvent:
    """Wait for the one answer."""
    wait_until(lambda: bool(answers(found, decision)), "the trainer answers", PATIENCE_S)
    (event,) = answers(found, decision)
    return event


def test_a_decision_about_another_champion_is_refused_without_a_training(foggy: tuple[Running, Road, str]) -> None:
    """And one that was not accepted is passed by."""
    found, road, alert_id = foggy
    declined = road.decide([alert_id], accepted=False)
    event = answered(found, road.decide([alert_id], base_version="another"))
    assert (event.stage, event.because.partition(":")[0], event.sha256) == ("rejected", "superseded", "")
    assert answers(found, declined) == []


def test_a_decision_leads_to_one_candidate(foggy: tuple[Running, Road, str]) -> None:
    """Signed, with its data set, better in fog; the same decision once more leads to nothing."""
    found, road, alert_id = foggy
    settings = road.settings
    decision = road.decide([alert_id])
    event = answered(found, decision)
    assert (event.stage, event.because.partition(":")[0]) == ("candidate", "passed the gate")
    verify(event.sha256, event.signature, key_folder(settings))
    net = Net(store_of(settings).get(event.sha256))
    assert event.version == event.sha256[:12]
    assert net.spec.trained["decision_id"] == decision.decision_id
    manifest: dict[str, Any] = json.loads(store_of(settings).get(event.dataset_sha256 or ""))
    assert manifest["decision_id"] == decision.decision_id
    assert set(manifest["changed_since_ms"]) == {CHANGED}
    assert (manifest["labelled"], manifest["gone"], manifest["propensities"]) == (540, 0, {"0.90": 540})
    assert event.metrics["drifted/candidate"] > event.metrics["drifted/champion"] + 0.1
    assert event.metrics["golden/frames"] == 6 * round(10 * 0.25)
    assert list((settings.data_dir / "mlruns").glob("*/*/metrics/drifted"))
    # As many trials as time allowed, each a run of its own under that of the training.
    trials = len(list((settings.data_dir / "mlruns").glob("*/*/tags/mlflow.parentRunId")))
    assert 1 <= trials <= 2
    assert (event.metrics["search/trials"], net.spec.trained["search_trials"]) == (trials, trials)
    assert event.metrics["search/best_loss"] <= event.metrics["search/first_loss"]
    road.write("retraining", decision.model, decision)
    marker = answered(found, road.decide([], base_version="another"))
    assert (marker.stage, len(answers(found, decision))) == ("rejected", 1)


def test_a_killed_trainer_answers_once_after_it_was_started_again(foggy: tuple[Running, Road, str]) -> None:
    """kill -9 while it trains: the training dies with it, and is done again."""
    found, road, alert_id = foggy
    decision = road.decide([alert_id])
    log = found.settings.data_dir / "logs" / "trainer-0.log"

    def times_fitting() -> int:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return sum(line.get("phase") == "fitting" and line["decision_id"] == decision.decision_id for line in lines)

    wait_until(lambda: times_fitting() > 0, "it fits", PATIENCE_S)
    found.process("trainer").kill()
    event = answered(found, decision)
    assert event.stage == "candidate"
    wait_until(lambda: found.starts() == {"trainer-0": 2, "rollout-0": 1}, "it was started again")
    marker = answered(found, road.decide([], base_version="another"))
    assert (marker.stage, len(answers(found, decision))) == ("rejected", 1)


def test_wrong_labels_are_rejected_by_name(broker: KafkaCluster, tmp_path: Path, prefix: str) -> None:
    """Four in ten are wrong: no training, and the reason says labels; those in doubt are named, for people to look at
    again."""
    with running(
        broker.bootstrap_servers,
        tmp_path,
        prefix,
        [Service("trainer", 0), Service("rollout", 0)],
        model=MODEL.read_bytes(),
        variables=SETTINGS,
    ) as found:
        road = Road(found.settings)
        road.labelled(pictures(crops()[:BEFORE], SAME))
        since_ms = road.labelled(pictures(crops()[BEFORE : BEFORE + FRESH], CHANGED), wrong_share=0.4)
        event = answered(found, road.decide([road.alert(since_ms)]))
        assert (event.stage, event.because.partition(":")[0], event.sha256) == ("rejected", "labels", "")
        assert event.metrics["data/fresh_suspect_share"] > 0.3
        suspects = found.records("labels.suspects")
        assert 0.3 * FRESH < len(suspects) <= SUSPECTS_MOST
        outcomes = {(each.camera, each.sequence): each for each in found.records("outcomes")}
        of = [outcomes[each.camera, each.sequence] for each in suspects]
        assert [(each.label, each.frame_offset, each.propensity, each.source) for each in suspects] == [
            (each.label, each.frame_offset, each.propensity, each.source) for each in of
        ]
        assert {(each.because, each.by) for each in suspects} == {("training", "trainer")}
