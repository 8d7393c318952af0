"""What a card says of the model file itself: classes, input, training data and licence. Pure."""

from typing import Any

import msgspec

from catseye.contract.errors import BadModel
from catseye.models.metadata import spec_from_metadata
from catseye.models.onnx_fields import metadata_of

_LONGEST = 600  # characters of an attribution that are shown


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model file says of itself.

    Attributes:
        missing: Why nothing is known of it; else empty.
        classes: Names, in the order of the output.
        input: Size, colours and resize mode, for people.
        temperature: Logits are divided by it.
        attribution: Training data and licence, as the maker states them.
        crops: Part of the training data to crops.
        tested: Crops that the maker tested it on.
        right: How many of them it had right.
    """

    missing: str = ""
    classes: tuple[str, ...] = ()
    input: str = ""
    temperature: float = 1.0
    attribution: str = ""
    crops: dict[str, int] = {}
    tested: int = 0
    right: int = 0


def facts_of(onnx: bytes) -> FileFacts:
    """Read off a registered file."""
    try:
        spec = spec_from_metadata(metadata_of(onnx))
    except (BadModel, ValueError) as fault:
        return FileFacts(missing=str(fault))
    side = f" from {spec.short_side} pixels" if spec.short_side else ""
    crops = spec.trained.get("crops")
    test = _at(spec.trained, "metrics", "test", "accuracy")
    of, right = (_count(_at(test, key)) for key in ("of", "right"))
    return FileFacts(
        classes=spec.classes,
        input=f"{spec.height} x {spec.width} pixels, {spec.channels}, {spec.resize.replace('_', ' ')}{side}",
        temperature=spec.temperature,
        attribution=" ".join(spec.attribution.replace("#", " ").split())[:_LONGEST],
        crops={str(part): _count(count) for part, count in crops.items()} if isinstance(crops, dict) else {},
        tested=of if 0 <= right <= of else 0,
        right=right,
    )


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
