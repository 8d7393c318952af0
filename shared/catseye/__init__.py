"""Catseye: what the services share and what people install."""

import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

# onnxruntime's builds tell Microsoft about each process and model (its Privacy.md); set before it is imported, this
# stops that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

MOVED: Final = {
    "catseye.codec": "catseye.contract.codec",
    "catseye.errors": "catseye.contract.errors",
    "catseye.identity": "catseye.contract.identity",
    "catseye.model_check": "catseye.models.check",
    "catseye.records": "catseye.contract.records",
    "catseye.topics": "catseye.contract.topics",
}
"""Names that README and scripts had for modules before the library lay in parts: programs that import them go on."""


class _Moved:
    """Finds modules under their former names, with a warning; it is asked only for what is not there otherwise."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """An empty one, for a moment."""

    def exec_module(self, module: ModuleType) -> None:
        import warnings  # noqa: PLC0415 - as importlib, not needed by who uses the names of today
        from importlib import import_module  # noqa: PLC0415

        now = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is {now} now", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(now)


sys.meta_path.append(_Moved())
