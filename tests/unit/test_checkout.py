"""Commands find the stack of their checkout wherever they are called, and what a person sets goes before it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catseye.cli.checkout import DATA_DIR, SERVERS, enter

pytestmark = pytest.mark.usefixtures("bare_environment")
ROOT = Path(__file__).parents[2]
ELSEWHERE = Path("/usr/lib")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What `enter` sets is gone after the test."""
    for name in (SERVERS, DATA_DIR, "CATSEYE_TOPIC_PREFIX"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def checkout(folder: Path, servers: str | None = "127.0.0.1:29092", data_dir: str = ".catseye") -> Path:
    """Make what a checkout with a running stack has."""
    (folder / "infra").mkdir(parents=True)
    (folder / "infra" / "stack").touch()
    if servers:
        (folder / data_dir / "run").mkdir(parents=True)
        plan = {"brokers": 1, "bootstrap_servers": servers, "workers": {}}
        (folder / data_dir / "run" / "stack.json").write_text(json.dumps(plan))
    return folder


def found() -> tuple[str | None, str | None]:
    return os.environ.get(SERVERS), os.environ.get(DATA_DIR)


@pytest.mark.usefixtures("environment")
def test_a_folder_deep_in_the_checkout(tmp_path: Path) -> None:
    """With `catseye` from anywhere, as pip installs it."""
    root = checkout(tmp_path / "eye")
    (root / "a" / "b").mkdir(parents=True)
    enter(root / "a" / "b", ELSEWHERE)
    assert found() == ("127.0.0.1:29092", str(root / ".catseye"))


@pytest.mark.usefixtures("environment")
def test_infra_catseye_is_its_own_checkouts(tmp_path: Path) -> None:
    """From outside, and from inside of another checkout."""
    mine, other = checkout(tmp_path / "mine"), checkout(tmp_path / "other", "127.0.0.1:1")
    enter(other, mine)
    assert found() == ("127.0.0.1:29092", str(mine / ".catseye"))


def test_what_a_person_sets_goes_before(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """In the environment, or in `.env` of the working folder."""
    root = checkout(tmp_path / "eye")
    environment.setenv(SERVERS, "kafka:9092")
    enter(root, root)
    assert os.environ[SERVERS] == "kafka:9092"
    environment.delenv(SERVERS)
    here = tmp_path / "here"
    here.mkdir()
    (here / ".env").write_text(f"{SERVERS}=kafka:9093\n")
    enter(here, root)
    assert SERVERS not in os.environ  # the settings read `.env` themselves


def test_a_data_folder_of_ones_own_has_the_stack(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """CATSEYE_DATA_DIR in the environment, or in the checkout's `.env`, which counts from everywhere."""
    root = checkout(tmp_path / "eye", data_dir="mine")
    environment.setenv(DATA_DIR, str(root / "mine"))
    enter(tmp_path, ELSEWHERE)
    assert found() == ("127.0.0.1:29092", str(root / "mine"))
    environment.delenv(DATA_DIR)
    environment.delenv(SERVERS)
    (root / ".env").write_text(f"{DATA_DIR}=mine\nCATSEYE_TOPIC_PREFIX=x.\n")
    enter(tmp_path, root)
    assert found() == ("127.0.0.1:29092", str(root / "mine"))
    assert os.environ["CATSEYE_TOPIC_PREFIX"] == "x."


@pytest.mark.usefixtures("environment")
def test_without_a_stack_the_defaults_are_asked(tmp_path: Path) -> None:
    """And outside of a checkout nothing is set."""
    enter(checkout(tmp_path / "eye", None), ELSEWHERE)
    assert found() == (None, str(tmp_path / "eye" / ".catseye"))
    os.environ.pop(DATA_DIR)
    enter(ELSEWHERE, ELSEWHERE)
    assert found() == (None, None)


def test_the_command_asks_the_stack_that_its_checkout_records(tmp_path: Path) -> None:
    """`catseye` itself, from another folder: the sentence names the address of the record."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text('{"bootstrap_servers": "127.0.0.1:3"}')
    settings = subprocess.run(
        [sys.executable, "-m", "catseye", "settings", "--json", "-"],
        cwd="/",
        env={"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}", DATA_DIR: str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    values = {row["variable"]: row["value"] for row in json.loads(settings.stdout)["settings"]}
    assert values[SERVERS] == "127.0.0.1:3"
