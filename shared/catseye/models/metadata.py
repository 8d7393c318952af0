"""The metadata of a model file: ONNX `metadata_props`, text to text, JSON where a value has parts. Pure."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from catseye.contract.errors import BadModel, BadRecord
from catseye.contract.names import name_of
from catseye.models.spec import CHANNELS, IMAGE, KINDS, LAYOUTS, LOGITS, RESIZES, GoldenCrop, ModelSpec

T = TypeVar("T")

NAME = "catseye.name"
CLASSES = "catseye.classes"
INPUT = "catseye.input"
OUTPUT = "catseye.output"
TEMPERATURE = "catseye.temperature"
GOLDEN = "catseye.golden"
ATTRIBUTION = "catseye.attribution"
TRAINED = "catseye.trained"
REQUIRED = (NAME, CLASSES, INPUT, TEMPERATURE, GOLDEN)

# Names in the metadata of what is written only where it is no default, to fields of `ModelSpec`.
_INPUT_FIELDS = {
    "short_side": "short_side",
    "fill": "fill",
    "layout": "layout",
    "channels": "channels",
    "name": "input_name",
    "batch": "batch",
}
_OUTPUT_FIELDS = {"name": "output_name", "kind": "output_kind"}
_LARGEST_SIDE_PIXELS = 4096
_LARGEST_BATCH = 1024
_MOST_CLASSES = 10_000
_LARGEST_NUMBER = 1e30


class Faults:
    """What is wrong, as sentences, so that all of it is found in one go."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def tried(self, read: Callable[..., T], *args: Any) -> T | None:
        """What *read* gives, or None where it raises `BadModel`, whose sentence is kept."""
        try:
            return read(*args)
        except BadModel as fault:
            self.found.append(str(fault))
            return None

    def end(self) -> None:
        """Raise `BadModel` with all sentences, unless there is none."""
        if self.found:
            raise BadModel(" ".join(self.found))


def spec_from_metadata(metadata: Mapping[str, str]) -> ModelSpec:
    """Read a model's metadata.

    Raises:
        BadModel: All that breaks the contract, each in one sentence.
    """
    faults = Faults()
    missing = [key for key in REQUIRED if key not in metadata]
    if missing:
        faults.found.append(f"the model's metadata has no {', '.join(missing)}.")
    name = faults.tried(name_in, metadata) if NAME in metadata else None
    classes = faults.tried(classes_in, metadata) if CLASSES in metadata else None
    shape = (faults.tried(input_in, metadata) if INPUT in metadata else None) or {}
    output = (faults.tried(_output, metadata) if OUTPUT in metadata else None) or {}
    temperature = faults.tried(_temperature, metadata) if TEMPERATURE in metadata else None
    golden = faults.tried(_golden, metadata, None if classes is None else len(classes)) if GOLDEN in metadata else None
    trained = faults.tried(_json, metadata, TRAINED) if TRAINED in metadata else {}
    if trained is not None and not isinstance(trained, dict):
        faults.found.append(f"{TRAINED} must be a JSON object.")
    faults.end()
    assert name is not None
    assert classes is not None
    assert temperature is not None
    assert golden is not None
    assert trained is not None
    return ModelSpec(
        name=name,
        classes=classes,
        temperature=temperature,
        golden=golden,
        attribution=metadata.get(ATTRIBUTION, ""),
        trained=trained,
        **shape,
        **output,
    )


def spec_to_metadata(spec: ModelSpec) -> dict[str, str]:
    """The metadata that `spec_from_metadata` reads back to an equal spec."""
    shape = {"height": spec.height, "width": spec.width, "mean": spec.mean, "std": spec.std, "resize": spec.resize}
    shape |= _unusual(spec, _INPUT_FIELDS)
    golden = [
        {"jpeg": base64.b64encode(crop.jpeg).decode("ascii"), "probabilities": crop.probabilities}
        for crop in spec.golden
    ]
    written = {
        NAME: spec.name,
        CLASSES: json.dumps(spec.classes, ensure_ascii=False),
        INPUT: json.dumps(shape),
        TEMPERATURE: json.dumps(spec.temperature),
        GOLDEN: json.dumps(golden),
        ATTRIBUTION: spec.attribution,
        TRAINED: json.dumps(spec.trained, sort_keys=True),
    }
    output = _unusual(spec, _OUTPUT_FIELDS)
    return written | ({OUTPUT: json.dumps(output)} if output else {})


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as fault:
        raise BadModel(f"{key} is not JSON: {fault}.") from fault


def _is_number(value: Any) -> bool:
    # Compared instead of asked for being finite: JSON has whole numbers that are too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def name_in(metadata: Mapping[str, str]) -> str:
    name = _folded(NAME, metadata[NAME])
    if not name:
        raise BadModel(f"{NAME} is empty.")
    return name


def classes_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    value = _json(metadata, CLASSES)
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise BadModel(f"{CLASSES} must be a JSON list of names.")
    if not 2 <= len(value) <= _MOST_CLASSES:
        raise BadModel(f"{CLASSES} must have 2 to {_MOST_CLASSES} names, found {len(value)}.")
    names = tuple(_folded(CLASSES, name) for name in value)
    if not all(names):
        raise BadModel(f"{CLASSES} must be a JSON list of names.")
    if len(set(names)) != len(names):
        raise BadModel(f"{CLASSES} names a class twice. Blanks at the ends tell no names apart.")
    return names


def _folded(key: str, text: str) -> str:
    """A name as labels and commands have it: else no label could be of that class."""
    try:
        return name_of(f"a name in {key}", text)
    except BadRecord as fault:
        raise BadModel(f"{fault.detail}.") from fault


def input_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `ModelSpec`."""
    shape = _json(metadata, INPUT)
    if not isinstance(shape, dict):
        raise BadModel(f"{INPUT} must be a JSON object with height, width, mean, std and resize.")
    faults = Faults()
    height = faults.tried(_whole, shape, "height", 1, _LARGEST_SIDE_PIXELS)
    width = faults.tried(_whole, shape, "width", 1, _LARGEST_SIDE_PIXELS)
    short_side = faults.tried(_whole, {"short_side": 0} | shape, "short_side", 0, _LARGEST_SIDE_PIXELS)
    if short_side and height and width and short_side < max(height, width):
        faults.found.append(f"{INPUT}: short_side must be at least {max(height, width)}, found {short_side}.")
    found = {
        "height": height,
        "width": width,
        "short_side": short_side,
        "mean": faults.tried(_three, shape, "mean", lambda value: True, "numbers"),
        "std": faults.tried(_three, shape, "std", lambda value: value > 0, "numbers over 0"),
        "resize": faults.tried(_one_of, INPUT, shape, "resize", RESIZES, None),
        "fill": faults.tried(_whole, {"fill": 0} | shape, "fill", 0, 255),
        "layout": faults.tried(_one_of, INPUT, shape, "layout", LAYOUTS, "NCHW"),
        "channels": faults.tried(_one_of, INPUT, shape, "channels", CHANNELS, "RGB"),
        "input_name": faults.tried(_name, INPUT, shape, IMAGE),
        "batch": faults.tried(_whole, {"batch": 0} | shape, "batch", 0, _LARGEST_BATCH),
    }
    faults.end()
    return found


def _output(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `ModelSpec`."""
    value = _json(metadata, OUTPUT)
    if not isinstance(value, dict):
        raise BadModel(f"{OUTPUT} must be a JSON object with name and kind.")
    faults = Faults()
    found = {
        "output_name": faults.tried(_name, OUTPUT, value, LOGITS),
        "output_kind": faults.tried(_one_of, OUTPUT, value, "kind", KINDS, "logits"),
    }
    faults.end()
    return found


def _unusual(spec: ModelSpec, names: Mapping[str, str]) -> dict[str, Any]:
    """Fields of *spec* that have no default, under their names in the metadata."""
    defaults = {each.name: each.default for each in fields(spec)}
    return {key: getattr(spec, own) for key, own in names.items() if getattr(spec, own) != defaults[own]}


def _one_of(key: str, value: Mapping[str, Any], name: str, allowed: Sequence[str], default: str | None) -> str:
    found = value.get(name, default)
    if found not in allowed:
        raise BadModel(f"{key}: {name} must be {' or '.join(map(repr, allowed))}, found {found!r}.")
    return str(found)


def _name(key: str, value: Mapping[str, Any], default: str) -> str:
    found = value.get("name", default)
    if not isinstance(found, str) or not found:
        raise BadModel(f"{key}: name must be what the graph calls it, found {found!r}.")
    return found


def _whole(shape: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = shape.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadModel(f"{INPUT}: {key} must be a whole number from {least} to {most}, found {value!r}.")
    return value


def _three(
    shape: Mapping[str, Any], key: str, allowed: Callable[[float], bool], kind: str
) -> tuple[float, float, float]:
    value = shape.get(key)
    if not isinstance(value, list) or len(value) != 3 or not all(_is_number(part) and allowed(part) for part in value):
        raise BadModel(f"{INPUT}: {key} must be three {kind}, found {value!r}.")
    return float(value[0]), float(value[1]), float(value[2])


def _temperature(metadata: Mapping[str, str]) -> float:
    value = _json(metadata, TEMPERATURE)
    if not _is_number(value) or value <= 0:
        raise BadModel(f"{TEMPERATURE} must be a number over 0, found {value!r}.")
    return float(value)


def _golden(metadata: Mapping[str, str], class_count: int | None) -> tuple[GoldenCrop, ...]:
    value = _json(metadata, GOLDEN)
    if not isinstance(value, list) or not value:
        raise BadModel(f"{GOLDEN} must be a JSON list of at least one crop.")
    return tuple(_golden_crop(place, crop, class_count) for place, crop in enumerate(value))


def _golden_crop(place: int, crop: Any, class_count: int | None) -> GoldenCrop:
    if not isinstance(crop, dict) or not isinstance(crop.get("jpeg"), str):
        raise BadModel(f"{GOLDEN}: crop {place} must be a JSON object with jpeg and probabilities.")
    try:
        jpeg = base64.b64decode(crop["jpeg"], validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadModel(f"{GOLDEN}: the jpeg of crop {place} is not base64.") from fault
    chances = crop.get("probabilities")
    if (
        not isinstance(chances, list)
        or len(chances) != (len(chances) if class_count is None else class_count)
        or not all(_is_number(chance) and 0 <= chance <= 1 for chance in chances)
    ):
        raise BadModel(f"{GOLDEN}: crop {place} must have {class_count or 'its'} probabilities from 0 to 1.")
    return GoldenCrop(jpeg, tuple(float(chance) for chance in chances))
