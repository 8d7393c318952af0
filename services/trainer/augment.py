"""What may change about a crop without changing its class: the road, the light and the camera.

All chance comes in as a generator, so that a seed gives the same crops again. Crops stay uint8: what the net
trains on goes through the same `catseye.model.to_input` as what it serves.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]

_LIT_APART_SHARE = 0.5

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a crop may be changed; every amount is drawn anew for every crop.

    Args:
        flip_share: Share of crops that are mirrored left to right, 0 to 1.
        rotation_degrees: Largest turn to either side; small ones are likelier, in a straight line down to none.
        zoom: Smallest and largest magnification.
        stretch: Largest change of the aspect ratio, as a share of 1.
        shear: Largest slant: by how much of its height the top of a crop is shifted against its bottom.
        shift: Largest shift, as a share of the side.
        light: Largest change of brightness, contrast and saturation, as a share of 1.
        tint: Largest change of one colour against the others, as a share of 1.
        blur_share: Share of crops that are blurred, 0 to 1.
        noise_share: Share of crops with sensor noise, 0 to 1.
        jpeg_share: Share of crops that are compressed once more, 0 to 1.
        erase_share: Share of crops in which a rectangle is hidden, 0 to 1.
        swap_share: Share of crops whose object stands before the background of another one, 0 to 1; of those only
            that could be cut out.
    """

    flip_share: float = 0.5
    rotation_degrees: float = 40.0
    zoom: tuple[float, float] = (0.85, 1.25)
    stretch: float = 0.2
    shift: float = 0.08
    light: float = 0.35
    tint: float = 0.08
    blur_share: float = 0.2
    noise_share: float = 0.15
    jpeg_share: float = 0.15
    erase_share: float = 0.3
    shear: float = 0.0
    swap_share: float = 0.0

    def scaled(self, strength: float) -> "Augmentation":
        """The same, *strength* times as far, 0 to 2; mirroring stays, for a mirrored crop is as likely as the other."""
        return replace(
            self,
            rotation_degrees=self.rotation_degrees * strength,
            zoom=(self.zoom[0] ** strength, self.zoom[1] ** strength),
            stretch=self.stretch * strength,
            shift=self.shift * strength,
            light=self.light * strength,
            tint=self.tint * strength,
            blur_share=self.blur_share * strength,
            noise_share=self.noise_share * strength,
            jpeg_share=self.jpeg_share * strength,
            erase_share=self.erase_share * strength,
            shear=self.shear * strength,
            swap_share=self.swap_share * strength,
        )


_PLACE: Final = Augmentation(
    rotation_degrees=25.0, zoom=(1.0, 1.35), stretch=0.3, shift=0.1, light=0.2, tint=0.05, shear=0.1
)
"""How far a background is changed by itself; never made so small that it ends."""


def augment(
    crop: Crop,
    change: Augmentation,
    chance: np.random.Generator,
    *,
    mask: NDArray[np.uint8] | None = None,
    place: Crop | None = None,
) -> Crop:
    """A changed copy of *crop*, uint8 [h, w, 3] like it.

    Args:
        crop: uint8 [h, w, 3].
        change: How far.
        chance: Of all amounts.
        mask: Where its object is, uint8 [h, w] of 0 to 255; None where that is not known.
        place: Another crop without its object, of any size, before which this one may be put.
    """
    if mask is not None and place is not None and chance.random() < change.swap_share:
        changed = _swapped(crop, mask, place, change, chance)
    else:
        changed = _warped(crop, _move(crop, change, chance))
    changed = _relit(changed, change, chance)
    if chance.random() < change.blur_share:
        changed = _as_crop(cv2.GaussianBlur(changed, (0, 0), chance.uniform(0.4, 1.4)))
    if chance.random() < change.noise_share:
        changed = _noisy(changed, chance)
    if chance.random() < change.jpeg_share:
        changed = _compressed(changed, chance)
    if chance.random() < change.erase_share:
        _erase(changed, chance)
    return changed


def _move(crop: Crop, change: Augmentation, chance: np.random.Generator) -> NDArray[np.float64]:
    """Turn, slant, zoom, stretch, shift and mirror in one map [2, 3], so that the crop is softened only once."""
    height, width = crop.shape[:2]
    # Most vehicles follow the road, a few turn off it: both must be met, in about these shares.
    turn = np.deg2rad(change.rotation_degrees * (chance.random() - chance.random()))
    zoom = np.exp(chance.uniform(*np.log(change.zoom)))
    aspect = np.exp(chance.uniform(-change.stretch, change.stretch) / 2)
    slant = chance.uniform(-change.shear, change.shear) if change.shear else 0.0
    mirror = -1.0 if chance.random() < change.flip_share else 1.0
    across, down = zoom * aspect * mirror, zoom / aspect
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    move = np.empty((2, 3))
    move[:, :2] = turned @ np.array([[across, slant * zoom], [0.0, down]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = chance.uniform(-change.shift, change.shift, size=2) * (width, height)
    move[:, 2] = centre + offset - move[:, :2] @ centre
    return move


def _warped(crop: Crop, move: NDArray[np.float64], outside: int = cv2.BORDER_REFLECT_101) -> Crop:
    height, width = crop.shape[:2]
    return _as_crop(cv2.warpAffine(crop, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=outside))


def _swapped(
    crop: Crop, mask: NDArray[np.uint8], place: Crop, change: Augmentation, chance: np.random.Generator
) -> Crop:
    """The object before *place*, each moved and the place lit by itself: neither tells of the other."""
    height, width = crop.shape[:2]
    place = _as_crop(cv2.resize(place, (width, height), interpolation=cv2.INTER_LINEAR))
    around = _warped(place, _move(place, _PLACE, chance))
    if chance.random() < _LIT_APART_SHARE:
        around = _relit(around, _PLACE, chance)
    move = _move(crop, change, chance)
    share = _warped(mask, move, cv2.BORDER_CONSTANT).astype(np.float32)[:, :, None] / 255.0
    return _as_crop(_warped(crop, move) * share + around * (1.0 - share))


def _relit(crop: Crop, change: Augmentation, chance: np.random.Generator) -> Crop:
    """Brightness, contrast, saturation and tint are one linear map of the colours."""
    brightness, contrast, saturation = 1.0 + chance.uniform(-change.light, change.light, size=3)
    tint = 1.0 + chance.uniform(-change.tint, change.tint, size=3)
    colours = saturation * np.eye(3) + (1.0 - saturation) * _GREY
    colours = contrast * brightness * tint[:, None] * colours
    lift = (1.0 - contrast) * brightness * float(crop.mean())
    return _as_crop(cv2.transform(crop, np.hstack([colours, np.full((3, 1), lift)])))


def _noisy(crop: Crop, chance: np.random.Generator) -> Crop:
    noise = chance.standard_normal(crop.shape, dtype=np.float32) * chance.uniform(2.0, 10.0)
    return np.clip(crop + noise, 0, 255).astype(np.uint8)


def _compressed(crop: Crop, chance: np.random.Generator) -> Crop:
    quality = int(chance.integers(30, 90))
    _, jpeg = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _as_crop(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def _erase(crop: Crop, chance: np.random.Generator) -> None:
    """Hide a rectangle of 2 to 15 % of the area behind one colour (Zhong et al., 2017, "Random Erasing")."""
    height, width = crop.shape[:2]
    area = chance.uniform(0.02, 0.15) * height * width
    aspect = np.exp(chance.uniform(-1.0, 1.0))
    tall = max(1, min(height, round(np.sqrt(area * aspect))))
    wide = max(1, min(width, round(np.sqrt(area / aspect))))
    top = int(chance.integers(0, height - tall + 1))
    left = int(chance.integers(0, width - wide + 1))
    crop[top : top + tall, left : left + wide] = chance.integers(0, 256, size=3)


def _as_crop(image: Any) -> Crop:
    """OpenCV's types promise any array; these are uint8 already, so that nothing is copied."""
    return np.asarray(image, dtype=np.uint8)
