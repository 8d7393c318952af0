"""Installs what only some runs need, once it is known that this run needs it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

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
    need(*ENVIRONMENTS_OF_THE_LOOP)


def need(*environments: str) -> None:
    """Have the packages of some environments, as `infra/bootstrap.sh` names them.

    Raises:
        Unavailable: They could not be installed; the reason is on standard error.
    """
    called = ["bash", "-euo", "pipefail", "-c", _SCRIPT, "set-up", *environments]
    with _interrupted_later():  # Ctrl-C reaches the set-up too, and that says first what it left
        installing = subprocess.run(called, cwd=ROOT, check=False)
    if installing.returncode:
        raise Unavailable(
            f"the packages of {', '.join(environments)} are not there, see above; the same command goes on"
        )


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Ctrl-C interrupts after the body; where it is ignored, it stays so."""
    heeded, before = [], signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, _: heeded.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heeded:
        raise KeyboardInterrupt
