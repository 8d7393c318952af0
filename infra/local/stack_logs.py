"""What the processes of a stack wrote: `infra/stack logs`."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from catseye.contract.errors import Misconfigured
from infra.local.service_processes import logs_of

POLL_S = 0.2
_BLOCK = 2**20
"""Bytes at the end of a log that are read for its newest lines."""


def sources(data_dir: Path, of: str | None) -> dict[str, Path]:
    """Return the logs of a data folder by the name of the process.

    Args:
        data_dir: The stack's folder.
        of: A service (all of its workers), one worker, `broker` or `supervisor`; None for all.

    Raises:
        Misconfigured: There is none.
    """
    found = {path.stem: path for path in logs_of(data_dir)}
    found |= {path.parent.name: path for path in sorted((data_dir / "kafka").glob("brokers-*/*/broker.log"))}
    if of is None:
        chosen = found
    else:
        chosen = {name: path for name, path in found.items() if of in (name, name.rpartition("-")[0])}
    if not chosen:
        there = f"there are {', '.join(found)}" if found else "nothing was started yet: infra/stack up does it"
        raise Misconfigured(f"there is no log{f' of {of}' if of else ''}; {there}")
    return chosen


def newest(found: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """Yield the name and a line, of the *count* newest lines of each log."""
    for name, path in found.items():
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _BLOCK))
            for line in deque(file.read().decode(errors="replace").splitlines(), maxlen=count):
                yield name, line


def follow(found: Mapping[str, Path], poll_s: float = POLL_S) -> Iterator[tuple[str, str]]:
    """Return an iterator, without an end, of the name and each line that is written from now on.

    Half a line waits for its end.
    """
    return _follow(found, {name: path.stat().st_size for name, path in found.items()}, poll_s)


def _follow(found: Mapping[str, Path], places: dict[str, int], poll_s: float) -> Iterator[tuple[str, str]]:
    while True:
        for name, path in found.items():
            size = path.stat().st_size if path.exists() else 0
            if size < places[name]:  # it was begun anew
                places[name] = 0
            if size == places[name]:
                continue
            with path.open("rb") as file:
                file.seek(places[name])
                whole, newline, _ = file.read().rpartition(b"\n")
            places[name] += len(whole) + len(newline)
            for line in whole.decode(errors="replace").splitlines():
                yield name, line
        time.sleep(poll_s)
