"""One prediction that waits for its label, or had one, in as few bytes as it takes.

Layout, little-endian, version 1: received_at_ms i64, captured_at_ms i64, frame_offset i64, milliseconds from received
to predicted u32, number of the model u16, number of the predicted class u16, brightness u8, flags u8, labelled_at_ms
i64 and digest (8 bytes) of the label that holds, then one u16 a class: its probability times 65,535.

A shadow's prediction is smaller still, version 1: received_at_ms i64, number of the model u16, number of the
predicted class u16, its probability u8, then one u8 a class for the first 16: its probability times 255.
"""

from functools import cache, lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

NO_LABEL = b"\0" * 8
NEVER_MS = -(2**63)
HAD_OUTCOME = 1  # flag: an outcome of this prediction was written before
FULL = 65_535
DELAY_MAX_MS = 2**32 - 1
LABEL = Struct("<Bq8s")  # flags, labelled_at_ms, digest
LABEL_AT = Struct("<qqqIHHB").size
LABEL_END = LABEL_AT + LABEL.size
MODEL_NO = Struct("<H")
MODEL_NO_AT = Struct("<qqqI").size
RECEIVED = Struct("<q")  # stands first: expiry reads nothing else
SHADOW_FULL = 255
SHADOW_CLASSES = 16  # of a model with more, only the predicted class has a probability beyond them
_SHADOW = Struct("<qHHB")
_SHADOW_MODEL_NO_AT = RECEIVED.size


class Entry(NamedTuple):
    """A waiting prediction. Numbers of models and classes are those of the state that holds it."""

    received_at_ms: int
    captured_at_ms: int
    frame_offset: int
    predict_delay_ms: int
    model_no: int
    predicted_no: int
    brightness: int
    flags: int
    labelled_at_ms: int
    digest: bytes
    probabilities: tuple[int, ...]


@cache
def _layout(classes: int) -> Struct:
    return Struct(f"<qqqIHHBBq8s{classes}H")


def size_of(classes: int) -> int:
    """Bytes of an entry whose model has so many classes."""
    return _layout(classes).size


def pack(entry: Entry) -> bytes:
    return _layout(len(entry.probabilities)).pack(*entry[:10], *entry.probabilities)


def unpack(packed: bytes, classes: int) -> Entry:
    """Read an entry; bytes after its classes are padding."""
    fields = _layout(classes).unpack_from(packed)
    return Entry._make((*fields[:10], fields[10:]))


class ShadowEntry(NamedTuple):
    """A shadow's prediction of a frame that waits for its label; probabilities are of 255."""

    received_at_ms: int
    model_no: int
    predicted_no: int
    predicted_probability: int
    probabilities: tuple[int, ...]  # of at most 16 classes, in the order of the model

    def probability(self, class_no: int) -> float:
        """Probability of a class, 0 to 1; 0 where it was not kept."""
        if class_no == self.predicted_no:
            return self.predicted_probability / SHADOW_FULL
        return self.probabilities[class_no] / SHADOW_FULL if class_no < len(self.probabilities) else 0.0


def shadow_size_of(classes: int) -> int:
    """Bytes of a shadow's entry whose model has so many classes."""
    return _SHADOW.size + min(classes, SHADOW_CLASSES)


def shadow_model_no(packed: bytes) -> int:
    """Number of the model of a shadow's entry."""
    number: int = MODEL_NO.unpack_from(packed, _SHADOW_MODEL_NO_AT)[0]
    return number


def pack_shadow(entry: ShadowEntry) -> bytes:
    return _SHADOW.pack(*entry[:4]) + bytes(entry.probabilities)


def unpack_shadow(packed: bytes) -> ShadowEntry:
    """Read a shadow's entry that has no padding."""
    return ShadowEntry._make((*_SHADOW.unpack_from(packed), tuple(packed[_SHADOW.size :])))


@lru_cache(maxsize=10_000)
def digest_of(label: str | None) -> bytes:
    """8 bytes that stand for a label; None, the withdrawal, has its own. Never `NO_LABEL` in practice (2^-64)."""
    return blake2b(b"\0" if label is None else b"\1" + label.encode(), digest_size=8).digest()
