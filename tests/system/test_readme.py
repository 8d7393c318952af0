"""Every piece of Python in the README and in schemas/README.md runs as it stands there, in order, against a stack."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from catseye.cli.common import records_of
from catseye.settings import Settings, load
from infra.local import stack_commands
from infra.local.services import PASSING_WATCHING
from infra.local.stack import Stack
from infra.local.stack_commands import first_model

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:9092"


@pytest.mark.broker
def test_the_pieces_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish, subscribe and label with the SDK, with confluent-kafka and with aiokafka; only the address changes."""
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'shared'}:{ROOT}")
    monkeypatch.setenv("CATSEYE_DATA_DIR", str(tmp_path))
    plan = Stack(load(Settings), services=PASSING_WATCHING).up()
    address = plan.bootstrap_servers
    try:
        assert "none is champion" in first_model(msgspec.structs.replace(plan, brokers=0))
        first, again = first_model(plan), first_model(plan)
        assert first == f"{again}, the example's; `catseye models register FILE --stage champion` names yours"
        with monkeypatch.context() as raced:  # another champion was registered after the look
            raced.setattr(stack_commands, "serving", lambda _: None)
            assert first_model(plan) == first
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        champions = [event for event in records_of(load(Settings), "models") if event.stage == "champion"]
        pages = [(ROOT / page).read_text() for page in ("README.md", "schemas/README.md")]
        pieces = [piece for page in pages for piece in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
        reported = [_run(piece.replace(ADDRESS, address)) for piece in pieces]
    finally:
        monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        Stack(load(Settings)).down()
    assert len(champions) == 1
    assert len(pieces) == 5
    assert re.fullmatch(r"last frame: gate-7/\w+/99\n", reported[0])
    assert reported[1].startswith("gate-7 ")
    assert reported[2] in {"True\n", "False\n"}
    assert reported[3] == "published gate-8 monday 0\n"
    assert reported[4].strip() in {"bike", "car", "juggernaut", "minibus", "pickup", "truck"}


def _run(piece: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", piece], capture_output=True, text=True, timeout=600, check=False, cwd=ROOT
    )
    assert done.returncode == 0, piece + done.stderr
    return done.stdout
