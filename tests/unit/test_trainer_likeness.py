"""The trainer's perceptual hash is ingest's: crops from folders are compared with frames that ingest measured."""

from pathlib import Path

import numpy as np
import pytest

from catseye.models.jpeg import decode_rgb
from services.ingest.quality import measure
from services.trainer.likeness import perceptual_hash

EXAMPLE = Path(__file__).parents[2] / "infra" / "example" / "crops"
CROPS = sorted(EXAMPLE.glob("*/*40.jpg"))


@pytest.mark.parametrize("path", CROPS, ids=lambda path: path.stem)
def test_both_say_the_same_of_a_crop(path: Path) -> None:
    """To the bit."""
    rgb = decode_rgb(path.read_bytes())
    assert perceptual_hash(rgb) == measure(rgb).perceptual_hash


@pytest.mark.parametrize("level", [0, 90, 255])
def test_both_say_the_same_of_an_even_picture(level: int) -> None:
    """Where all waves but the mean are nothing."""
    rgb = np.full((64, 48, 3), level, dtype=np.uint8)
    assert perceptual_hash(rgb) == measure(rgb).perceptual_hash
