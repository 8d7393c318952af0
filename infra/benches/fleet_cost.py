"""Figure 13: what a prediction costs the drift service in a fleet of 10, 1,000 and 10,000 cameras.

From decoded predictions to the state that a transaction would write, `DriftCore.on_predictions` and `Cameras.changes`,
in transactions of 500 frames that go round the cameras. All references are whole, so that every frame is tested.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.records import Prediction
from infra.benches import harness
from infra.benches.fleet_road import CLASSES, START_MS
from infra.benches.harness import Figure, Options, Row
from infra.benches.jpeg import one_core
from services.drift.core import DriftCore
from services.drift.layout import layout_of
from services.drift.rules import Rules

SIZES: Final = (10, 1_000, 10_000)
SHORT_SIZES: Final = (10, 100)
STATE_BYTES: Final = 8_192
_FRAMES_A_TRANSACTION: Final = 500
_TRANSACTIONS, _SHORT_TRANSACTIONS = 40, 2
_FEW: Final = 100
"""Frames of a reference: that the cameras are done with learning is all that is wanted of them here."""


class Load:
    """A fleet that has learned, and predictions of it.

    Args:
        cameras: How many.
    """

    def __init__(self, cameras: int) -> None:
        self._rng = np.random.default_rng(cameras)
        self._core = DriftCore(Rules(reference_samples=_FEW, reference_span_ms=0))
        self._cameras = self._core.new_state()
        self._templates = [_template(camera) for camera in range(cameras)]
        self._sent = 0
        # One camera learns; the others are as it is: what a frame costs does not depend on what was learned.
        first = self._templates[:1]
        for _ in range(_FEW + 1):
            self._core.on_predictions([(self._cameras, self._next(each)) for each in first])
        table = self._cameras.table
        for each in self._templates[1:]:
            row = self._cameras.row(each.camera)
            table.reference[row], table.watch[row] = table.reference[0], table.watch[0]
        self._cameras.commit()

    def predictions(self) -> list[Prediction]:
        """Those of one transaction."""
        count = len(self._templates)
        return [self._next(self._templates[self._sent % count]) for _ in range(_FRAMES_A_TRANSACTION)]

    def transaction(self, predictions: Sequence[Prediction]) -> int:
        """Take them as the service does; returns the bytes that the state topic would get."""
        self._core.on_predictions([(self._cameras, each) for each in predictions])
        written = sum(len(key) + len(value or b"") for key, value in self._cameras.changes())
        self._cameras.commit()
        return written

    def _next(self, template: Prediction) -> Prediction:
        self._sent += 1
        noise = self._rng.standard_normal(20)
        at_ms = START_MS + self._sent * 10
        return replace(
            template,
            received_at_ms=at_ms,
            captured_at_ms=at_ms,
            predicted_at_ms=at_ms + 20,
            brightness=float(0.4 + 0.02 * noise[16]),
            contrast=float(0.2 + 0.01 * noise[17]),
            perceptual_hash=int(self._rng.integers(-(2**63), 2**63)),
            embedding=noise[:16].tolist(),
        )


def _template(camera: int) -> Prediction:
    others = 0.08 / (len(CLASSES) - 1)
    return Prediction(
        camera=f"camera-{camera:05}",
        boot="b",
        sequence=0,
        captured_at_ms=0,
        received_at_ms=0,
        predicted_at_ms=0,
        prediction_id=digest("bench", camera),
        model="road",
        version="v1",
        role="champion",
        frame_partition=0,
        frame_offset=1,
        label=CLASSES[0],
        probabilities={name: 0.92 if name == CLASSES[0] else others for name in CLASSES},
        brightness=0.4,
        contrast=0.2,
        sharpness=0.1,
        dark_share=0.05,
        bright_share=0.05,
        perceptual_hash=0,
        model_sha256="0" * 64,
        embedding=[0.0] * 16,
    )


def block(load: Load, side: str, transactions: int) -> Row:
    """Time *transactions* of a fleet; what makes the predictions is not counted."""
    cpu_ns = written = 0
    for _ in range(transactions):
        predictions = load.predictions()
        began_ns = time.process_time_ns()
        written += load.transaction(predictions)
        cpu_ns += time.process_time_ns() - began_ns
    frames = transactions * _FRAMES_A_TRANSACTION
    return {"side": side, "frames": frames, "cpu_us": cpu_ns / frames / 1e3, "state_bytes": written / frames}


def measured(options: Options) -> tuple[list[Figure], list[Row], list[str]]:
    """Figures, raw rows and notes."""
    sizes = SHORT_SIZES if options.short else SIZES
    transactions = _SHORT_TRANSACTIONS if options.short else _TRANSACTIONS
    names = {f"ours, {size:,} cameras": size for size in sizes}
    loads = {name: Load(size) for name, size in names.items()}
    blocks: dict[str, Callable[[], Row]] = {
        name: partial(block, load, name, transactions) for name, load in loads.items()
    }
    order = harness.passes(list(blocks), 1 if options.short else harness.PAIRS)
    with one_core():
        rows = harness.measured(order, blocks, options.progress)
    first, *others = names
    figures = []
    for name in others:
        pair = harness.paired(rows, {"side": name}, {"side": first}, "cpu_us")
        figures.append(Figure(f"CPU a frame: {names[name]:,} cameras / {names[first]}", harness.ratio(*pair), 1.1))
    layout = layout_of(len(CLASSES))
    state = layout.reference.itemsize + layout.watch.itemsize
    figures.append(Figure("state a camera / 8 KB", harness.ratio([state], [STATE_BYTES]), 1.0))
    learns = state + layout.learning.itemsize
    # Why it is more: decision 0018.
    figures.append(Figure("state a camera that learns / 8 KB", harness.ratio([learns], [STATE_BYTES]), 1.14))
    notes = [
        f"state of a camera: reference {layout.reference.itemsize:,}, watch {layout.watch.itemsize:,} and, till its "
        f"first reference is whole, learning {layout.learning.itemsize:,} bytes",
        "of it written: "
        + ", ".join(
            f"{np.median([float(row['state_bytes']) for row in rows if row['side'] == name]):,.0f} bytes a frame with "
            f"{size:,} cameras"
            for name, size in names.items()
        )
        + f", {_FRAMES_A_TRANSACTION} frames a transaction",
    ]
    return figures, rows, notes
