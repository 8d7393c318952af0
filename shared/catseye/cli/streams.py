"""Standard output and error of a command."""

import sys
from io import TextIOWrapper


def print_anything() -> None:
    """Have standard output and error write by its number what they cannot encode: a name ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
