"""A producer's second request waits for its first: else what was reported as delivered may be lost (decision 0027)."""

import ast
from pathlib import Path
from typing import Literal

import pytest

from catseye.client.config import publisher_config
from catseye.runtime.worker_clients import producer_config
from catseye.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]
ONE = "max.in.flight.requests.per.connection"


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_workers_and_publishers_have_one_request_under_way(delivery: Literal["exactly_once", "at_least_once"]) -> None:
    """Whatever promise is asked for."""
    settings = Settings(delivery=delivery)
    for config in (publisher_config(settings), producer_config(settings, "a worker")):
        assert (config["enable.idempotence"], config[ONE]) == (True, 1)


def sets_idempotence(text: str) -> bool:
    """Whether *text* asks librdkafka for it by its own name, and not by the one table that says what belongs to it."""
    return any(
        isinstance(node, ast.Constant) and node.value == "enable.idempotence" for node in ast.walk(ast.parse(text))
    )


def test_no_producer_asks_for_less() -> None:
    """The name of that setting stands in one file only."""
    assert [path.name for path in SOURCES if sets_idempotence(path.read_text())] == ["clients.py"]
    assert sets_idempotence('{"enable.idempotence": True}')
