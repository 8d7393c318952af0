"""Crops from folders: listed by class and number, split by the order of capture, refused with a clear sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from catseye.contract.errors import Misconfigured
from services.trainer.data import Crop, Folder, decode, fingerprint, read_folder, split_by_number

EXAMPLE = Path(__file__).parents[2] / "infra" / "example" / "crops"


def frames(root: Path, *names: str) -> Path:
    """A folder of empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def folder_of(counts: dict[str, int]) -> Folder:
    """A folder with so many crops a class, numbered from 1."""
    crops = [
        Crop(Path(name, f"{number}.jpg"), place, number)
        for place, (name, count) in enumerate(counts.items())
        for number in range(1, count + 1)
    ]
    return Folder("frames", tuple(counts), tuple(crops), "")


def nothing() -> None:
    """Nobody watches."""


def test_classes_come_by_name_and_crops_by_number(tmp_path: Path) -> None:
    """Number 10 comes after 9, whatever the file system or the alphabet says; other files are left alone."""
    root = frames(
        tmp_path / "road", "car/car10.jpg", "car/car9.JPEG", "bike/2-a.jpg", "car/notes.txt", ".hidden/1.jpg", "empty/x"
    )
    (root / "ATTRIBUTION.md").write_text("Somebody.\n", encoding="utf-8")
    folder = read_folder(root)
    assert (folder.name, folder.classes, folder.attribution) == ("road", ("bike", "car"), "Somebody.")
    assert [(crop.path.name, crop.class_index, crop.number) for crop in folder.crops] == [
        ("2-a.jpg", 0, 2),
        ("car9.JPEG", 1, 9),
        ("car10.jpg", 1, 10),
    ]


def test_nobody_is_named_without_an_attribution(tmp_path: Path) -> None:
    """The file may be missing."""
    assert read_folder(frames(tmp_path, "a/1.jpg", "b/1.jpg")).attribution == ""


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Nothing there."""
    with pytest.raises(Misconfigured, match=r"--frames: there is no folder .*/nowhere.$"):
        read_folder(tmp_path / "nowhere")


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    """Nothing can be told apart."""
    with pytest.raises(Misconfigured, match=r"at least two classes, found 1 with JPEGs in it.$"):
        read_folder(frames(tmp_path, "car/1.jpg", "bike/1.png"))


def test_a_crop_without_a_number_is_named(tmp_path: Path) -> None:
    """It has no place in time."""
    with pytest.raises(Misconfigured, match=r"car/front.jpg has no number in its name"):
        read_folder(frames(tmp_path, "car/front.jpg", "bike/1.jpg"))


def test_each_class_is_split_by_the_order_of_capture() -> None:
    """First train, then validation, then test, in each class for itself."""
    split = split_by_number(folder_of({"a": 640, "b": 32}), validation_share=0.0625, test_share=0.15625)
    ranges = [
        [
            (min(numbers), max(numbers))
            for place in (0, 1)
            if (numbers := [c.number for c in part if c.class_index == place])
        ]
        for part in (split.train, split.validation, split.test)
    ]
    assert ranges == [[(1, 500), (1, 25)], [(501, 540), (26, 27)], [(541, 640), (28, 32)]]


def test_a_class_with_too_few_crops_is_named() -> None:
    """Every part needs at least two of every class."""
    with pytest.raises(Misconfigured, match=r"class 'b' has 10 crops, too few .* they would get 7, 1, 2.$"):
        split_by_number(folder_of({"a": 40, "b": 10}), validation_share=0.1, test_share=0.2)


def test_crops_are_decoded_in_their_order() -> None:
    """Pixels and labels keep together; progress is told after each crop."""
    folder = read_folder(EXAMPLE)
    seen: list[None] = []
    part = decode(folder.crops[99:101], lambda: seen.append(None))
    assert ([image.shape for image in part.images], part.labels.tolist(), len(seen)) == ([(100, 100, 3)] * 2, [0, 1], 2)
    assert part.images[0].dtype == np.uint8


def test_an_unreadable_jpeg_is_named(tmp_path: Path) -> None:
    """Half a JPEG is not guessed at."""
    whole = (EXAMPLE / "car" / "car600.jpg").read_bytes()
    broken = tmp_path / "car600.jpg"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Misconfigured, match=r"car600.jpg cannot be decoded: "):
        decode([Crop(broken, 0, 600)], nothing)


def test_the_fingerprint_is_of_the_crops_and_not_of_the_place(tmp_path: Path) -> None:
    """The same crops elsewhere have the same fingerprint; one other byte changes it."""
    here, there = read_folder(EXAMPLE), read_folder(Path(shutil.copytree(EXAMPLE, tmp_path / "copy")))
    few = slice(95, 105)
    expected = fingerprint(here, here.crops[few])
    assert fingerprint(there, there.crops[few]) == expected
    there.crops[100].path.write_bytes(b"other")
    assert fingerprint(there, there.crops[few]) != expected
