"""A file is whole or as it was; what is said of a full disk names the folder and what to do."""

import errno
from pathlib import Path

import pytest

from infra.local.files import reason, write_whole


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """And no half of a file beside it."""
    path = tmp_path / "cluster.json"
    write_whole(path, b"before", mode=0o600)
    (tmp_path / "cluster.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/run/stack.json.new"),
            "the disk of /d is full: make room there, then the same command goes on",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/d/run"), "/d/run: Permission denied"),
    ],
)
def test_a_fault_of_a_file_is_one_sentence(fault: OSError, expected: str) -> None:
    """With the remedy where it is known."""
    assert reason(fault, Path("/d")) == expected
