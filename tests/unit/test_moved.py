"""Programs that were written before the library lay in parts go on: what they import is what it is called today."""

import sys
from importlib import import_module

import pytest

from catseye import MOVED
from catseye.kafka import MOVED as MOVED_OF_KAFKA


@pytest.mark.parametrize("before", MOVED)
def test_a_module_is_found_under_its_former_name(before: str) -> None:
    """The same module, so that an error that is raised is the one that is caught; with a warning, once."""
    sys.modules.pop(before, None)
    with pytest.warns(DeprecationWarning, match=f"{before} is {MOVED[before]} now"):
        found = import_module(before)
    assert found is import_module(MOVED[before])
    assert found.__name__ == MOVED[before]


@pytest.mark.parametrize("name", MOVED_OF_KAFKA)
def test_a_part_of_a_module_is_found_where_it_was(name: str) -> None:
    """With a warning."""
    with pytest.warns(DeprecationWarning, match=f"{name} is in catseye.kafka.{MOVED_OF_KAFKA[name]} now"):
        found = getattr(import_module("catseye.kafka"), name)
    assert found is getattr(import_module(f"catseye.kafka.{MOVED_OF_KAFKA[name]}"), name)


def test_what_never_was_is_not_there() -> None:
    """As anywhere."""
    with pytest.raises(ModuleNotFoundError):
        import_module("catseye.nothing")
    with pytest.raises(AttributeError):
        _ = import_module("catseye.kafka").nothing
