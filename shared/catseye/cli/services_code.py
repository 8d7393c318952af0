"""Runs a command that is part of a service's code: the library has none of it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from catseye.contract.errors import Misconfigured


def run_service(module: str, argv: Sequence[str], *, needs: Sequence[str], what: str, command: str) -> int:
    """Run ``python -m MODULE ARGV`` in a process of its own; returns its exit status.

    Args:
        module: Part of `services`.
        argv: Its arguments.
        needs: Packages that it needs beside the library's.
        what: What needs the services' code, for a sentence: ``a replay``.
        command: As people call it.

    Raises:
        Misconfigured: the code is not here, or a package is not installed.
    """
    folder = _root(module, what, command)
    if missing := [name for name in needs if find_spec(name) is None]:
        raise Misconfigured(
            f"{what} runs the services' code, which needs {', '.join(missing)}: "
            f"`pip install -r {folder / 'infra' / 'requirements' / 'runtime.txt'}` installs it"
        )
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-m", module, *argv], check=False, env=os.environ | {"PYTHONPATH": path})
    return done.returncode


def _root(module: str, what: str, command: str) -> Path:
    """The folder that holds `services/`: the working folder, or the checkout that this command is of."""
    package = "/".join(module.split(".")[:2])
    for folder in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (folder / package / "__main__.py").is_file():
            return folder
    raise Misconfigured(
        f"the services' code, which {what} runs, is not here: call `{command}` in a checkout of Catseye"
    )
