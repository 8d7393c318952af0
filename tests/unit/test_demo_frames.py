"""What a demo is asked to play is looked at before anything starts."""

import shutil
from pathlib import Path

import pytest

from catseye.contract.errors import Misconfigured
from infra.local.demo_frames import check_pictures, classes_of
from infra.local.demo_models import CROPS, MODEL


def folders(at: Path, *names: str) -> Path:
    """A folder of the example's cars under these class names, one each."""
    crop = min((CROPS / "car").glob("*.jpg"))
    for name in names:
        (at / name).mkdir(parents=True)
        shutil.copy(crop, at / name / "1.jpg")
    return at


def test_some_of_the_models_classes_will_do(tmp_path: Path) -> None:
    """Not all of them need pass by; nor need the later pictures be of more."""
    check_pictures(MODEL, folders(tmp_path / "before", "bike", "car"), folders(tmp_path / "after", "bike", "car"))


def test_a_class_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    """With those that it knows, what was perhaps meant, and what to do."""
    with pytest.raises(Misconfigured) as caught:
        check_pictures(MODEL, folders(tmp_path, "Car", "bike", "dachshund"), None)
    assert str(caught.value) == (
        f"--frames: vehicles.onnx knows no class Car, dachshund; it knows {', '.join(classes_of(MODEL))} (Car is "
        "perhaps car): name the folders so, or name a model of your classes with --model"
    )


def test_what_cannot_be_played_is_named(tmp_path: Path) -> None:
    """One class, pictures that are no JPEG by name or by content, a class that --after lacks, no model."""
    frames = folders(tmp_path / "whole", "bike", "car", "truck")
    with pytest.raises(Misconfigured, match="at least two classes, found 1"):
        check_pictures(MODEL, folders(tmp_path / "one", "car"), None)
    pngs = folders(tmp_path / "pngs", "bike", "car")
    for jpeg in pngs.rglob("*.jpg"):
        jpeg.rename(jpeg.with_suffix(".png"))
    with pytest.raises(Misconfigured, match="found 0 with JPEGs in it"):
        check_pictures(MODEL, pngs, None)
    with pytest.raises(Misconfigured, match=r"^--after: no JPEGs of truck"):
        check_pictures(MODEL, frames, folders(tmp_path / "after", "bike", "car"))
    broken = folders(tmp_path / "broken", "bike", "car", "truck")
    (broken / "car" / "1.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(Misconfigured, match=r"^--frames: .*broken/car/1\.jpg cannot be used"):
        check_pictures(MODEL, broken, None)
    with pytest.raises(Misconfigured, match=r"^--after: .*broken/car/1\.jpg cannot be used"):
        check_pictures(MODEL, frames, broken)
    with pytest.raises(Misconfigured, match=r"^--model: .*1\.jpg cannot be used"):
        check_pictures(broken / "car" / "1.jpg", None, None)
