"""``python -m catseye``: the same as ``catseye``."""

from catseye.cli import main

if __name__ == "__main__":
    main()
