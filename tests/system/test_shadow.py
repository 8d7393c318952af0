"""Champion and shadow on a broker: the pairs that labels make of their words, and who predicts while models change."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catseye import clock
from catseye.client import FrameId, Publisher
from catseye.contract.codec import Codec
from catseye.contract.records import ModelEvent, PairedOutcome, Prediction, Stage
from catseye.kafka.admin import create_topics
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from infra.local.without_rollout import register_without_rollout, write_event
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

CODEC = Codec()
CLASSES = ("bike", "car", "truck")
JPEGS = [encode(scene(40, 50, seed=seed)) for seed in range(5)]
ONE, TWO = (tiny_model(classes, JPEGS[0]) for classes in (CLASSES, CLASSES[::-1]))
SERVICES = [
    service for service in PASSING if service.name in ("ingest", "inference", "inference_shadow", "ground_truth")
]
CAMERAS = [f"cam-{number}" for number in range(6)]
PARTITIONS = 3
# Frames are passed over only where a test asks for it: the machine may be busy.
VARIABLES = {"CATSEYE_PARTITIONS": str(PARTITIONS), "CATSEYE_INFERENCE_SHADOW_AGE_S": "600"}


def fleet(broker: KafkaCluster, folder: Path, prefix: str) -> tuple[Settings, ModelEvent]:
    """Topics, keys and a shadow, so that it is there before the first frame."""
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, data_dir=folder, topic_prefix=prefix, partitions=PARTITIONS
    )
    create_topics(settings)
    make_keys(key_folder(settings))
    return settings, register_without_rollout(settings, CODEC, TWO, "shadow", by="a test", because="start")


def names(records: Sequence[Prediction | PairedOutcome]) -> list[tuple[str, str, int]]:
    """Which frames they are about."""
    return sorted((record.camera, record.boot, record.sequence) for record in records)


def test_each_labelled_frame_is_one_pair(broker: KafkaCluster, prefix: str, tmp_path: Path) -> None:
    """Through kill -9 of ground truth between predictions and labels; corrections and repeats make none."""
    _, shadow = fleet(broker, tmp_path, prefix)
    with running(broker.bootstrap_servers, tmp_path, prefix, SERVICES, model=ONE, variables=VARIABLES) as it:
        with Publisher(settings=it.settings) as publisher:
            frames = [publisher.publish(jpeg, camera=camera) for jpeg in JPEGS * 8 for camera in CAMERAS]
            publisher.flush()
            for service, event in (
                ("inference", "predicted"),
                ("inference_shadow", "predicted"),
                ("ground_truth", "prediction"),
                ("ground_truth", "shadow"),
            ):
                it.wait_for(service, event, len(frames))
            it.process("ground_truth").kill()
            labelled = frames[: len(frames) // 2]
            began_ms = clock.now_ms()
            for at_ms, text in enumerate(("car", "car", "bike", None), began_ms):
                for frame in labelled:
                    publisher.label(frame.camera, frame.boot, frame.sequence, text, labelled_at_ms=at_ms)
                publisher.flush()
            wait_until(lambda: len(it.records("outcomes")) >= 3 * len(labelled), "outcomes of all labels")
        predictions, shadows, pairs = (
            it.records(name) for name in ("predictions", "predictions.shadow", "outcomes.paired")
        )
        letters = it.records("dead-letters")
    assert names(predictions) == names(shadows) == names(frames)  # type: ignore[arg-type]
    assert {(one.role, one.version == shadow.version) for one in predictions} == {("champion", False)}
    assert {(one.role, one.version) for one in shadows} == {("shadow", shadow.version)}
    assert names(pairs) == names(labelled)  # type: ignore[arg-type]
    assert letters == []
    champion = {(one.camera, one.boot, one.sequence): one for one in predictions}
    other = {(one.camera, one.boot, one.sequence): one for one in shadows}
    for pair in pairs:
        ours, theirs = (reported[pair.camera, pair.boot, pair.sequence] for reported in (champion, other))
        assert (pair.label, pair.champion, pair.shadow) == ("car", ours.version, theirs.version)
        assert (pair.champion_predicted, pair.shadow_predicted) == (ours.label, theirs.label)
        assert pair.champion_label_probability == pytest.approx(ours.probabilities["car"], abs=1e-4)
        assert pair.shadow_label_probability == pytest.approx(theirs.probabilities["car"], abs=1 / 255)
        assert (pair.frame_partition, pair.frame_offset) == (ours.frame_partition, ours.frame_offset)


def test_a_shadow_passes_over_what_is_too_old(broker: KafkaCluster, prefix: str, tmp_path: Path) -> None:
    """Nothing is read within a millisecond: the champion predicts every frame, the shadow counts what it lets go."""
    fleet(broker, tmp_path, prefix)
    variables = VARIABLES | {"CATSEYE_INFERENCE_SHADOW_AGE_S": "0.001"}
    with running(broker.bootstrap_servers, tmp_path, prefix, SERVICES, model=ONE, variables=variables) as it:
        with Publisher(settings=it.settings) as publisher:
            frames = [publisher.publish(jpeg, camera=camera) for jpeg in JPEGS for camera in CAMERAS]
            publisher.flush()
        it.wait_for("inference", "predicted", len(frames))
        it.wait_for("inference_shadow", "records", len(frames))
        counted = it.counted("inference_shadow")
        shadows = it.records("predictions.shadow")
    assert counted["shadow_dropped"] + counted.get("predicted", 0) == len(frames)
    assert len(shadows) == counted.get("predicted", 0)


class Traffic:
    """Publishes frames of all cameras for as long as a test asks."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.frames: list[FrameId] = []

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Go on until *done*."""

        def checked() -> bool:
            for _ in range(5):
                jpeg = JPEGS[len(self.frames) % len(JPEGS)]
                self.frames += [self._publisher.publish(jpeg, camera=camera) for camera in CAMERAS]
                time.sleep(0.02)
            return done()

        wait_until(checked, what)


def swaps_reported(log: Path) -> dict[int, list[tuple[int, str]]]:
    """Offsets from which versions predict a partition, as a process logged them."""
    reported: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for line in log.read_text().splitlines():
        fields: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        if fields.get("event") == "predicting":
            (version,) = fields["versions"]
            reported[fields["partition"]].append((fields["offset"], version))
    return reported


def runs_of(predictions: Sequence[Prediction]) -> dict[int, list[tuple[int, str]]]:
    """By partition: where each run of one version begins."""
    found: dict[int, list[tuple[int, str]]] = {}
    ordered = sorted(predictions, key=lambda one: (one.frame_partition, one.frame_offset))
    for partition, those in groupby(ordered, key=lambda one: one.frame_partition):
        runs = groupby(those, key=lambda one: one.version)
        found[partition] = [(next(iter(run)).frame_offset, version) for version, run in runs]
    return found


def versions_in(runs: dict[int, list[tuple[int, str]]]) -> list[list[str]]:
    """Which versions predicted each partition, in order."""
    return [[version for _, version in run] for _, run in sorted(runs.items())]


def test_a_promotion_and_a_rollback_under_traffic(broker: KafkaCluster, prefix: str, tmp_path: Path) -> None:
    """No frame without a prediction or with two, no batch of two versions, on each partition the versions in the order
    of the events and the frames in the order in which they came, and the log says from which offset on."""
    settings, two = fleet(broker, tmp_path, prefix)

    def step(event: ModelEvent, stage: Stage) -> None:
        write_event(settings, CODEC, replace(event, event_id=f"{event.version} {time.monotonic()}", stage=stage))

    def swapped(times: int, service: str = "inference") -> Callable[[], bool]:
        return lambda: it.counted(service).get("model_swapped", 0) == times * PARTITIONS

    with running(broker.bootstrap_servers, tmp_path, prefix, SERVICES, model=ONE, variables=VARIABLES) as it:
        (one,) = [event for event in it.records("models") if event.stage == "champion"]
        with Publisher(settings=it.settings) as publisher:
            traffic = Traffic(publisher)
            traffic.until(lambda: predicted(it, "inference_shadow") > 100, "both predict")
            step(two, "champion")
            step(one, "shadow")
            traffic.until(swapped(1), "the new champion predicts every partition")
            traffic.until(swapped(1, "inference_shadow"), "the old one is the shadow")
            step(one, "champion")
            step(two, "rejected")
            traffic.until(swapped(2), "the old champion predicts every partition")
            traffic.until(lambda: it.counted("inference_shadow").get("without_shadow", 0) > 0, "there is no shadow")
            publisher.flush()
        it.wait_for("inference", "predicted", len(traffic.frames))
        it.wait_for("inference_shadow", "records", len(traffic.frames))
        predictions, shadows = it.records("predictions"), it.records("predictions.shadow")
        starts = it.starts()
    assert set(starts.values()) == {1}
    assert names(predictions) == names(traffic.frames)  # type: ignore[arg-type]
    assert ({each.role for each in predictions}, {each.role for each in shadows}) == (
        {"champion"},
        {"shadow"},
    )
    of_champion, of_shadow = runs_of(predictions), runs_of(shadows)
    assert versions_in(of_champion) == [[one.version, two.version, one.version]] * PARTITIONS
    assert versions_in(of_shadow) == [[two.version, one.version]] * PARTITIONS
    assert swaps_reported(tmp_path / "logs" / "inference-0.log") == of_champion
    assert swaps_reported(tmp_path / "logs" / "inference_shadow-0.log") == of_shadow
    # All that one transaction predicts has its time, and transactions are 20 ms apart.
    batches = defaultdict(set)
    for prediction in predictions:
        batches[prediction.predicted_at_ms].add(prediction.version)
    assert {len(mixed) for mixed in batches.values()} == {1}
    # How long a frame waits meanwhile is the machine's speed (`infra/bench swap`): that the one before predicts while a
    # model is loaded is in tests/unit/test_models.py, that none is passed by is seen here.
    in_turn = sorted(predictions, key=lambda each: (each.frame_partition, each.frame_offset))
    for _, of_partition in groupby(in_turn, key=lambda each: each.frame_partition):
        times_ms = [each.predicted_at_ms for each in of_partition]
        assert times_ms == sorted(times_ms)


def predicted(it: Running, service: str) -> int:
    """How many frames *service* has predicted."""
    return it.counted(service).get("predicted", 0)
