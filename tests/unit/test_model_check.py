"""`catseye.models.check`: what comes from outside is parsed elsewhere first, and harms nobody."""

import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from catseye.contract.errors import BadModel
from catseye.models import check
from catseye.models.check import check_file
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.unit.test_net import CLASSES, changed


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """A sound file."""
    return tiny_model(CLASSES, encode(scene(40, 50)))


def checker() -> int:
    """Process that checks."""
    assert check._checker is not None
    return check._checker.pid


def test_sound_files_pass_the_check_of_one_process(tiny: bytes) -> None:
    """It is started once; threads that ask at the same time wait for one another."""
    check_file(tiny)
    first = checker()
    askers = [threading.Thread(target=check_file, args=(tiny,)) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    check_file(tiny)
    assert checker() == first


def test_a_broken_file_fails_the_check_and_the_next_one_is_none_the_worse(tiny: bytes) -> None:
    """With the last thing that the child said."""
    with pytest.raises(BadModel, match=r"the file cannot be used: .*golden"):
        check_file(changed(tiny, "catseye.temperature", "9.0"))
    with pytest.raises(BadModel, match="the file cannot be used: onnxruntime cannot load"):
        check_file(b"not ONNX")
    check_file(tiny)


def test_a_file_that_hangs_or_is_too_large_fails_the_check(tiny: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits themselves are made small."""
    with monkeypatch.context() as smaller:
        smaller.setattr(check, "CHECK_TIMEOUT_S", 0.001)
        with pytest.raises(BadModel, match=r"took over 0\.001 s"):
            check_file(tiny)
    check_file(tiny)
    monkeypatch.setattr(check, "MODEL_MAX_BYTES", len(tiny) - 1)
    with pytest.raises(BadModel, match="at most"):
        check_file(tiny)


def test_a_checker_that_was_killed_is_started_again(tiny: bytes) -> None:
    """Whoever asks next does not notice."""
    check_file(tiny)
    killed = checker()
    os.kill(killed, signal.SIGKILL)
    check_file(tiny)
    assert checker() != killed


def test_a_child_has_little_memory_and_leaves_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that asks for its limits is told those of the child, and dies of what it does to itself alone."""
    limits = tmp_path / "limits"

    def greedy(_: bytes) -> None:
        limits.write_text(f"{resource.getrlimit(resource.RLIMIT_AS)[0]} {resource.getrlimit(resource.RLIMIT_CORE)[0]}")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(check, "Net", greedy)
    file = tmp_path / "net.onnx"
    file.touch()
    assert check._outcome(str(file), 10.0) == (-signal.SIGKILL, "")
    assert limits.read_text() == f"{check.CHECK_MEMORY_BYTES} 0"
