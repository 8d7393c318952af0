"""Where a model looks: a map over a picture, computed when a person asks for it, and never else.

The model runs once more over the frame. Where its graph gives class activation maps, and the whole picture is what it
sees, that map is shown. Else parts of the picture are covered, one after another, and the map is what each costs the
class ("occlusion sensitivity" of Zeiler and Fergus, 2014, "Visualizing and Understanding Convolutional Networks").
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel, BadRecord, Unavailable
from catseye.models.jpeg import decode_rgb
from catseye.settings import Settings
from services.gateway.problem import not_found, unavailable

SIDE: Final = 160
"""Of a map, pixels; a page stretches it over the picture."""
_PARTS: Final = 7
"""Of a picture's side, that are covered one after another; a cover is two of them wide."""
_RUN: Final = 16
_OPAQUE: Final = 190.0
_MAPS_KEPT: Final = 64
_NETS_KEPT: Final = 2
_BY_MAP: Final = "Warm colours: what spoke for the class, by the model's own activation map."
_BY_COVER: Final = (
    "Warm colours: what the class depends on. Each part was covered in turn, and the class became less likely."
)


class Explained(NamedTuple):
    """A map.

    Attributes:
        png: RGBA, `SIDE` by `SIDE`: clear where nothing spoke for the class.
        label: The class with the highest probability.
        probability: Its own.
        method: How the map came about, a sentence.
    """

    png: bytes
    label: str
    probability: float
    method: str


class Activations:
    """Computes maps, one at a time, and keeps those that were asked for last.

    Args:
        settings: Where model files are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._nets: OrderedDict[str, Any] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int, int], Explained] = OrderedDict()

    async def of(self, jpeg: bytes, place: tuple[int, int], sha256: str) -> Explained:
        """The map of the model file *sha256* over a frame. Raises `Problem`: no such file, or it cannot run."""
        key = sha256, *place
        async with self._lock:
            if key not in self._kept:
                self._kept[key] = await asyncio.to_thread(self._explained, jpeg, sha256)
            self._kept.move_to_end(key)
            while len(self._kept) > _MAPS_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _explained(self, jpeg: bytes, sha256: str) -> Explained:
        try:
            net = self._net(sha256)
            return explained(net, decode_rgb(jpeg))
        except Unavailable as fault:
            raise unavailable(f"The model file cannot be read here: {fault}.") from fault
        except (BadModel, BadRecord) as fault:
            raise not_found(f"map: {fault}") from fault

    def _net(self, sha256: str) -> Any:
        if sha256 not in self._nets:
            # onnxruntime is large, and few people ask.
            from catseye.models.net import Net  # noqa: PLC0415
            from catseye.models.register import store_of  # noqa: PLC0415

            self._nets[sha256] = Net(store_of(self._settings).get(sha256))
            while len(self._nets) > _NETS_KEPT:
                self._nets.popitem(last=False)
        self._nets.move_to_end(sha256)
        return self._nets[sha256]


def explained(net: Any, crop: NDArray[np.uint8]) -> Explained:
    """What *net*, a `catseye.models.net.Net`, saw in an RGB picture, uint8 [h, w, 3]."""
    answer = net.predict([crop])
    best = int(answer.probabilities[0].argmax())
    if answer.maps is not None and net.spec.resize == "stretch":
        heat, method = np.asarray(answer.maps[0, best]), _BY_MAP
    else:
        heat, method = _covered(net, crop, best, float(answer.probabilities[0, best])), _BY_COVER
    return Explained(_png(heat), net.spec.classes[best], float(answer.probabilities[0, best]), method)


def _covered(net: Any, crop: NDArray[np.uint8], best: int, whole: float) -> NDArray[np.float32]:
    """How much less likely class *best* is with each part of the picture in its mean colour: float32 [parts, parts]."""
    rows, columns = (
        np.linspace(0, crop.shape[0], _PARTS + 1).astype(int),
        np.linspace(0, crop.shape[1], _PARTS + 1).astype(int),
    )
    grey = crop.mean(axis=(0, 1)).astype(np.uint8)
    pictures = []
    for row in range(_PARTS):
        for column in range(_PARTS):
            covered = crop.copy()
            covered[rows[row] : rows[min(row + 2, _PARTS)], columns[column] : columns[min(column + 2, _PARTS)]] = grey
            pictures.append(covered)
    found = np.concatenate(
        [net.predict(pictures[at : at + 16]).probabilities[:, best] for at in range(0, len(pictures), 16)]
    )
    return (whole - found).reshape(_PARTS, _PARTS).astype(np.float32)


def _png(heat: NDArray[np.float32]) -> bytes:
    """*heat* [h, w] as colours, clear where it is not positive."""
    positive = np.maximum(heat, 0.0)
    scaled = positive / (float(positive.max()) or 1.0)
    smooth = np.clip(cv2.resize(scaled.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (_OPAQUE * np.sqrt(smooth)).astype(np.uint8)
    return bytes(cv2.imencode(".png", np.dstack([colours, alpha]))[1])
