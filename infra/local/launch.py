"""Starts a command of infra/: ``python -m infra.local.launch MODULE ARGUMENT…`` calls *MODULE*'s `run`.

What a command imports takes a second, on a busy machine several. Ctrl-C ends it then at once and without a traceback of
imports; from `run` on it is the command's to answer.
"""

import signal
import sys
from importlib import import_module


def main() -> None:
    """Run the command that the command line names, and exit with what it returns."""
    heeds = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a script started it with `&`
    if heeds:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = import_module(sys.argv[1])
    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(command.run(sys.argv[2:]))


if __name__ == "__main__":
    main()
