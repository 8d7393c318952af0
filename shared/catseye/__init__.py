"""Catseye: what the services share and what people install."""

import os

# onnxruntime's builds tell Microsoft about each process and model (its Privacy.md); set before it is imported, this
# stops that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
