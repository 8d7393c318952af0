"""`catseye.models.store`: what is at an address is what was put there, or an error."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from catseye.contract.errors import BadModel, Unavailable
from catseye.models.store import ArtifactStore

CONTENT = b"a model file"
NAME = sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """In a folder that is not there yet."""
    return ArtifactStore(f"file://{tmp_path / 'artifacts'}")


def files_of(folder: Path) -> list[str]:
    """Every file, by its path in the folder."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]


def test_what_is_put_is_got(store: ArtifactStore) -> None:
    """Under its own hash."""
    assert store.put(CONTENT) == NAME
    assert store.get(NAME) == CONTENT


def test_putting_twice_keeps_one(store: ArtifactStore, tmp_path: Path) -> None:
    """Nothing half-written is left over, and what is there is not written again."""
    store.put(CONTENT)
    before = (tmp_path / "artifacts" / NAME[:2] / NAME).stat().st_mtime_ns
    store.put(CONTENT)
    assert files_of(tmp_path) == [f"artifacts/{NAME[:2]}/{NAME}"]
    assert (tmp_path / "artifacts" / NAME[:2] / NAME).stat().st_mtime_ns == before


def test_half_a_file_of_a_crash_is_no_file(store: ArtifactStore, tmp_path: Path) -> None:
    """What a writer left before it gave the file its name is not read, and is replaced."""
    folder = tmp_path / "artifacts" / NAME[:2]
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(CONTENT[:3])
    with pytest.raises(Unavailable, match=NAME):
        store.get(NAME)
    store.put(CONTENT)
    assert (store.get(NAME), files_of(folder)) == (CONTENT, [NAME])


class Meanwhile:
    """Files of a store, between whose writing and naming something happens."""

    def __init__(self, files: Any, then: Callable[[], object]) -> None:
        self._files = files
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def mv(self, part: str, path: str) -> None:
        """Something happens, then the file gets its name."""
        self._then()
        self._files.mv(part, path)


def test_writers_of_one_artifact_do_not_meet(store: ArtifactStore, tmp_path: Path) -> None:
    """Another writer begins and ends while this one is half-way: both are done, one file is there."""
    url = f"file://{tmp_path / 'artifacts'}"
    files = vars(store)["_files"]
    vars(store)["_files"] = Meanwhile(files, lambda: ArtifactStore(url).put(CONTENT))
    assert store.put(CONTENT) == NAME
    assert (store.get(NAME), files_of(tmp_path)) == (CONTENT, [f"artifacts/{NAME[:2]}/{NAME}"])


def test_a_part_is_one_writers_own(store: ArtifactStore, tmp_path: Path) -> None:
    """Two that are half-way at once write into two parts; that of another artifact is left alone."""
    folder, files, seen = tmp_path / "artifacts" / NAME[:2], vars(store)["_files"], list[str]()
    folder.mkdir(parents=True)
    (folder / f"{'0' * 64}.part").touch()

    def check() -> None:
        seen.extend(files_of(folder))

    def second_writer() -> None:
        other = ArtifactStore(f"file://{tmp_path / 'artifacts'}")
        vars(other)["_files"] = Meanwhile(files, check)
        other.put(CONTENT)

    vars(store)["_files"] = Meanwhile(files, second_writer)
    store.put(CONTENT)
    assert (len(set(seen)), [name[:64] for name in seen].count(NAME)) == (3, 2)
    assert files_of(folder) == [f"{'0' * 64}.part", NAME]


def test_a_part_that_goes_and_leaves_no_file_is_an_error(store: ArtifactStore, tmp_path: Path) -> None:
    """Somebody empties the folder: nothing was kept, and that is said."""
    files = vars(store)["_files"]

    def empty() -> None:
        for path in (tmp_path / "artifacts").rglob("*.part"):
            path.unlink()

    vars(store)["_files"] = Meanwhile(files, empty)
    with pytest.raises(FileNotFoundError):
        store.put(CONTENT)


def test_a_file_that_is_not_there_may_come(store: ArtifactStore) -> None:
    """A store that copies lags behind the event that names the file: wait for it."""
    with pytest.raises(Unavailable, match="has no 0000"):
        store.get("0" * 64)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"!"])
def test_other_bytes_are_refused(store: ArtifactStore, tmp_path: Path, content: bytes) -> None:
    """Damaged or exchanged: the hash says so."""
    store.put(CONTENT)
    (tmp_path / "artifacts" / NAME[:2] / NAME).write_bytes(content)
    with pytest.raises(BadModel, match="other bytes"):
        store.get(NAME)


def test_a_name_leads_nowhere_else(store: ArtifactStore, tmp_path: Path) -> None:
    """A path in place of a hash may find a file, and never one with that hash."""
    store.put(CONTENT)
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises((BadModel, Unavailable)):
        store.get("../../secret")


def test_any_place_that_fsspec_knows_will_do() -> None:
    """Memory stands for the object stores."""
    store = ArtifactStore("memory://fleet/artifacts")
    assert store.get(store.put(CONTENT)) == CONTENT
