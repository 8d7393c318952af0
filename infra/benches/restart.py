"""kill -9 of a service to its /ready, with compiled modules kept and without, both sides in one run.

Each service of a stack of one broker and the example's model is killed in turn while the others run. Its supervisor
starts it again; what counts is from the signal until the new process says that it is ready, and the CPU time that this
process took until then.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from catseye.settings import Settings
from infra.benches import harness
from infra.benches.harness import BenchError, Figure, Options, Report, Row
from infra.local import processes
from infra.local.services import PASSING_WATCHING, is_ready
from infra.local.stack import Stack
from infra.local.stack_commands import first_model
from infra.local.supervise import Child

KEPT, EACH_START = "kept", "compiled at each start"
SIDES: dict[str, dict[str, str]] = {
    KEPT: {},
    EACH_START: {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/dev/null/none"},
}
TARGET = 0.5
PAIRS = 2
PATIENCE_S = 60.0
QUIET_S = 1.0
"""Between two kills: the others have gone on."""


def run(options: Options) -> Report:
    """Measure every service on both sides, pass by pass."""
    report = Report("restart", machine=harness.machine(("confluent-kafka", "numpy")))
    for number, one_pass in enumerate(harness.passes(list(SIDES), 1 if options.short else options.pairs or PAIRS), 1):
        for side in one_pass:
            with _environment(SIDES[side]):
                for row in _restarts():
                    own: Row = {"pass": number, "side": side}
                    report.rows.append(own | row)
    for service in PASSING_WATCHING:
        name = f"{service.name}-0"
        ours, theirs = harness.paired(
            report.rows,
            {"service": name, "side": KEPT},
            {"service": name, "side": EACH_START},
            "ready_s",
        )
        report.figures.append(Figure(f"{name}: kill -9 to ready", harness.ratio(ours, theirs), TARGET))
    return report


def _restarts() -> Iterator[Row]:
    with TemporaryDirectory() as folder, _environment({"CATSEYE_DATA_DIR": folder}):
        stack = Stack(Settings(data_dir=Path(folder)), services=PASSING_WATCHING)
        try:
            first_model(stack.up())
            for child in stack.children:
                time.sleep(QUIET_S)
                yield _restart(child, Path(folder) / "run")
        finally:
            stack.down()


def _restart(child: Child, records: Path) -> Row:
    before = processes.find(records, child.name)
    if before is None:
        raise BenchError(f"{child.name} does not run")
    began_s = time.monotonic()
    os.kill(before.pid, signal.SIGKILL)
    while time.monotonic() < began_s + PATIENCE_S:
        found = processes.find(records, child.name)
        if found and found.pid != before.pid and is_ready(child.port, found.pid):
            ready_s, cpu_s = time.monotonic() - began_s, harness.cpu_ns(found.pid) / 1e9
            return {"service": child.name, "ready_s": ready_s, "cpu_s": cpu_s, "load": os.getloadavg()[0]}
        time.sleep(0.01)
    raise BenchError(f"{child.name} is not ready {PATIENCE_S:.0f} s after kill -9")


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
