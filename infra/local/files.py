"""Files that are whole or not there at all, and what is said of a disk that is full."""

import errno
import os
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NEEDED_BYTES = 32 * 2**20
"""A broker that starts makes files of 10 MiB; with less than this it ends or soon will."""


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file beside *path* and rename it: on a full disk, or when this is killed, what was there before stays.

    Raises:
        OSError: It cannot be written; `errno.ENOSPC` when the disk is full.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.touch(mode=mode)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def reason(fault: OSError, folder: Path) -> str:
    """Say in one sentence why a file could not be written; *folder* is where the stack keeps its files."""
    if fault.errno in _NO_ROOM:
        return f"the disk of {folder} is full: make room there, then the same command goes on"
    return f"{fault.filename or folder}: {fault.strerror or fault}"


def if_full(folder: Path) -> str:
    """What to add to the word of a program that ended: that its disk is full, or nothing."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    return f"; its disk is full, {free / 2**20:.0f} MiB are left in {folder}: make room" if free < _NEEDED_BYTES else ""
