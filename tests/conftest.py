"""What tests with a broker share: one cluster for the session, a topic prefix for each test."""

import secrets
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.local.kafka import KafkaCluster


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption(
        "--chaos-seeds", type=int, default=2, help="how many schedules of faults are played (20: the proof)"
    )
    group.addoption("--chaos-frames", type=int, default=20_000, help="frames of each (100000: the proof)")
    group.addoption("--broker-kills", type=int, default=1, help="how often the broker is killed (10: the proof)")
    parser.addoption("--view-records", type=int, default=3_000, help="records that view replays (100000: the proof)")
    parser.addoption("--drift-hour", action="store_true", help="let nothing happen for an hour of virtual time")
    parser.addoption("--frames", default=None, help="folder of JPEGs that ingest must accept, beside the crops here")
    group.addoption("--chaos-first-seed", type=int, default=1, help="the first schedule")


def pytest_configure() -> None:
    """No test is timed, those of hypothesis neither; the trainer's environment has none of it."""
    if find_spec("hypothesis"):
        from hypothesis import settings

        settings.register_profile("untimed", deadline=None)
        settings.load_profile("untimed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chaos_seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--chaos-first-seed")
        metafunc.parametrize("chaos_seed", range(first, first + metafunc.config.getoption("--chaos-seeds")))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker of this session's own, on free ports. Tests share it and keep apart by prefix; none stops it (one
    lets it stand still for seconds)."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test has."""
    return f"test-{secrets.token_hex(4)}."


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """What a test has set up for logs ends with it: pytest closes the stream that they went to."""
    yield
    if structlog := sys.modules.get("structlog"):
        structlog.reset_defaults()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env` and no setting of the person who runs the tests is read."""
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
