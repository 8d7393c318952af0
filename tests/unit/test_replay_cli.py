"""`catseye replay` without a broker: it starts the services' code, or says where that is."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catseye.cli import main
from catseye.cli import services_code as command


def run(*argv: str) -> int:
    """Exit status of the command."""
    with pytest.raises(SystemExit) as ended:
        main(["replay", *argv])
    return int(ended.value.code or 0)


def test_it_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it was given, with the status of the process; times may begin with a dash."""
    called: list[Any] = []

    def started(argv: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        called.append((argv, how["env"]["PYTHONPATH"].split(":")[0]))
        return subprocess.CompletedProcess(argv, 7)

    monkeypatch.setattr(subprocess, "run", started)
    status = run("--from", "-2h", "--model", "m.onnx", "--camera", "a", "--camera", "b", "--json", "-")
    handed = ["--from=-2h", "--model=m.onnx", "--json=-", "--camera=a", "--camera=b"]
    root = str(Path(__file__).resolve().parents[2])
    assert (status, called) == (7, [([sys.executable, "-m", "services.replay", *handed], root)])


def test_without_the_services_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the library is installed: one sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "__file__", str(tmp_path / "lib" / "catseye" / "cli" / "replay.py"))
    assert run("--model", "m.onnx") == 2
    assert "call `catseye replay` in a checkout of Catseye" in capsys.readouterr().err


def test_without_the_packages_it_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how they are installed."""
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "river" else name)
    assert run("--model", "m.onnx") == 2
    assert "needs river: `pip install -r" in capsys.readouterr().err
