"""What a model file must say of itself: the contract between who trains a model and who serves it.

A model is one ONNX file. Nothing outside of the file says what its classes are or how its input is made, so
that a model of anything can be brought along.

Graph:
    input ``image``: float32 [N, 3, H, W], RGB, ``(pixel / 255 - mean) / std``;
    output ``logits``: float32 [N, C];
    output ``features``: float32 [N, D], what the last layer sees (may be missing);
    output ``activation_maps``: float32 [N, C, h, w], the part of each place in each logit (may be missing;
    class activation maps as in Zhou et al., 2016, "Learning Deep Features for Discriminative Localization").

Metadata (ONNX ``metadata_props``, text to text, JSON where a value has parts):
    ``catseye.name``, ``catseye.classes``, ``catseye.input``, ``catseye.temperature``, ``catseye.golden``
    are required; ``catseye.attribution`` and ``catseye.trained`` may be missing.

`to_input` is the only road from pixels to the net, in training and in serving, so that the two cannot differ.
Nothing here reads a file or runs a net: callers bring the pixels and the logits.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel

NAME = "catseye.name"
CLASSES = "catseye.classes"
INPUT = "catseye.input"
TEMPERATURE = "catseye.temperature"
GOLDEN = "catseye.golden"
ATTRIBUTION = "catseye.attribution"
TRAINED = "catseye.trained"

IMAGE = "image"
LOGITS = "logits"
FEATURES = "features"
ACTIVATION_MAPS = "activation_maps"

STRETCH = "stretch"
"""The one way to resize: both sides to the net's size, the aspect ratio is not kept."""

GOLDEN_TOLERANCE = 0.02
"""Largest difference of a probability. JPEG decoders differ by a grey level, processors in the last bits of a
sum: that moves a probability by well under 0.01. Other weights or another normalisation move it far more."""

_LARGEST_SIDE_PIXELS = 4096
_MOST_CLASSES = 10_000
_LARGEST_NUMBER = 1e30


class GoldenCrop(NamedTuple):
    """A real JPEG and what the model says of it: tests decoding, resizing, the net and softmax in one go."""

    jpeg: bytes
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model file says of itself.

    Args:
        name: The model's name, the same for all of its versions.
        classes: Names of the classes in the order of the logits; at least two, all different.
        height: Input height in pixels, 1 to 4096.
        width: Input width in pixels, 1 to 4096.
        mean: Of red, green and blue, on the scale 0 to 1.
        std: Of red, green and blue, on the scale 0 to 1, over 0.
        temperature: Logits are divided by it before softmax (Guo et al., 2017, "On Calibration of Modern Neural
            Networks"); over 0, 1 changes nothing.
        golden: At least one crop with the probabilities that belong to it.
        resize: How a crop becomes height x width; `STRETCH`.
        attribution: Whom to name for the training frames and under which licence.
        trained: Code version, dataset hash, parameters and metrics, as JSON values.
    """

    name: str
    classes: tuple[str, ...]
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float
    golden: tuple[GoldenCrop, ...]
    resize: str = STRETCH
    attribution: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)


class Port(Protocol):
    """An input or output of a graph, as onnxruntime's ``get_inputs`` and ``get_outputs`` describe it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str | None]: ...


def spec_from_metadata(metadata: Mapping[str, str]) -> ModelSpec:
    """Read a model's metadata.

    Raises:
        BadModel: The first thing that breaks the contract, in one sentence.
    """
    name = _required(metadata, NAME)
    if not name.strip():
        raise BadModel(f"{NAME} is empty.")
    classes = _classes(_json(metadata, CLASSES))
    shape = _json(metadata, INPUT)
    if not isinstance(shape, dict):
        raise BadModel(f"{INPUT} must be a JSON object with height, width, mean, std and resize.")
    if shape.get("resize") != STRETCH:
        raise BadModel(f"{INPUT}: resize must be {STRETCH!r}, found {shape.get('resize')!r}.")
    trained = _json(metadata, TRAINED) if TRAINED in metadata else {}
    if not isinstance(trained, dict):
        raise BadModel(f"{TRAINED} must be a JSON object.")
    return ModelSpec(
        name=name,
        classes=classes,
        height=_side(shape, "height"),
        width=_side(shape, "width"),
        mean=_three(shape, "mean", lambda value: True, "numbers"),
        std=_three(shape, "std", lambda value: value > 0, "numbers over 0"),
        temperature=_temperature(_json(metadata, TEMPERATURE)),
        golden=_golden(_json(metadata, GOLDEN), len(classes)),
        attribution=metadata.get(ATTRIBUTION, ""),
        trained=trained,
    )


def spec_to_metadata(spec: ModelSpec) -> dict[str, str]:
    """The metadata that `spec_from_metadata` reads back to an equal spec."""
    shape = {"height": spec.height, "width": spec.width, "mean": spec.mean, "std": spec.std, "resize": spec.resize}
    golden = [
        {"jpeg": base64.b64encode(crop.jpeg).decode("ascii"), "probabilities": crop.probabilities}
        for crop in spec.golden
    ]
    return {
        NAME: spec.name,
        CLASSES: json.dumps(spec.classes, ensure_ascii=False),
        INPUT: json.dumps(shape),
        TEMPERATURE: json.dumps(spec.temperature),
        GOLDEN: json.dumps(golden),
        ATTRIBUTION: spec.attribution,
        TRAINED: json.dumps(spec.trained, sort_keys=True),
    }


def check_graph(spec: ModelSpec, inputs: Sequence[Port], outputs: Sequence[Port]) -> tuple[str, ...]:
    """Compare a graph with what its metadata says.

    Args:
        inputs: What the graph takes.
        outputs: What the graph gives, in any order; outputs that the contract does not know are left alone.

    Returns:
        Names of the contract's outputs that the graph has: `LOGITS` first, then `FEATURES`, `ACTIVATION_MAPS`.

    Raises:
        BadModel: A name, type or shape is not as `catseye.models.model_file` says.
    """
    if [port.name for port in inputs] != [IMAGE]:
        raise BadModel(f"the graph must have one input named {IMAGE!r}, found {[port.name for port in inputs]}.")
    _check_port(inputs[0], (None, 3, spec.height, spec.width))
    found = {port.name: port for port in outputs}
    if LOGITS not in found:
        raise BadModel(f"the graph has no output named {LOGITS!r}, found {sorted(found)}.")
    count = len(spec.classes)
    expected = {LOGITS: (None, count), FEATURES: (None, None), ACTIVATION_MAPS: (None, count, None, None)}
    present = tuple(name for name in expected if name in found)
    for name in present:
        _check_port(found[name], expected[name])
    return present


def to_input(images: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> NDArray[np.float32]:
    """Make the net's input of decoded crops.

    Smaller is made by averaging over areas, larger by straight lines between pixels; a crop that already has
    the net's size is taken as it is. About 10 µs a crop of 100 x 100 without resizing.

    Args:
        images: RGB, uint8 [h, w, 3] each, any sizes.

    Returns:
        float32 [N, 3, H, W], normalised.
    """
    batch = np.empty((len(images), 3, spec.height, spec.width), dtype=np.float32)
    scale = np.array([1.0 / (255.0 * std) for std in spec.std], dtype=np.float32)[:, None, None]
    shift = np.array([-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)], dtype=np.float32)
    shift = shift[:, None, None]
    # Grey levels are first parted into planes, then made floats plane by plane: half the time of the other order.
    levels = np.empty((3, spec.height, spec.width), dtype=np.uint8)
    planes = tuple(levels)
    for place, crop in enumerate(images):
        cv2.split(_resized(crop, spec.height, spec.width), planes)
        np.multiply(levels, scale, out=batch[place])
        batch[place] += shift
    return batch


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


def _resized(crop: NDArray[np.uint8], height: int, width: int) -> Any:
    if crop.shape[:2] == (height, width):
        return crop
    smaller = crop.shape[0] >= height and crop.shape[1] >= width
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _check_port(port: Port, expected: Sequence[int | None]) -> None:
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
    if isinstance(port.shape[0], int):
        raise BadModel(f"{port.name} must leave the number of crops free, found {list(port.shape)}.")


def _required(metadata: Mapping[str, str], key: str) -> str:
    if key not in metadata:
        raise BadModel(f"the model's metadata has no {key}.")
    return metadata[key]


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(_required(metadata, key))
    except (ValueError, RecursionError) as fault:
        raise BadModel(f"{key} is not JSON: {fault}.") from fault


def _is_number(value: Any) -> bool:
    # Compared instead of asked for being finite: JSON has whole numbers that are too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def _classes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise BadModel(f"{CLASSES} must be a JSON list of names.")
    if not 2 <= len(value) <= _MOST_CLASSES:
        raise BadModel(f"{CLASSES} must have 2 to {_MOST_CLASSES} names, found {len(value)}.")
    if len(set(value)) != len(value):
        raise BadModel(f"{CLASSES} names a class twice.")
    return tuple(value)


def _side(shape: Mapping[str, Any], key: str) -> int:
    value = shape.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST_SIDE_PIXELS:
        raise BadModel(f"{INPUT}: {key} must be a whole number from 1 to {_LARGEST_SIDE_PIXELS}, found {value!r}.")
    return value


def _three(
    shape: Mapping[str, Any], key: str, allowed: Callable[[float], bool], kind: str
) -> tuple[float, float, float]:
    value = shape.get(key)
    if not isinstance(value, list) or len(value) != 3 or not all(_is_number(part) and allowed(part) for part in value):
        raise BadModel(f"{INPUT}: {key} must be three {kind}, found {value!r}.")
    return float(value[0]), float(value[1]), float(value[2])


def _temperature(value: Any) -> float:
    if not _is_number(value) or value <= 0:
        raise BadModel(f"{TEMPERATURE} must be a number over 0, found {value!r}.")
    return float(value)


def _golden(value: Any, class_count: int) -> tuple[GoldenCrop, ...]:
    if not isinstance(value, list) or not value:
        raise BadModel(f"{GOLDEN} must be a JSON list of at least one crop.")
    return tuple(_golden_crop(place, crop, class_count) for place, crop in enumerate(value))


def _golden_crop(place: int, crop: Any, class_count: int) -> GoldenCrop:
    if not isinstance(crop, dict) or not isinstance(crop.get("jpeg"), str):
        raise BadModel(f"{GOLDEN}: crop {place} must be a JSON object with jpeg and probabilities.")
    try:
        jpeg = base64.b64decode(crop["jpeg"], validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadModel(f"{GOLDEN}: the jpeg of crop {place} is not base64.") from fault
    chances = crop.get("probabilities")
    if (
        not isinstance(chances, list)
        or len(chances) != class_count
        or not all(_is_number(chance) and 0 <= chance <= 1 for chance in chances)
    ):
        raise BadModel(f"{GOLDEN}: crop {place} must have {class_count} probabilities from 0 to 1.")
    return GoldenCrop(jpeg, tuple(float(chance) for chance in chances))
