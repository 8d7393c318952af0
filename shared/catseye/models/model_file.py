"""What a model file must say of itself: the contract between who trains a model and who serves it.

A model is one ONNX file. Nothing outside of the file says what its classes are or how its input is made, so
that a model of anything can be brought along.

Graph:
    input ``image``: float32 [N, 3, H, W], RGB, ``(pixel / 255 - mean) / std``, or as ``catseye.input`` says: another
    name, [N, H, W, 3], BGR, or exactly so many crops a run;
    output ``logits``: float32 [N, C], or as ``catseye.output`` says: another name, or probabilities;
    output ``features``: float32 [N, D], what the last layer sees (may be missing);
    output ``activation_maps``: float32 [N, C, h, w], the part of each place in each logit (may be missing;
    class activation maps as in Zhou et al., 2016, "Learning Deep Features for Discriminative Localization").

Metadata (ONNX ``metadata_props``, text to text, JSON where a value has parts):
    ``catseye.name``, ``catseye.classes``, ``catseye.input``, ``catseye.temperature``, ``catseye.golden``
    are required; ``catseye.output``, ``catseye.attribution`` and ``catseye.trained`` may be missing.
    ``catseye.input`` has height, width, mean, std and resize, and where they differ from the defaults of `ModelSpec`
    short_side, fill, layout, channels, name and batch; ``catseye.output`` has name and kind.

    Names of a model and its classes are what `catseye.contract.names` takes, and are folded as labels are.

`catseye models describe` writes all of it into a file that was made elsewhere.

`to_input` is the only road from pixels to the net, in training and in serving, so that the two cannot differ.
Nothing here reads a file or runs a net: callers bring the pixels and the logits.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel
from catseye.models.metadata import (
    ATTRIBUTION,
    CLASSES,
    GOLDEN,
    INPUT,
    NAME,
    OUTPUT,
    TEMPERATURE,
    TRAINED,
    Faults,
    spec_from_metadata,
    spec_to_metadata,
)
from catseye.models.resizing import resized
from catseye.models.spec import ACTIVATION_MAPS, FEATURES, IMAGE, LOGITS, STRETCH, GoldenCrop, ModelSpec, Port

__all__ = [
    "ACTIVATION_MAPS",
    "ATTRIBUTION",
    "CLASSES",
    "FEATURES",
    "GOLDEN",
    "GOLDEN_TOLERANCE",
    "IMAGE",
    "INPUT",
    "LOGITS",
    "NAME",
    "OUTPUT",
    "STRETCH",
    "TEMPERATURE",
    "TRAINED",
    "GoldenCrop",
    "ModelSpec",
    "check_golden",
    "check_graph",
    "is_probabilities",
    "probabilities",
    "spec_from_metadata",
    "spec_to_metadata",
    "to_input",
    "to_logits",
]

GOLDEN_TOLERANCE = 0.02
"""Largest difference of a probability. JPEG decoders differ by a grey level, processors in the last bits of a
sum: that moves a probability by well under 0.01. Other weights or another normalisation move it far more."""

_SMALLEST_PROBABILITY = 1e-7
_ROW_TOLERANCE = 1e-2  # half floats and integers inside of a net make rows that sum to 1 by so much


def check_graph(spec: ModelSpec, inputs: Sequence[Port], outputs: Sequence[Port]) -> tuple[str, ...]:
    """Compare a graph with what its metadata says.

    Args:
        inputs: What the graph takes.
        outputs: What the graph gives, in any order; outputs that the contract does not know are left alone.

    Returns:
        Names of the contract's outputs that the graph has: `LOGITS` first, then `FEATURES`, `ACTIVATION_MAPS`.

    Raises:
        BadModel: Names, types or shapes are not as `catseye.models.model_file` says; all of them.
    """
    faults = Faults()
    if [port.name for port in inputs] != [spec.input_name]:
        names = [port.name for port in inputs]
        faults.found.append(f"the graph must have one input named {spec.input_name!r}, found {names}.")
    else:
        sides = (3, spec.height, spec.width) if spec.layout == "NCHW" else (spec.height, spec.width, 3)
        faults.tried(_check_port, inputs[0], (None, *sides), spec.batch)
    found = {port.name: port for port in outputs}
    if spec.output_name not in found:
        faults.found.append(f"the graph has no output named {spec.output_name!r}, found {sorted(found)}.")
    count = len(spec.classes)
    expected = {spec.output_name: (None, count), FEATURES: (None, None), ACTIVATION_MAPS: (None, count, None, None)}
    present = [name for name in expected if name in found]
    for name in present:
        faults.tried(_check_port, found[name], expected[name], spec.batch)
    faults.end()
    return (LOGITS, *present[1:])


def to_logits(output: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """What the graph gives, as logits, float32 [N, C].

    Raises:
        BadModel: They are said to be probabilities, and a row does not sum to 1.
    """
    if spec.output_kind == "logits":
        return output
    if not is_probabilities(output):
        raise BadModel(f"{OUTPUT} says that {spec.output_name} gives probabilities, and a row does not sum to 1.")
    return np.log(np.maximum(output, np.float32(_SMALLEST_PROBABILITY)))


def is_probabilities(rows: NDArray[np.float32]) -> bool:
    """Whether all numbers are 0 to 1 and each row sums to 1; numbers that are none, from a crop, pass."""
    sums = rows.sum(axis=1)
    return not bool(((rows < -_ROW_TOLERANCE) | (np.abs(sums - 1) > _ROW_TOLERANCE)[:, None]).any())


def to_input(images: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> NDArray[np.float32]:
    """Make the net's input of decoded crops. About 10 µs a crop of 100 x 100 without resizing.

    Args:
        images: RGB, uint8 [h, w, 3] each, any sizes.

    Returns:
        float32 [N, 3, H, W], or [N, H, W, 3] where the spec says so; normalised.
    """
    batch = np.empty((len(images), 3, spec.height, spec.width), dtype=np.float32)
    scale = np.array([1.0 / (255.0 * std) for std in spec.std], dtype=np.float32)[:, None, None]
    shift = np.array([-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)], dtype=np.float32)
    shift = shift[:, None, None]
    # Grey levels are first parted into planes, then made floats plane by plane: half the time of the other order.
    levels = np.empty((3, spec.height, spec.width), dtype=np.uint8)
    planes = tuple(levels if spec.channels == "RGB" else levels[::-1])
    for place, crop in enumerate(images):
        fitting = resized(crop, spec.height, spec.width, spec.resize, short_side=spec.short_side, fill=spec.fill)
        cv2.split(fitting, planes)
        np.multiply(levels, scale, out=batch[place])
        batch[place] += shift
    return batch if spec.layout == "NCHW" else np.ascontiguousarray(batch.transpose(0, 2, 3, 1))


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Softmax of logits divided by *temperature*; float32 [N, C], each row sums to 1."""
    scaled = np.asarray(logits, dtype=np.float32) / np.float32(temperature)
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def check_golden(spec: ModelSpec, actual: NDArray[np.float32], *, tolerance: float = GOLDEN_TOLERANCE) -> float:
    """Compare what came out for the golden crops with what the file says must come out.

    Args:
        actual: Probabilities of the golden crops in their order, float32 [G, C].
        tolerance: Largest difference of one probability, 0 to 1.

    Returns:
        The largest difference that was seen.

    Raises:
        BadModel: Another shape, a number that is none, or a difference over *tolerance*.
    """
    expected = np.array([crop.probabilities for crop in spec.golden], dtype=np.float64)
    if actual.shape != expected.shape:
        raise BadModel(f"golden crops: expected probabilities of shape {expected.shape}, came {actual.shape}.")
    differences = np.abs(actual.astype(np.float64) - expected).max(axis=1)
    if not np.isfinite(differences).all():
        raise BadModel("golden crops: a probability that came out is not a finite number.")
    worst = int(differences.argmax())
    if differences[worst] > tolerance:
        raise BadModel(
            f"golden crops: a probability of crop {worst} is off by {differences[worst]:.4f}, allowed is {tolerance}."
        )
    return float(differences[worst])


def _check_port(port: Port, expected: Sequence[int | None], batch: int) -> None:
    if port.type != "tensor(float)":
        raise BadModel(f"{port.name} must be float32, found {port.type}.")
    # A side that is a name or None is free: the graph takes any number there.
    fits = len(port.shape) == len(expected) and all(
        wanted is None or not isinstance(found, int) or found == wanted
        for found, wanted in zip(port.shape, expected, strict=True)
    )
    if not fits:
        wanted_text = ", ".join("any" if side is None else str(side) for side in expected)
        raise BadModel(f"{port.name} must have the shape [{wanted_text}], found {list(port.shape)}.")
    if isinstance(port.shape[0], int) and port.shape[0] != batch:
        if batch:
            raise BadModel(f"{INPUT} says that a run has {batch} crops, but {port.name} is {list(port.shape)}.")
        raise BadModel(f"{port.name} must leave the number of crops free, found {list(port.shape)}.")
