"""The entries of many predictions, packed at once: byte for byte what `services.ground_truth.entry` makes of each."""

import numpy as np
from numpy.typing import NDArray

from catseye.contract.heads import Heads, text_bytes
from services.ground_truth.entry import DELAY_MAX_MS, FULL, NEVER_MS, SHADOW_CLASSES, SHADOW_FULL

Floats = NDArray[np.float64]


class EntryBatch:
    """Predictions whose versions have the same classes and were written with the same names.

    Args:
        of_shadow: Whether shadows predicted.
        classes: Of the versions, as the state has them.
        names: Of the probabilities, in the order in which they were written.

    Attributes:
        places: Where each stands in the batch.
        rows: Where each stands in the heads.
    """

    def __init__(self, of_shadow: bool, classes: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.places: list[int] = []
        self.rows: list[int] = []
        self._models: list[int] = []
        self._predicted: list[int] = []
        self._of_shadow = of_shadow
        self._number = {text_bytes(name): number for number, name in enumerate(classes)}
        # One beyond the names for what was not named: there stands 0.
        self._columns = [names.index(name) if name in names else len(names) for name in classes]

    def add(self, place: int, row: int, model: int, label: bytes) -> bool:
        """Take a prediction of a model's number and with a label as it is written; False where that is no class."""
        predicted = self._number.get(label)
        if predicted is None:
            return False
        self.places.append(place)
        self.rows.append(row)
        self._models.append(model)
        self._predicted.append(predicted)
        return True

    def packed(self, heads: Heads) -> list[bytes]:
        """The entry of each, in order."""
        if not self.rows:
            return []
        rows = np.array(self.rows)
        entries = self._shadows(heads, rows) if self._of_shadow else self._champions(heads, rows)
        every_byte, size = entries.tobytes(), entries.itemsize
        return [every_byte[at : at + size] for at in range(0, len(every_byte), size)]

    def _champions(self, heads: Heads, rows: NDArray[np.intp]) -> NDArray[np.void]:
        of = {name: heads.columns[name].numbers[rows] for name in _NUMBERS}
        received = of["received_at_ms"]
        entries = np.zeros(len(rows), _layout(len(self._columns)))
        entries["received_at_ms"] = received
        entries["captured_at_ms"] = of["captured_at_ms"]
        entries["frame_offset"] = of["frame_offset"]
        entries["predict_delay_ms"] = np.clip(of["predicted_at_ms"] - received, 0, DELAY_MAX_MS)
        entries["model_no"] = self._models
        entries["predicted_no"] = self._predicted
        entries["brightness"] = np.rint(of["brightness"].astype(np.float64) * 255)
        entries["labelled_at_ms"] = NEVER_MS
        entries["probabilities"] = _steps(self._probabilities(heads, rows), FULL)
        return entries

    def _shadows(self, heads: Heads, rows: NDArray[np.intp]) -> NDArray[np.void]:
        steps = _steps(self._probabilities(heads, rows), SHADOW_FULL)
        entries = np.zeros(len(rows), _shadow_layout(min(len(self._columns), SHADOW_CLASSES)))
        entries["received_at_ms"] = heads.columns["received_at_ms"].numbers[rows]
        entries["model_no"] = self._models
        entries["predicted_no"] = self._predicted
        entries["predicted"] = steps[np.arange(len(rows)), self._predicted]
        entries["probabilities"] = steps[:, :SHADOW_CLASSES]
        return entries

    def _probabilities(self, heads: Heads, rows: NDArray[np.intp]) -> Floats:
        """Of each class, [n, classes]; 0 where the prediction does not name it."""
        named = heads.columns["probabilities"].numbers[rows].astype(np.float64)
        return np.pad(named, ((0, 0), (0, 1)))[:, self._columns]


_NUMBERS = ("received_at_ms", "captured_at_ms", "frame_offset", "predicted_at_ms", "brightness")


def _steps(probabilities: Floats, full: int) -> NDArray[np.int64]:
    return np.minimum((probabilities * full + 0.5).astype(np.int64), full)


_FIXED = [
    *((name, "<i8") for name in ("received_at_ms", "captured_at_ms", "frame_offset")),
    ("predict_delay_ms", "<u4"),
    *((name, "<u2") for name in ("model_no", "predicted_no")),
    ("brightness", "u1"),
]
FIXED = np.dtype(_FIXED)
"""An `entry.Entry` as it is packed, up to what its label changes."""


def _layout(classes: int) -> np.dtype[np.void]:
    of_label = [("flags", "u1"), ("labelled_at_ms", "<i8"), ("digest", "V8")]
    return np.dtype([*_FIXED, *of_label, ("probabilities", "<u2", (classes,))])


def _shadow_layout(classes: int) -> np.dtype[np.void]:
    """As `entry.ShadowEntry` is packed."""
    names = ("model_no", "predicted_no")
    return np.dtype(
        [
            ("received_at_ms", "<i8"),
            *((name, "<u2") for name in names),
            ("predicted", "u1"),
            ("probabilities", "u1", (classes,)),
        ]
    )
