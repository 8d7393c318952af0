"""How torchvision's and timm's models want their pictures, as data: neither package is needed.

`presets.json` was read off torchvision 0.29.2 (the transforms of each classification weight) and timm 1.0.31 (the
pretrained configuration of each model with three colours and a square input). Its groups share one setting each.
"""

import json
from difflib import get_close_matches
from functools import cache
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

from catseye.contract.errors import Misconfigured
from catseye.models.spec import Resize

Three = tuple[float, float, float]
_NEAR = 5


class Preset(NamedTuple):
    """How a model wants its pictures; fields as in `catseye.models.spec.ModelSpec`."""

    size: tuple[int, int]
    mean: Three
    std: Three
    resize: Resize
    short_side: int


def preset(name: str) -> Preset:
    """The preset called *name*.

    Args:
        name: torchvision/WEIGHTS as torchvision prints them (ResNet50_Weights.IMAGENET1K_V2), timm/MODEL with or
            without its tag, or the path of a config.json as timm writes one beside a model's weights.

    Raises:
        Misconfigured: There is none, or several that differ; says what is near.
    """
    if name.endswith(".json"):
        return _of_config(Path(name))
    table = _table()
    # A model without its tag: where all of its tags agree, or by the weights that a library calls default.
    found = {table[name]} if name in table else {own for key, own in table.items() if key.startswith(f"{name}.")}
    if len(found) == 1:
        return found.pop()
    tags = [key for key in table if key.startswith(f"{name}.")]
    if tags:
        raise Misconfigured(f"--preset: {name} has several settings; name one of {', '.join(tags)}")
    lower = {key.lower(): key for key in table}
    near = [lower[key] for key in get_close_matches(name.lower(), lower, n=_NEAR, cutoff=0.5)]
    raise Misconfigured(
        f"--preset: nothing is known of {name}; torchvision/WEIGHTS, timm/MODEL or a config.json of timm's is expected"
        + (f", for example {', '.join(near)}" if near else "")
    )


@cache
def _table() -> dict[str, Preset]:
    groups: list[dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {
        name: Preset(
            (group["size"], group["size"]),
            _three(group["mean"]),
            _three(group["std"]),
            group["resize"],
            group["short_side"],
        )
        for group in groups
        for name in group["models"]
    }


def _of_config(path: Path) -> Preset:
    """What timm's configuration of a model says; by itself or under pretrained_cfg."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config = config.get("pretrained_cfg", config)
        _, height, width = config["input_size"]
        mode, share = config.get("crop_mode") or "center", config.get("crop_pct") or 1.0
        mean, std = _three(config["mean"]), _three(config["std"])
        short_side = floor(max(height, width) / share)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as fault:
        raise Misconfigured(f"--preset: {path} is no configuration of timm's: {fault!r}") from fault
    if mode == "squash":
        return Preset((height, width), mean, std, "stretch", 0)
    if mode == "center":
        return Preset((height, width), mean, std, "center_crop", short_side)
    raise Misconfigured(f"--preset: {path} has crop_mode {mode}, which is not known: give --resize and the others")


def _three(value: list[float]) -> Three:
    red, green, blue = value
    return float(red), float(green), float(blue)
