"""The locked requirements hold all that each supported Python needs, so that pip takes them by hash."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parents[2] / "infra/requirements"
PYTHONS = ("3.11", "3.12", "3.13")
Pins = dict[str, Requirement]


def lines(file: str) -> list[str]:
    """Requirements in a file, without comments and hashes."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    return [each for each in re.findall(r"^[A-Za-z][^\\#\n]*", text, flags=re.MULTILINE) if each.strip()]


def environment(python: str) -> dict[str, str]:
    """Linux, with another Python."""
    return {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}  # type: ignore[dict-item]


def pins(file: str, python: str) -> Pins:
    """What a lock installs with *python*, by name."""
    found = [Requirement(each) for each in lines(file)]
    wanted = [each for each in found if each.marker is None or each.marker.evaluate(environment(python))]
    return {canonicalize_name(each.name): each for each in wanted}


def missing(roots: list[str], pinned: Pins, python: str) -> Iterator[str]:
    """What the packages that are installed here ask for with *python* and *pinned* does not give."""
    waiting, seen = [Requirement(each) for each in roots], set[tuple[str, frozenset[str]]]()
    while waiting:
        asked = waiting.pop()
        name, extras = canonicalize_name(asked.name), frozenset(asked.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in pinned:
            yield f"{asked} is not pinned"
            continue
        (version,) = (each.version for each in pinned[name].specifier)
        if not asked.specifier.contains(version, prereleases=True):
            yield f"{asked}, and {version} is pinned"
        if extras - pinned[name].extras and asked not in roots:
            yield f"{asked} is pinned without its extras, which pip refuses by hash"
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # not with the Python that runs this test
            continue
        for need in map(Requirement, needs):
            values = [environment(python) | {"extra": extra} for extra in extras or ("",)]
            if need.marker is None or any(need.marker.evaluate(each) for each in values):
                waiting.append(need)


def given(kind: str) -> list[str]:
    """What people ask for."""
    return lines(f"{kind}.in") + (lines("runtime.in") if kind == "test" else [])


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("kind", ["runtime", "edge", "test"])
def test_all_that_is_needed_is_pinned(kind: str, python: str) -> None:
    """With its extras, where another package asks for them: older versions of pip refuse the file otherwise."""
    roots = [Requirement(each) for each in given(kind)]
    pinned = pins(f"{kind}.txt", python)
    for root in roots:  # pip is given the lock alone, so that what a person asked for counts with the extras there
        pinned[canonicalize_name(root.name)].extras |= root.extras
    assert list(missing(given(kind), pinned, python)) == []


@pytest.mark.parametrize("python", PYTHONS)
def test_a_lock_that_lacks_something_is_noticed(python: str) -> None:
    """Negative control: a package that is not there, an older one, extras that were stripped."""
    for broken, why in (
        (None, "is not pinned"),
        (Requirement("coverage[toml]==1.0"), "1.0 is pinned"),
        (Requirement("coverage==7.17.3"), "without its extras"),
    ):
        pinned = pins("test.txt", python)
        del pinned["coverage"]
        assert any(
            why in each for each in missing(["pytest-cov"], pinned | ({"coverage": broken} if broken else {}), python)
        )


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.txt")))
def test_a_lock_names_one_version_and_its_hashes(file: str) -> None:
    """For each package, of whatever Python."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(lines(file)) > 0
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+(\[[^\]]+\])?==[^ ]+( ;[^\\]*)? \\\n +--hash=sha256:[0-9a-f]{64}", block), (
            block[:80]
        )


def test_sql_numbers_no_values() -> None:
    """Python 3.12.1 takes a value by number (`?1`) for one by name, and warns; 3.11 and 3.13.0 say nothing."""
    numbered = re.compile(r"\?\d")
    assert numbered.search("UPDATE kept SET id = ?1"), "control"
    root = FOLDER.parents[1]
    files = [path for folder in ("shared", "services", "infra") for path in sorted((root / folder).rglob("*.py"))]
    sources = {path: text for path in files if "sqlite3" in (text := path.read_text(encoding="utf-8"))}
    assert sources
    assert [path.name for path, text in sources.items() if numbered.search(text)] == []
