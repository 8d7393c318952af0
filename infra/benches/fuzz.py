"""Requests of every shape, made by schemathesis from the gateway's OpenAPI, to a gateway on real servers: no 5xx.

503 is what the gateway says while a server behind it is away; none is here.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from infra.benches import harness
from infra.benches.harness import BenchError, Figure, Options, Report
from infra.benches.predict import stack_with_gateway

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
        command = [
            str(Path(python).with_name("schemathesis")),
            "run",
            f"{stack.plan.pages.rstrip('/')}/openapi.json",
            "--checks=not_a_server_error",
            "--phases=coverage,fuzzing",
            f"--max-examples={SHORT_EXAMPLES if options.short else EXAMPLES}",
            "--exclude-path=/v1/events",  # it ends when the reader goes
            "--request-timeout=30",
            "--generation-database=none",
            "--no-color",
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
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
