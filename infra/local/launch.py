"""Starts a command of infra/: ``python -m infra.local.launch MODULE ARGUMENT…`` calls *MODULE*'s `run`.

What a command imports takes a second, on a busy machine several. Ctrl-C ends it then at once and without a traceback of
imports; from `run` on it is the command's to answer.
"""

import signal
import sys
from importlib import import_module


def main() -> None:
    """Run the command that the command line names, and exit with what it returns."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = import_module(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(command.run(sys.argv[2:]))


if __name__ == "__main__":
    main()
