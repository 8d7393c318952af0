"""The jobs of docker-compose.yml do what the services wait for: run here, from the folders that their image has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from catseye.client import subscribe
from catseye.contract.codec import Codec
from catseye.contract.records import ModelEvent
from catseye.models import signing
from catseye.models.register import store_of
from catseye.models.signing import key_folder
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from infra.local.without_rollout import write_event
from tests.simulation.images import JOBS, OURS, Image, built
from tests.system.running import running


@pytest.mark.broker
def test_a_fresh_compose_has_topics_keys_and_a_champion(broker: KafkaCluster, prefix: str, tmp_path: Path) -> None:
    """And a second `up` changes nothing: one event, the same pair of keys; whoever was named meanwhile stays."""
    image = built("catseye-service", tmp_path / "image")
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, data_dir=tmp_path / "data"
    )
    keys = key_folder(settings)
    before, waiting = (
        [job for job in JOBS if ("rollout" in OURS[job]["depends_on"]) is waits] for waits in (False, True)
    )
    assert before
    assert waiting
    for job in before:
        run(image, settings, job)
    with running(broker.bootstrap_servers, tmp_path / "rollout", prefix, [Service("rollout", 0)]):
        for _ in range(2):
            reported = [run(image, settings, job) for job in JOBS]
            (champion,) = subscribe("models", settings=settings, from_="beginning", until_end=True, timeout_s=20)
            assert isinstance(champion, ModelEvent)
            assert reported[-1].splitlines()[-1] == f"{champion.model} {champion.version} is champion"
            # By the keys that are there: those of before, the second time.
            signing.verify(champion.sha256, champion.signature, keys)
            assert champion.stage == "champion"
            assert store_of(settings).get(champion.sha256)
        assert (keys / signing.PRIVATE).is_file()
        write_event(settings, Codec(), replace(champion, event_id="later", version="another"))
        assert run(image, settings, JOBS[-1]) == f"{champion.model} another is champion\n"


def run(image: Image, settings: Settings, job: str) -> str:
    """Run *job* as its container would, with the broker of these tests."""
    done = subprocess.run(
        [sys.executable, *image.entrypoint[1:], *OURS[job]["command"]],
        env={
            "PATH": os.environ["PATH"],
            **image.env,
            **OURS[job]["environment"],
            "PYTHONPATH": image.python_path,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "CATSEYE_TOPIC_PREFIX": settings.topic_prefix,
            "CATSEYE_DATA_DIR": str(settings.data_dir),
        },
        cwd=image.work_dir,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
