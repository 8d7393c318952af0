"""`infra/stack` without a broker: exit statuses that are the truth, logs, and a reset that asks first."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.runtime import log
from catseye.settings import Settings, load
from infra.local import service_processes, set_up, stack_commands
from infra.local.service_processes import ServiceProcesses
from infra.local.stack import Stack
from infra.local.stack_commands import INTERRUPTED_UP, describe, run
from infra.local.stack_logs import follow, sources
from infra.local.supervise import Child

pytestmark = pytest.mark.usefixtures("data_dir")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bare_environment: None) -> Path:
    """The stack's folder, with what an installation and a run leave there."""
    monkeypatch.setenv("CATSEYE_DATA_DIR", str(tmp_path))
    for name in (
        "venv/bin/python",
        "kafka/libs/kafka.jar",
        "kafka/brokers-1/broker-1/broker.log",
        "kafka/brokers-1/broker-1/data/frames-0/0.log",
        "keys/signing.pem",
        "artifacts/model.onnx",
        "faust/v1/tables/t.db",
        "lineage.sqlite",
        "mlruns/0/meta.yaml",
        "reports/card.html",
        "logs/maven.log",
        "logs/ingest-0.log",
        "logs/ingest-1.log",
        "logs/inference_shadow-0.log",
        "logs/supervisor.log",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"first of {name}\nlast of {name}\n")
    return tmp_path


def raises(fault: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise fault

    return fail


@pytest.mark.parametrize(
    ("fault", "status", "printed"),
    [
        (Misconfigured("a setting"), 2, "infra/stack: a setting"),
        (Unavailable("ingest-0 is not ready"), 1, "infra/stack: ingest-0 is not ready"),
        (KeyboardInterrupt(), 130, f"infra/stack: {INTERRUPTED_UP}"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x"),
            1,
            "is full: make room there, then the same command goes",
        ),
    ],
)
def test_up_that_failed_says_so_last_and_exits_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: BaseException, status: int, printed: str
) -> None:
    """One sentence, no traceback; Ctrl-C says what it left and what goes on."""
    monkeypatch.setattr(Stack, "up", raises(fault))
    assert run(["up"]) == status
    assert printed in capsys.readouterr().err.splitlines()[-1]


def test_up_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    """Now and then, by name: a start that takes a minute on a busy machine is told from one that hangs."""
    monkeypatch.setattr(service_processes, "REPORT_S", 0.0)
    ready = iter([True, False, False, True, True, False, True, True, True])
    monkeypatch.setattr(ServiceProcesses, "_is_ready", lambda _, __: next(ready))
    wanted = [Child(name, (), {}) for name in ("ingest-0", "drift-0", "view-0")]
    lines: list[str] = []
    ServiceProcesses(data_dir, lines.append)._wait_until_ready(wanted, dict.fromkeys(child.name for child in wanted))
    assert [line.partition(" s ")[2] for line in lines] == ["not ready yet: drift-0, view-0", "not ready yet: view-0"]


def test_up_whose_services_fell_over_is_not_called_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `status` finds at the end counts."""
    found = Stack(load(Settings)).status() | {"bootstrap_servers": "127.0.0.1:1", "answers": True}
    assert not found["ready"]
    monkeypatch.setattr(Stack, "up", lambda *_, **__: None)
    monkeypatch.setattr(Stack, "status", lambda _: found)
    monkeypatch.setattr(stack_commands, "first_model", lambda _: "m")
    assert run(["up"]) == 1
    printed = capsys.readouterr()
    assert "up in" not in printed.out
    assert printed.err.splitlines()[-1].startswith("infra/stack: not everything is ready")


def test_the_command_that_texts_name_is_in_a_fresh_clone(tmp_path: Path) -> None:
    """Before any other command was called: README's line for the PATH leads to it, and `up` prints the same folder."""
    (folder,) = re.findall(r'^export PATH="\$PWD/(.*):\$PATH"', (ROOT / "README.md").read_text(), re.MULTILINE)
    assert ROOT / folder == stack_commands.PATH_OF_COMMANDS
    assert [command.name for command in (ROOT / folder).iterdir()] == ["catseye"]
    line = f'export PATH="$PWD/{folder}:$PATH"; cd {tmp_path}; command -v catseye; readlink -f "$(command -v catseye)"'
    found = subprocess.run(["/bin/bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == [f"{ROOT}/{folder}/catseye", f"{ROOT}/infra/catseye"]


def test_no_page_names_what_another_command_must_have_made_first() -> None:
    """Environments in .catseye/ are made by the commands that need them; pages name those commands, which are there."""
    folders = ("schemas", "services", "infra", "tests")
    pages = [ROOT / "README.md", *(page for folder in folders for page in (ROOT / folder).rglob("*.md"))]
    named = {name for page in pages for name in re.findall(r"^(infra/[\w-]+)", page.read_text(), re.MULTILINE)}
    assert {"infra/stack", "infra/demo", "infra/test", "infra/catseye", "infra/trainer"} <= named
    assert [name for name in sorted(named) if not os.access(ROOT / name, os.X_OK)] == []
    assert [page for page in pages if re.search(r"\.catseye/(venv|bin)", page.read_text())] == []


def test_a_wrong_setting_of_a_service_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a broker is started."""
    monkeypatch.setenv("CATSEYE_DRIFT_ACCURACY_FLOOR", "2")
    assert run(["up"]) == 2
    assert capsys.readouterr().err.startswith("infra/stack: CATSEYE_DRIFT_ACCURACY_FLOOR: ")


@pytest.mark.parametrize("options", [[], ["--workers", "trainer=0"]])
def test_nobody_waits_for_torch_to_be_told_of_a_slip(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """The loop's packages, minutes of them, are installed once settings and options were judged; without them, why."""
    monkeypatch.setattr(subprocess, "Popen", raises(AssertionError("installed")))
    if not options:
        monkeypatch.setenv("CATSEYE_TRAINER_BUDGET_S", "x")
    assert run(["up", "--loop", *options]) == 2
    assert "infra/stack: " in capsys.readouterr().err


def test_the_loop_is_not_started_without_its_packages(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stands above the last line; nothing was started."""
    monkeypatch.setattr(set_up, "ENVIRONMENTS_OF_THE_LOOP", ("nonsense",))
    monkeypatch.setattr(Stack, "up", raises(AssertionError("started")))
    assert run(["up", "--loop"]) == 1
    printed = capfd.readouterr().err.splitlines()
    assert printed[-2].startswith("There is no ")
    assert printed[-1].startswith("infra/stack: the packages of nonsense are not there")


def test_logs_are_printed_with_the_name_of_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all workers of a service; of one without its name; those of installations are left out."""
    assert run(["logs", "ingest", "-n", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ingest-0: last of logs/ingest-0.log",
        "ingest-1: last of logs/ingest-1.log",
    ]
    assert run(["logs", "broker"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["logs"]) == 0
    everything = capsys.readouterr().out
    assert "inference_shadow-0: first" in everything
    assert "maven" not in everything
    assert run(["logs", "ingst"]) == 2
    assert "there are inference_shadow-0, ingest-0, ingest-1, supervisor, broker-1" in capsys.readouterr().err


def test_logs_are_followed_in_whole_lines(data_dir: Path) -> None:
    """What is there already is not repeated; half a line waits; a log that was begun anew is read from its start."""
    found = sources(data_dir, "ingest-0")
    path = found["ingest-0"]
    lines = follow(found, poll_s=0)
    with path.open("a", buffering=1) as file:
        file.write("one\ntw")
        assert next(lines) == ("ingest-0", "one")
        file.write("o\nthree\n")
        assert [next(lines), next(lines)] == [("ingest-0", "two"), ("ingest-0", "three")]
    path.write_text("anew\n")
    assert next(lines) == ("ingest-0", "anew")


def test_reset_asks_first_and_leaves_what_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    """No is no; with --yes topics, models, state and logs are gone, keys and packages are there."""
    before = {path for path in data_dir.rglob("*") if path.is_file()}
    for answer in (lambda _: "n", raises(EOFError())):
        monkeypatch.setattr("click.termui.visible_prompt_func", answer)
        with pytest.raises(SystemExit) as ended:
            run(["reset"])
        assert ended.value.code == 1
        assert "Nothing was stopped or deleted" in capsys.readouterr().out
        assert before <= set(data_dir.rglob("*"))
    assert run(["reset", "--yes"]) == 0
    assert "its data are gone" in capsys.readouterr().out
    kept = {str(path.relative_to(data_dir)) for path in data_dir.rglob("*") if path.is_file()}
    assert {name for name in kept if not name.startswith("run/")} == {
        "venv/bin/python",
        "kafka/libs/kafka.jar",
        "keys/signing.pem",
        "logs/maven.log",
        "reports/card.html",
    }


def test_a_service_that_refuses_shows_why() -> None:
    """And a broker that does not answer is said to."""
    service = {
        "name": "drift-0",
        "pid": None,
        "ready": False,
        "health": "http://127.0.0.1:8140",
        "starts": None,
        "log": "l",
        "refuses": "CATSEYE_X: no",
    }
    found = Stack(load(Settings)).status() | {"bootstrap_servers": "127.0.0.1:1", "services": [service]}
    printed = describe(found).splitlines()
    assert printed[0] == "Kafka           127.0.0.1:1  does not answer"
    assert printed[1] == "drift-0         http://127.0.0.1:8140  refuses to start: CATSEYE_X: no"


def test_a_line_that_a_full_disk_does_not_take_ends_no_process() -> None:
    """Of a service or the supervisor; its exit status is its own."""
    code = "import sys; from catseye.runtime import log; log.set_up('s', '0', 'info').info('x'); sys.exit(7)"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-u", "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"},
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_a_line_of_a_log_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """The control: where there is room, it is written."""
    log.set_up("s", "0", "info").info("x")
    assert json.loads(capsys.readouterr().out)["event"] == "x"
