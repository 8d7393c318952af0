"""Pictures of a folder, one sub-folder a class, in the light of the hour and the weather, small, black, or damaged."""

from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.names import class_of_folder
from catseye.models.jpeg import decode_rgb, inspect
from services.simulator.changes import Effect
from services.simulator.core import LIGHT_LEVELS, FrameDue
from services.simulator.weather import KINDS, corrupt

_SUFFIXES = frozenset({".jpg", ".jpeg"})
_QUALITY = 95  # that of the example's crops
_TINY_SIDE = 32
_TINY_QUALITY = 75
_KEPT_BYTES = 128 * 2**20


class Appearance(NamedTuple):
    """How pictures are changed before they are sent.

    Attributes:
        brightness: At the brightest and darkest hour colours are this share brighter or darker, 0 to under 1.
        tiny: Whether pictures are made 32 x 32, about 0.8 KB each.
    """

    brightness: float = 0.15
    tiny: bool = False


class Pictures:
    """JPEGs by class. What was made once is kept, up to 128 MB.

    Args:
        folder: One sub-folder a class; a sub-folder without a JPEG is no class.
        seed: Of the order in which pictures are shown, and of the weather in them.
        appearance: How they are changed.
        option: Name of the command-line option that named the folder, for sentences.

    Raises:
        Misconfigured: no such folder, fewer than two classes.
    """

    def __init__(self, folder: Path, seed: int, appearance: Appearance, option: str = "--frames") -> None:
        if not folder.is_dir():
            raise Misconfigured(f"{option}: there is no folder {folder}")
        self._option = option
        self._appearance = appearance
        self._seed = seed
        self._paths: dict[str, list[Path]] = {}
        for sub in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            paths = sorted(path for path in sub.iterdir() if path.suffix.lower() in _SUFFIXES)
            if paths:
                Random(f"{seed}/{sub.name}").shuffle(paths)
                self._paths.setdefault(class_of_folder(sub.name), []).extend(paths)
        if len(self._paths) < 2:
            raise Misconfigured(
                f"{option}: {folder} must hold one folder of JPEGs for each of at least two classes, found "
                f"{len(self._paths)} with JPEGs in it"
            )
        self._kept: dict[tuple[Path, int, Effect | None], bytes] = {}
        self._kept_bytes = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the alphabet."""
        return tuple(self._paths)

    def check_covers(self, classes: tuple[str, ...]) -> None:
        """Raises `Misconfigured` when a class of *classes* has no picture here."""
        if missing := [name for name in classes if name not in self._paths]:
            raise Misconfigured(f"{self._option}: no JPEGs of {', '.join(missing)}; it must be laid out like --frames")

    def load(self) -> None:
        """Read, check and, where wanted, shrink every picture before the first one is due.

        Raises:
            Misconfigured: a picture cannot be decoded; the sentence names it.
        """
        for label, paths in self._paths.items():
            for nth in range(len(paths)):
                self.picture(label, nth, 0)

    def shown(self, frame: FrameDue) -> bytes:
        """The JPEG of a frame, before any damage to its bytes.

        Raises:
            Misconfigured: its picture cannot be read or decoded; the sentence names it.
        """
        return self.picture(frame.source, frame.nth, frame.light, frame.effect)

    def picture(self, label: str, nth: int, light: int, effect: Effect | None = None) -> bytes:
        """The JPEG of the *nth* picture of class *label* at step *light*, after *effect*.

        Raises:
            Misconfigured: it cannot be read or decoded; the sentence names it.
        """
        paths = self._paths[label]
        path = paths[nth % len(paths)]
        light = light if self._appearance.brightness else 0
        jpeg = self._kept.get((path, light, effect))
        if jpeg is None:
            jpeg = self._made(paths, nth, light, effect)
            self._keep((path, light, effect), jpeg)
        return jpeg

    def _keep(self, key: tuple[Path, int, Effect | None], jpeg: bytes) -> None:
        if self._kept_bytes > _KEPT_BYTES:
            self._kept.clear()
            self._kept_bytes = 0
        self._kept[key] = jpeg
        self._kept_bytes += len(jpeg)

    def _made(self, paths: list[Path], nth: int, light: int, effect: Effect | None) -> bytes:
        jpeg, rgb = self._read(paths[nth % len(paths)])
        if not light and not self._appearance.tiny and effect is None:
            return jpeg
        if effect is not None and effect.kind == "joined":
            # One of the next in the class: another one, unless there is none.
            rgb = _beside(rgb, self._read(paths[(nth + 1 + effect.variant) % len(paths)])[1])
        if self._appearance.tiny:
            rgb = np.asarray(cv2.resize(rgb, (_TINY_SIDE, _TINY_SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if light:
            # Low sun also flattens: half as much contrast is lost or won as brightness.
            share = self._appearance.brightness * light / LIGHT_LEVELS
            lift = float(rgb.mean()) * (1 + share) * -share / 2
            rgb = np.asarray(cv2.convertScaleAbs(rgb, alpha=(1 + share) * (1 + share / 2), beta=lift), dtype=np.uint8)
        if effect is not None:
            rgb = self._after(rgb, effect)
        quality = _TINY_QUALITY if self._appearance.tiny else _QUALITY
        made: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", "420")
        return made

    def _read(self, path: Path) -> tuple[bytes, NDArray[np.uint8]]:
        try:
            jpeg = path.read_bytes()
            inspect(jpeg)
            return jpeg, decode_rgb(jpeg)
        except (OSError, BadRecord) as fault:
            raise Misconfigured(f"{self._option}: {path} cannot be used: {fault}") from fault

    def _after(self, rgb: NDArray[np.uint8], effect: Effect) -> NDArray[np.uint8]:
        if effect.kind == "black":
            return np.zeros_like(rgb)
        if effect.kind not in KINDS:
            return rgb
        # Not of the severity: what comes up slowly keeps its places while it grows.
        chance = np.random.default_rng(crc32(f"{self._seed}/{effect.kind}/{effect.variant}".encode()))
        return corrupt(rgb, effect.kind, effect.severity, chance)


def _beside(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = left.shape[0]
    width = max(1, round(right.shape[1] * height / right.shape[0]))
    return np.hstack([left, np.asarray(cv2.resize(right, (width, height)), dtype=np.uint8)])


def damaged(jpeg: bytes, nth: int) -> bytes:
    """A picture that no reader may accept, in one of three ways by *nth*: cut off, without its start, empty."""
    return (jpeg[: len(jpeg) // 2], jpeg[2:], b"")[nth % 3]
