"""The command `catseye`, also as ``python -m catseye``."""

import sys
from importlib.util import find_spec
from pathlib import Path

MISCONFIGURED = 2


def main() -> None:
    """Run one command and exit; without the packages of commands, say in one sentence what installs them."""
    if find_spec("click") is None:
        print(  # noqa: T201 - click would do it
            "Error: the command catseye needs more packages than the library: `pip install '.[cli]'` in the folder of "
            "Catseye's sources installs them",
            file=sys.stderr,
        )
        sys.exit(MISCONFIGURED)
    from catseye.cli import main as run  # noqa: PLC0415
    from catseye.cli.checkout import enter  # noqa: PLC0415

    enter(Path.cwd(), Path(__file__).resolve().parents[2])
    run()


if __name__ == "__main__":
    main()
