"""A trainer of one's own, as the example has it: a decision in, a candidate or a rejection out."""

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from catseye.contract.codec import Codec
from catseye.contract.records import ModelEvent, RetrainDecision
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.system.running import ROOT, Running, running, wait_until

pytestmark = pytest.mark.broker

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
SETTINGS = {"CATSEYE_SESSION_TIMEOUT_MS": "6000"}
"""A trainer that was killed stays in its group for so long, which the next test has too."""
HANDS_IN = "import json, sys; assert json.load(sys.stdin)['accepted']; print(sys.argv[1])"


def decided(found: Running, decision_id: str, *, accepted: bool = True) -> None:
    """Write a decision of the retrain trigger."""
    decision = RetrainDecision(
        decision_id=decision_id,
        model="vehicles",
        base_version="",
        accepted=accepted,
        because="drift",
        detail="a test",
        causes=["a" * 32],
        by="retrain_trigger",
        decided_at_ms=1_800_000_000_000,
    )
    producer = Producer(client_config(found.settings))
    producer.produce(full_name("retraining", found.settings.topic_prefix), Codec().encode(decision), b"vehicles")
    assert producer.flush(30) == 0


def answers(found: Running) -> list[ModelEvent]:
    """What stands in the register, apart from the first champion and from rollout's own steps."""
    return [event for event in found.records("models") if event.by not in ("a test", "rollout")]


@pytest.mark.parametrize(
    ("command", "stage", "because"),
    [
        (("-c", HANDS_IN, str(MODEL)), "candidate", "trained elsewhere"),
        (("-c", HANDS_IN, __file__), "rejected", "failed: "),
        (("-c", "raise SystemExit(3)"), "rejected", "failed: "),
    ],
    ids=["a model", "a file that is no model", "a command that fails"],
)
def test_a_decision_is_answered_once(
    command: tuple[str, ...], stage: str, because: str, broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """With what the command hands in; what was not accepted is passed by."""
    services = [Service("rollout", 0)]
    model = MODEL.read_bytes()
    with running(broker.bootstrap_servers, tmp_path, prefix, services, model=model, variables=SETTINGS) as found:
        decided(found, "d" * 32, accepted=False)
        decided(found, "e" * 32)
        example = [sys.executable, str(ROOT / "infra" / "example" / "trainer_elsewhere.py"), sys.executable, *command]
        with subprocess.Popen(example) as trainer:
            try:
                wait_until(lambda: bool(answers(found)), "the decision is answered")
            finally:
                trainer.terminate()
        (answer,) = answers(found)
        assert isinstance(answer, ModelEvent)
        assert (answer.stage, answer.decision_id, answer.by) == (stage, "e" * 32, "trainer_elsewhere")
        assert answer.because.startswith(because)
