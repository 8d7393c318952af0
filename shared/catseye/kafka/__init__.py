"""How the broker is reached: clients and their settings, topics, the schema registry."""

from typing import Any, Final

MOVED: Final = {
    "client_config": "clients",
    "reader_config": "clients",
    "create_topics": "admin",
    "topic_config": "admin",
}
"""What this was when it was one module: programs that import it go on, as with `catseye.MOVED`."""


def __getattr__(name: str) -> Any:
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import warnings  # noqa: PLC0415 - not needed by who uses the names of today
    from importlib import import_module  # noqa: PLC0415

    warnings.warn(f"{__name__}.{name} is in {__name__}.{MOVED[name]} now", DeprecationWarning, stacklevel=2)
    return getattr(import_module(f"{__name__}.{MOVED[name]}"), name)
