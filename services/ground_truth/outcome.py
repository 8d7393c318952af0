"""Outcomes, made of a label and the entry that waited for it.

`outcome_of` makes the record. Of many, `OutcomeBatch` makes the bytes, the same ones: half of an outcome's fields are
written in its label, and there they are taken from as they stand.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.heads import long_bytes, text_bytes, texts_of
from catseye.contract.identity import prediction_id
from catseye.contract.names import class_meant
from catseye.contract.records import AcceptedLabel, Change, Outcome
from services.ground_truth.arrivals import Labelled
from services.ground_truth.entry import FULL, LABEL_AT, LABEL_END, Entry, unpack
from services.ground_truth.entry_batch import FIXED
from services.ground_truth.join_state import Model
from services.ground_truth.sightings import NOTHING, Sighting

ROLE: Final = "champion"
_SHARES: Final = (np.arange(FULL + 1) / FULL).astype("<f4").tobytes()
_BRIGHTNESS: Final = (np.arange(256) / 255).astype("<f4").tobytes()
_CHANGES: Final[dict[Change, bytes]] = {"matched": b"\x00", "corrected": b"\x02", "withdrawn": b"\x04"}
_ROLE: Final = b"\x00"
_ID_LENGTH: Final = b"\x40"
# What stands for `correct`, and that a probability of the label follows; for both where there is no label.
_RIGHT: Final = b"\x02\x01\x02"
_WRONG: Final = b"\x02\x00\x02"
_NEITHER: Final = b"\x00\x00"
_NO_OBJECT: Final = bytes(len(Sighting._fields))


class Joined(NamedTuple):
    """A label and its prediction.

    Attributes:
        label: The label.
        packed: Entry of the prediction.
        model: Version that predicted.
        change: What the label does to the prediction.
        partition: Of the frame.
        sighting: What the prediction says of the object.
    """

    label: Labelled
    packed: bytes
    model: Model
    change: Change
    partition: int
    sighting: Sighting = NOTHING

    @property
    def can_be_batched(self) -> bool:
        """Whether `outcome_bytes` can write it: those of objects that are followed are fewer, and written alone."""
        return self.label.written is not None and self.sighting is NOTHING


def outcome_of(joined: Joined, label: AcceptedLabel) -> Outcome:
    """The outcome, given the label as a record."""
    model, entry = joined.model, unpack(joined.packed, len(joined.model.classes))
    label = as_class(label, model)
    predicted = model.classes[entry.predicted_no]
    withdrawn = label.label is None
    return Outcome(
        camera=label.camera,
        boot=label.boot,
        sequence=label.sequence,
        captured_at_ms=entry.captured_at_ms,
        received_at_ms=entry.received_at_ms,
        predicted_at_ms=entry.received_at_ms + entry.predict_delay_ms,
        prediction_id=prediction_id(label.camera, label.boot, label.sequence, model.name, model.version, ROLE),
        model=model.name,
        version=model.version,
        role=ROLE,
        frame_partition=joined.partition,
        frame_offset=entry.frame_offset,
        predicted=predicted,
        confidence=entry.probabilities[entry.predicted_no] / FULL,
        change=joined.change,
        label=label.label,
        correct=None if withdrawn else predicted == label.label,
        label_probability=None if withdrawn else label_probability(label.label, entry, model),
        brightness=entry.brightness / 255,
        source=label.source,
        propensity=label.propensity,
        labelled_at_ms=label.labelled_at_ms,
        label_received_at_ms=label.received_at_ms,
        label_delay_ms=label.received_at_ms - entry.received_at_ms,
        **joined.sighting._asdict(),
    )


def as_class(label: AcceptedLabel, model: Model) -> AcceptedLabel:
    """*label* with the class of *model* that it means, if it differs from that in case only."""
    meant = label.label and class_meant(label.label, model.classes)
    return label if meant == label.label else replace(label, label=meant)


def label_probability(label: str | None, entry: Entry, model: Model) -> float:
    """Probability that the prediction gave to a class, 0 to 1."""
    return entry.probabilities[model.classes.index(label)] / FULL if label and label in model.classes else 0.0


def outcome_bytes(codec: Codec, joined: Sequence[Joined]) -> list[tuple[bytes, bytes]]:
    """Camera and written outcome of each of many, whose labels' `written` are known."""
    header = codec.header_of(Outcome)
    fixed = np.frombuffer(b"".join([each.packed[:LABEL_AT] for each in joined]), FIXED)
    received = fixed["received_at_ms"]
    received_bytes, captured_bytes = long_bytes(received), long_bytes(fixed["captured_at_ms"])
    predicted_bytes = long_bytes(received + fixed["predict_delay_ms"])
    offset_bytes = long_bytes(fixed["frame_offset"])
    delay_bytes = long_bytes(np.array([each.label.received_at_ms for each in joined], np.int64) - received)
    predicted, brightnesses = fixed["predicted_no"].tolist(), fixed["brightness"].tolist()
    boots: dict[bytes, tuple[bytes, bytes]] = {}
    versions: dict[tuple[int, int], _Version] = {}
    found: list[tuple[bytes, bytes]] = []
    for place, (label, packed, model, change, partition, _) in enumerate(joined):
        assert label.written is not None
        boot, sequence, label_text, source_and_propensity, labelled, label_received = label.written
        boot_is = boots.get(boot)
        if boot_is is None:
            boot_is = boots[boot] = _boot(boot)
        version = versions.get((partition, id(model)))
        if version is None:
            version = versions[partition, id(model)] = _Version(model, partition)
        predicted_no, brightness = predicted[place], brightnesses[place]
        if label.label is None:
            verdict = _NEITHER
        else:
            number = version.number.get(label.label)
            if number is None and (number := version.number_meant(label.label)) is not None:
                label_text = b"\x02" + version.classes[number]
            verdict = _RIGHT if number == predicted_no else _WRONG
            verdict += _share(packed, number) if number is not None and label.label else _SHARES[:4]
        digits = b"%d" % int.from_bytes(label.key[-8:], "big")
        named = b"%b%d:%b%b" % (boot_is[1], len(digits), digits, version.in_digest)
        value = b"".join(
            (
                header,
                boot,
                sequence,
                captured_bytes[place],
                received_bytes[place],
                predicted_bytes[place],
                _ID_LENGTH,
                blake2b(named, digest_size=16).hexdigest().encode(),
                version.written,
                offset_bytes[place],
                version.classes[predicted_no],
                _share(packed, predicted_no),
                _CHANGES[change],
                label_text,
                verdict,
                _BRIGHTNESS[4 * brightness : 4 * brightness + 4],
                source_and_propensity,
                labelled,
                label_received,
                delay_bytes[place],
                _NO_OBJECT,
            )
        )
        found.append((boot_is[0], value))
    return found


class _Version:
    """What all outcomes of a version have in common."""

    def __init__(self, model: Model, partition: int) -> None:
        (partition_bytes,) = long_bytes([partition])
        self.written = text_bytes(model.name) + text_bytes(model.version) + _ROLE + partition_bytes
        self.classes = [text_bytes(name) for name in model.classes]
        self.number = {name: number for number, name in enumerate(model.classes)}
        self.in_digest = _in_digest(model.name, model.version, ROLE)
        self._meant: dict[str, int | None] = {}

    def number_meant(self, label: str) -> int | None:
        """Of the class that a label means which is none itself; None for no class."""
        if label not in self._meant:
            self._meant[label] = self.number.get(class_meant(label, self.number))
        return self._meant[label]


def _boot(written: bytes) -> tuple[bytes, bytes]:
    """The camera of a written camera and boot, and how both begin what is hashed to the prediction's id."""
    camera, boot = texts_of(written)
    return camera.encode(), _in_digest("prediction", camera, boot)


def _in_digest(*causes: str) -> bytes:
    """As `catseye.contract.identity.digest` hashes them."""
    return "".join([f"{len(text)}:{text}" for text in causes]).encode()


def _share(packed: bytes, number: int) -> bytes:
    """Probability of a class of an entry, written."""
    at = LABEL_END + 2 * number
    step = packed[at] | packed[at + 1] << 8
    return _SHARES[4 * step : 4 * step + 4]
