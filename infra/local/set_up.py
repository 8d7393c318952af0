"""Installs what only some runs need, once it is known that this run needs it."""

import subprocess

from catseye.contract.errors import Unavailable
from infra.local.jvm import ROOT
from infra.local.services import ENVIRONMENTS_OF_THE_LOOP

_SCRIPT = 'source infra/bootstrap.sh; for environment in "$@"; do need_python "$environment"; done'


def need_loop() -> None:
    """Have the packages of the loop, torch among them: some minutes the first time, later milliseconds.

    Called after settings and options were judged: nobody waits for torch to be told of a slip of the pen.

    Raises:
        Unavailable: They could not be installed; the reason is on standard error.
    """
    called = ["bash", "-euo", "pipefail", "-c", _SCRIPT, "set-up", *ENVIRONMENTS_OF_THE_LOOP]
    installing = subprocess.Popen(called, cwd=ROOT)
    try:
        installing.wait()
    finally:
        installing.wait()  # Ctrl-C reaches it too, and it says what it left
    if installing.returncode:
        raise Unavailable("the packages of the loop are not there, see above; the same command goes on")
