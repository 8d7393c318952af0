"""What pyproject.toml asks for is what is imported: by the bare wheel, and by each extra's part of the library."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "shared" / "catseye"
# Module or package of the library to the extras that bring what it imports, "" the bare wheel; the nearest name counts.
EXTRAS = {
    "catseye": ("",),
    "catseye.contract.heads": ("", "service"),  # for services that decode whole batches; no client does
    "catseye.kafka.registry_client": ("", "registry"),
    "catseye.runtime": ("", "service"),
    "catseye.view": ("", "service"),
    "catseye.rights": ("",),
    "catseye.models": ("", "models"),
    "catseye.onnx_files": ("", "models"),  # and of "video", whose catseye.roads imports it
    "catseye.ops": ("", "cli"),
    "catseye.cli": ("", "cli"),
    "catseye.cli.video": ("", "cli", "video"),
    "catseye.cli.roadside": ("", "cli", "video"),
    "catseye.cli.roadside_health": ("", "cli", "video"),
    "catseye.roads": ("", "video"),
    "catseye.video": ("", "video"),
}
INSTALLED = packages_distributions()
# A part of a package that only an extra of its brings.
PARTS = {"confluent_kafka.schema_registry": "confluent-kafka[schemaregistry]"}


class Imported(NamedTuple):
    """One import.

    Attributes:
        by: Module that imports.
        name: What it imports, in full.
        lazily: Whether a function does, so that importing the module alone does without.
    """

    by: str
    name: str
    lazily: bool


def imports_of(name: str, source: str) -> Iterator[Imported]:
    """Imports of a module, but for those of types alone."""

    def walk(node: ast.AST, *, lazily: bool) -> Iterator[Imported]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (Imported(name, alias.name, lazily) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "no import here is relative"
            # Whatever is taken from a package of ours may be a module of it.
            yield from (Imported(name, f"{node.module}.{alias.name}", lazily) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, lazily=lazily or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    return walk(ast.parse(source), lazily=False)


def library() -> dict[str, list[Imported]]:
    """Every module of the library and its imports."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        name = ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")
        found[name] = list(imports_of(name, path.read_text()))
    return found


def declared() -> dict[str, set[str]]:
    """Distributions that each extra asks for, "" the bare wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: {re.split("[>=<~]", each)[0] for each in asked} for extra, asked in lists.items()}


def extras_of(module: str) -> tuple[str, ...]:
    """The extras that bring what *module* imports."""
    while module not in EXTRAS:
        module = module.rpartition(".")[0]
    return EXTRAS[module]


def brought(asked: Mapping[str, set[str]], module: str) -> set[str]:
    """Distributions that are there with the extras of *module*."""
    return {each for extra in extras_of(module) for each in asked[extra]}


def distribution_of(name: str) -> str | None:
    """The distribution that has the module *name*; None for the standard library's and our own."""
    root = name.partition(".")[0]
    if root == "catseye" or root in sys.stdlib_module_names:
        return None
    for part, distribution in PARTS.items():
        if name == part or name.startswith(f"{part}."):
            return distribution
    return INSTALLED.get(root, [root])[0].replace("_", "-").lower()


def undeclared(modules: Mapping[str, list[Imported]], asked: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Module and distribution, where what is imported is not asked for by the bare wheel or the module's extra."""
    return {
        (each.by, distribution)
        for imports in modules.values()
        for each in imports
        if (distribution := distribution_of(each.name)) and distribution not in brought(asked, each.by)
    }


def unreachable(modules: Mapping[str, list[Imported]], asked: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Module and distribution, where importing the module needs one that its extra does not bring."""
    return {
        (module, distribution)
        for module in modules
        for distribution in needed(modules, module)
        if distribution not in brought(asked, module)
    }


def needed(modules: Mapping[str, list[Imported]], module: str) -> set[str]:
    """Distributions without which *module* cannot be imported."""
    found: set[str] = set()
    seen, todo = set[str](), [module]
    while todo:
        if (name := todo.pop()) in seen:
            continue
        seen.add(name)
        for each in modules[name]:
            if each.lazily:
                continue
            if distribution := distribution_of(each.name):
                found.add(distribution)
            todo += [ours for ours in (each.name, each.name.rpartition(".")[0]) if ours in modules]
    return found


def unused(modules: Mapping[str, list[Imported]], asked: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Extra and distribution, where what is asked for is imported by nothing that the extra is for."""
    used: dict[str, set[str]] = {extra: set() for extra in asked}
    for module, imports in modules.items():
        own = {distribution for each in imports if (distribution := distribution_of(each.name))}
        used[extras_of(module)[-1]] |= needed(modules, module) | own
    return {(extra, each) for extra, listed in asked.items() for each in listed if each not in used[extra]}


@pytest.mark.slow
def test_what_is_imported_is_asked_for() -> None:
    """By the list of the part that imports it, also inside a function; and by that of whoever imports this part."""
    assert undeclared(library(), declared()) == set()
    assert unreachable(library(), declared()) == set()


def test_what_is_asked_for_is_imported() -> None:
    """By the part that it is for."""
    assert unused(library(), declared()) == set()


@pytest.mark.parametrize(
    ("module", "source", "missing"),
    [
        ("catseye.client.loud", "import numpy as np", {("catseye.client.loud", "numpy")}),
        ("catseye.kafka.loud", "def f():\n    from rich.table import Table", {("catseye.kafka.loud", "rich")}),
        ("catseye.cli.loud", "from onnxruntime import InferenceSession", {("catseye.cli.loud", "onnxruntime")}),
        (
            "catseye.kafka.loud",
            "import confluent_kafka.schema_registry as r",
            {("catseye.kafka.loud", PARTS["confluent_kafka.schema_registry"])},
        ),
        ("catseye.client.loud", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy", set()),
        ("catseye.runtime.loud", "import numpy.typing, structlog, confluent_kafka, json", set()),
    ],
)
def test_an_import_that_is_not_asked_for_is_seen(module: str, source: str, missing: set[tuple[str, str]]) -> None:
    """Negative control, and what needs no asking."""
    assert undeclared({module: list(imports_of(module, source))}, declared()) == missing


def test_a_package_that_comes_by_another_module_is_seen() -> None:
    """Negative control: a part of the SDK that takes something from a part that needs more."""
    modules = library()
    modules["catseye.client.loud"] = list(imports_of("catseye.client.loud", "from catseye.models import signing"))
    assert unreachable(modules, declared()) == {("catseye.client.loud", "cryptography")}


def test_a_package_that_nothing_imports_is_seen() -> None:
    """Negative control."""
    asked = declared()
    asked[""].add("leftpad")
    asked["cli"].add("numpy")  # imported, but not by commands
    assert unused(library(), asked) == {("", "leftpad"), ("cli", "numpy")}
