"""Resize modes: the default is what it always was, bit for bit; the others keep the aspect ratio, each in its way."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.models.model_file import ModelSpec, to_input
from catseye.models.resizing import resized
from catseye.models.spec import Resize

SPEC = ModelSpec("any", ("a", "b"), 20, 30, (0.5, 0.25, 0.125), (0.5, 0.25, 1.0), 1.0, ())


def crop(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_first_released(image: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    """What `to_input` made of one crop before there were other modes, line by line."""
    if image.shape[:2] != (spec.height, spec.width):
        smaller = image.shape[0] >= spec.height and image.shape[1] >= spec.width
        kind = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (spec.width, spec.height), interpolation=kind), np.uint8)
    scale = np.array([1.0 / (255.0 * std) for std in spec.std], dtype=np.float32)[:, None, None]
    shift = np.array([-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)], dtype=np.float32)
    found = np.empty((3, spec.height, spec.width), np.float32)
    np.multiply(np.stack(cv2.split(image)), scale, out=found)
    found += shift[:, None, None]
    return found


@pytest.mark.parametrize("shape", [(20, 30), (40, 60), (77, 31), (5, 90), (19, 30), (300, 11)])
def test_the_default_is_as_it_was_bit_for_bit(shape: tuple[int, int]) -> None:
    """Files that were made before there were modes say the same to the last bit."""
    image = crop(*shape)
    assert (to_input([image], SPEC)[0] == as_first_released(image, SPEC)).all()


def test_colours_and_axes_are_as_the_net_wants_them() -> None:
    """BGR turns the colours round and leaves mean and std in the net's order; NHWC has the colours last."""
    image = crop(20, 30)
    other = replace(SPEC, channels="BGR", layout="NHWC")
    expected = (image[..., ::-1] / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    actual = to_input([image, image[::-1]], other)
    assert actual.shape == (2, 20, 30, 3)
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual[0], expected, atol=1e-5)


def test_a_centre_crop_is_the_middle_of_the_crop_in_proportion() -> None:
    """As torchvision: the shorter side to a size, the longer one in proportion, and the middle of that."""
    image = crop(64, 100)
    outer = cv2.resize(image, (62, 40), interpolation=cv2.INTER_AREA)  # 100 * 40 / 64 = 62.5
    assert (resized(image, 20, 30, "center_crop", short_side=40) == outer[10:30, 16:46]).all()
    upright = np.ascontiguousarray(image.transpose(1, 0, 2))
    turned = cv2.resize(upright, (40, 62), interpolation=cv2.INTER_AREA)
    assert (resized(upright, 30, 20, "center_crop", short_side=40) == turned[16:46, 10:30]).all()


def test_a_centre_crop_without_a_side_loses_nothing_but_the_longer_side() -> None:
    """The crop is made just so large that it covers the input."""
    image = np.zeros((20, 90, 3), np.uint8)
    image[:, 30:60] = 255
    assert (resized(image, 20, 30, "center_crop") == 255).all()


def test_a_letterbox_has_the_whole_crop_and_two_bars() -> None:
    """In the middle, as large as it fits; the rest has one grey level."""
    wide = resized(np.full((10, 60, 3), 200, np.uint8), 20, 30, "letterbox", fill=7)
    assert wide[:, 0, 0].tolist() == [7] * 7 + [200] * 5 + [7] * 8
    tall = resized(np.full((80, 30, 3), 200, np.uint8), 20, 30, "letterbox", fill=7)
    assert tall[0, :, 0].tolist() == [7] * 11 + [200] * 8 + [7] * 11


@pytest.mark.parametrize("mode", ["stretch", "center_crop", "letterbox"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (20, 30), (21, 31), (400, 20), (37, 53)])
@pytest.mark.parametrize("short_side", [0, 30, 33])
def test_every_crop_gets_the_size(mode: Resize, shape: tuple[int, int], short_side: int) -> None:
    """Of any size and in any mode."""
    found = resized(crop(*shape), 20, 30, mode, short_side=short_side)
    assert (found.shape, str(found.dtype)) == ((20, 30, 3), "uint8")
