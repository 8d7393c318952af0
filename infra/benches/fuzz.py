"""Requests of every shape, made by schemathesis from the gateway's OpenAPI, to a gateway on real servers: no 5xx.

They come with a token of all rights, so that they reach what routes do. Before them come frames of cameras whose names
they are likely to hit on, some refused, so that there is something to read. 503 is what the gateway says while a server
behind it is away; none is here.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from catseye.rights.scopes import Scope
from catseye.rights.tokens import TokenFile
from catseye.settings import Settings, load
from infra.benches import harness
from infra.benches.harness import BenchError, Figure, Options, Report
from infra.benches.predict import CARS, Http, stack_with_gateway

CAMERAS = "0123456789ab"
_AHEAD_MS = 10 * 86_400_000
EXAMPLES, SHORT_EXAMPLES = 200, 5
_CASES = re.compile(r"(\d+) generated")
_FAILED = re.compile(r"Server error: (\d+)")


def run(options: Options) -> Report:
    """Ask a fresh stack; `infra/bench` makes the environment that schemathesis is in."""
    if (python := os.environ.get("FUZZ_PYTHON")) is None:
        raise BenchError("start it as `infra/bench fuzz`: schemathesis has an environment of its own")
    with stack_with_gateway() as stack:
        assert stack.plan is not None
        assert stack.plan.pages is not None
        _publish(Http(stack.plan.pages.rstrip("/").rpartition("/")[2], next(CARS.glob("*.jpg")).read_bytes()))
        tokens = TokenFile(load(Settings).tokens_path)
        token = tokens.create("fuzz", [Scope.ADMIN], (), time.time_ns() // 1_000_000, None)
        command = [
            str(Path(python).with_name("schemathesis")),
            "run",
            f"{stack.plan.pages.rstrip('/')}/openapi.json",
            "--checks=not_a_server_error",
            "--phases=coverage,fuzzing",
            f"--max-examples={SHORT_EXAMPLES if options.short else EXAMPLES}",
            f"--header=Authorization: Bearer {token}",
            "--exclude-path=/v1/events",  # it ends when the reader goes
            "--request-timeout=30",
            "--generation-database=none",
            "--no-color",
        ]
        with TemporaryDirectory() as folder:  # schemathesis leaves its reports where it runs
            found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if "Authentication failed" in found.stdout:
        raise BenchError("requests were refused as nobody's, and showed nothing")
    cases = _CASES.search(found.stdout)
    if cases is None:
        raise BenchError(f"schemathesis did not run: {(found.stdout + found.stderr)[-2_000:]}")
    failed = sum(map(int, _FAILED.findall(found.stdout)))
    report = Report("fuzz", machine=harness.machine(("starlette", "uvicorn")))
    report.rows.append({"requests": int(cases[1]), "faults": failed})
    report.figures.append(Figure("server errors, plus 1", harness.ratio([failed + 1], [1]), 1.0))
    if failed:
        report.notes.append(found.stdout[found.stdout.find("FAILURES") :][:4_000])
    return report


def _publish(http: Http) -> None:
    """Each camera sends a frame, and one whose clock is ahead, which is refused."""
    ahead_ms = time.time_ns() // 1_000_000 + _AHEAD_MS
    for name in CAMERAS:
        for asked in (name, f"{name}&captured_at_ms={ahead_ms}"):
            status, _ = http(asked)
            if status not in (200, 202, 422):
                raise BenchError(f"a frame of camera {name} ended with {status}")
