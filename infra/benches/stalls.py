"""What people are told while something stands: each service, the broker, the whole machine, under load.

Six cameras publish frames, each labelled at once, all the while; one more falls silent as the fault begins. What is
right: no alert of a camera that published, one of the camera that did not, found within its bound once the fault is
over; and of a service that stands one incident of the fleet, which names it and is resolved by itself. A broker that is
away is no service that stands. 30 s each; with --long 5 minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

from catseye.client import Publisher, subscribe
from catseye.contract.records import Alert
from catseye.kafka.registry import codec_for
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings
from infra.benches import harness
from infra.benches.harness import BUILT, ROOT, BenchError, Options, Report, Row
from infra.local.services import PASSING
from infra.local.stack import Stack
from infra.local.without_rollout import register_without_rollout

SERVICES: Final = ("ingest", "inference", "ground_truth", "drift", "incidents")
FAULTS: Final = ("ingest", "inference", "ground_truth", "broker", "starved")
CROPS: Final = ROOT / "infra" / "example" / "crops"
MODEL: Final = ROOT / "infra" / "example" / "vehicles.onnx"
LEARNED_S: Final = 15.0
"""Frames of so long make a camera known."""
AFTER_S: Final = 40.0
"""Watched for so long after the fault at least,"""
CAUGHT_UP_S: Final = 240.0
"""and, where a backlog of minutes is still worked off, until all is over, for so long at most."""
EVERY_S: Final = 5.0
BUSY: Final = 8
"""Processes that starve the machine."""


class Load:
    """Cameras that publish evenly, on a thread of its own.

    Args:
        settings: Where to.
        cameras: Names.
        fps: Frames/s of each.
    """

    def __init__(self, settings: Settings, cameras: Sequence[str], *, fps: float = 4.0) -> None:
        self._settings = settings
        self._every_s = 1 / fps
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self.cameras = list(cameras)
        self.refused = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        crops = [(path.read_bytes(), path.parent.name) for path in sorted(CROPS.glob("*/*.jpg"))[::7]]
        due_s, number = time.monotonic(), 0
        with Publisher(self._settings, on_failure=self._failed) as publisher:
            while not self._stop.is_set():
                for camera in list(self.cameras):
                    jpeg, label = crops[number % len(crops)]
                    publisher.label(*publisher.publish(jpeg, camera=camera), label)
                    number += 1
                due_s += self._every_s
                self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _failed(self, *_: object) -> None:
        self.refused += 1


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Processes that stand for the time of the body."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def starved() -> Iterator[None]:
    """A machine that is busy with something else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def alerts_of(settings: Settings) -> list[Alert]:
    """Every record of every alert so far."""
    found = subscribe("alerts", settings=settings, from_="beginning", until_end=True, timeout_s=60)
    return [alert for alert in found if isinstance(alert, Alert)]


def row_of(fault: str, stall_s: float, began_ms: int, alerts: Sequence[Alert], quits: str) -> Row:
    """What was told from *began_ms* on.

    Args:
        fault: What stood.
        stall_s: For how long.
        began_ms: When it began.
        alerts: All records.
        quits: The camera that did fall silent then.
    """
    opened = [each for each in alerts if each.state == "opened" and each.updated_at_ms >= began_ms]
    true = [each for each in opened if each.kind == "camera_silent" and each.camera == quits]
    fleet = [each for each in opened if each.kind in ("service_stalled", "service_down")]
    others = Counter(each.kind for each in opened if each not in true and each not in fleet)
    over = {each.alert_id: each for each in alerts if each.state == "resolved"}
    ends = [over[each.alert_id].updated_at_ms - began_ms for each in fleet if each.alert_id in over]
    return {
        "fault": fault,
        "stall_s": stall_s,
        "untrue": sum(others.values()),
        "kinds": ", ".join(f"{kind} {count}" for kind, count in sorted(others.items())) or "none",
        "fleet": len({each.incident_id for each in fleet}),
        "named": ", ".join(f"{each.kind} {each.signal}" for each in fleet) or "none",
        "raised_s": (fleet[0].updated_at_ms - began_ms) / 1_000 if fleet else -1.0,
        "resolved_s": ends[-1] / 1_000 if len(ends) == len(fleet) and ends else -1.0,
        "silent_found": len(true),
        "found_after_s": (true[0].updated_at_ms - began_ms) / 1_000 - stall_s if true else -1.0,
    }


def is_over(row: Row) -> bool:
    """Whether what was silent was found, and whatever the fleet was told is resolved."""
    return bool(row["silent_found"]) and (not row["fleet"] or float(row["resolved_s"]) > 0)


def run(options: Options) -> Report:
    """Let each stand in turn, on one stack."""
    stall_s = 300.0 if options.long else 30.0
    wanted = [fault for fault in FAULTS if options.wants(fault)]
    folder = BUILT / "bench" / f"stalls-{os.getpid()}"
    report = Report("stalls", machine=harness.machine())
    logs = folder / "data"
    before = {name: os.environ.pop(name, None) for name in ("KAFKA_BOOTSTRAP_SERVERS", "CATSEYE_DATA_DIR")}
    os.environ["CATSEYE_DATA_DIR"] = str(folder / "data")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
    settings = Settings(data_dir=folder / "data")
    stack = Stack(settings, services=[service for service in PASSING if service.name in SERVICES])
    try:
        plan = stack.up()
        settings = settings.model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
        make_keys(key_folder(settings))
        register_without_rollout(
            settings, codec_for(settings), MODEL.read_bytes(), "champion", by="a bench", because="start"
        )
        quitters = [f"quits-{fault}" for fault in wanted]
        with Load(settings, [*(f"cam-{number}" for number in range(6)), *quitters]) as load:
            time.sleep(LEARNED_S)
            for fault, quits in zip(wanted, quitters, strict=True):
                load.cameras.remove(quits)
                began_ms = round(time.time() * 1_000)
                with _fault(stack, fault):
                    time.sleep(stall_s)
                time.sleep(AFTER_S)
                until_s = time.monotonic() + CAUGHT_UP_S
                while True:
                    row = row_of(fault, stall_s, began_ms, alerts_of(settings), quits)
                    if is_over(row) or time.monotonic() > until_s:
                        break
                    time.sleep(EVERY_S)
                report.rows.append(row | _ended(stack, logs))
                options.progress.print(report.rows[-1])
            report.notes.append(f"{load.refused} frames and labels were refused by the broker")
    finally:
        _keep_logs(folder)
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.update({name: value for name, value in before.items() if value is not None})
    return report


def _ended(stack: Stack, logs: Path) -> Row:
    """Starts of services so far beyond the first ones, and how many were ended because they hung."""
    starts = sum(process.starts for name in SERVICES for process in stack.processes(name)) - len(SERVICES)
    hung = sum(log.read_text().count('"event": "stuck"') for log in logs.glob("**/*-0.log"))
    return {"restarts": starts, "hung": hung}


@contextmanager
def _fault(stack: Stack, fault: str) -> Iterator[None]:
    if fault == "starved":
        with starved():
            yield
    elif fault == "broker":
        stack.cluster().pause()
        try:
            yield
        finally:
            stack.cluster().resume()
    else:
        pids = [process.pid for process in stack.processes(fault)]
        if not pids:
            raise BenchError(f"{fault} does not run")
        with stopped(pids):
            yield


def _keep_logs(folder: Path) -> None:
    """The logs of the last run, for whoever asks why."""
    kept = BUILT / "bench" / "stalls-logs"
    shutil.rmtree(kept, ignore_errors=True)
    for log in folder.glob("data/**/*.log"):
        if "kafka" not in str(log.relative_to(folder)):
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, kept / log.name)
