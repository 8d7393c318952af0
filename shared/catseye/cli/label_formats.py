"""Labels as COCO and as Label Studio write them: plain JSON of both, of which a frame and its one class are taken.

A picture is called ``camera/boot/sequence.jpg``, so its name says which frame it is, wherever it has been meanwhile.
Boxes and whatever else stands there are left alone: a frame has one class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from catseye.cli.label_file import Labelled, checked
from catseye.contract.errors import BadRecord, Misconfigured

_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
_LOCAL: Final = "/data/local-files/?d="
"""Before the path of a picture that Label Studio has from a folder."""


class Known(NamedTuple):
    """A label that holds, to be written.

    Attributes:
        labelled: Frame, class, source and propensity.
        predicted: What the model said.
        size: Width and height of the picture, pixels; None where the frame is not looked up.
    """

    labelled: Labelled
    predicted: str
    size: tuple[int, int] | None


class _Image(msgspec.Struct):
    id: int | str
    file_name: str = ""
    source: str | None = None
    propensity: float | None = None


class _Category(msgspec.Struct):
    id: int | str
    name: str


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int | str


class _Coco(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


class _Value(msgspec.Struct):
    choices: list[str] = []
    rectanglelabels: list[str] = []


class _Result(msgspec.Struct):
    value: _Value = msgspec.field(default_factory=_Value)


class _Given(msgspec.Struct):
    result: list[_Result] = []
    was_cancelled: bool = False
    updated_at: str = ""


class _Asked(msgspec.Struct):
    image: str = ""
    frame: str = ""
    source: str | None = None
    propensity: float | None = None


class _Task(msgspec.Struct):
    data: _Asked
    annotations: list[_Given]


def read_coco(path: Path) -> list[Labelled]:
    """The class of each image that has annotations.

    Raises:
        Misconfigured: the file cannot be read, is no COCO, or what stands there of an image is no label; nothing is to
            be sent of it then.
    """
    coco = _decoded(path, _Coco, "COCO")
    names = {category.id: category.name for category in coco.categories}
    images = {image.id: image for image in coco.images}
    classes: dict[int | str, set[str]] = {}
    for annotation in coco.annotations:
        if annotation.image_id not in images or annotation.category_id not in names:
            raise Misconfigured(
                f"{path}: an annotation is of image {annotation.image_id} and category {annotation.category_id}, which "
                "are not both in the file; nothing was sent"
            )
        classes.setdefault(annotation.image_id, set()).add(names[annotation.category_id])
    found = ((images[image], labels) for image, labels in classes.items())
    return [_labelled(path, image.file_name, labels, image.source, image.propensity) for image, labels in found]


def read_label_studio(path: Path) -> list[Labelled]:
    """The class of each task that has an annotation, by its newest one; skipped ones count for nothing.

    Raises:
        Misconfigured: as `read_coco`.
    """
    found = []
    for task in _decoded(path, list[_Task], "list of Label Studio's tasks"):
        given = [each for each in task.annotations if not each.was_cancelled and each.result]
        if given:
            values = [result.value for result in max(given, key=lambda each: each.updated_at).result]
            labels = {label for value in values for label in (*value.choices, *value.rectanglelabels)}
            asked = task.data
            found.append(_labelled(path, asked.frame or asked.image, labels, asked.source, asked.propensity))
    return found


def coco_of(known: Sequence[Known]) -> bytes:
    """Images, categories and one annotation an image; its box is the whole picture, where its size is known."""
    categories = {name: number for number, name in enumerate(sorted({each.labelled.label for each in known}), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (labelled, predicted, size) in enumerate(known, 1):
        more = {"source": labelled.source, "propensity": labelled.propensity, "predicted": predicted}
        shape = {} if size is None else {"width": size[0], "height": size[1]}
        box = {} if size is None else {"bbox": [0, 0, *size], "area": size[0] * size[1], "iscrowd": 0}
        images.append({"id": number, "file_name": picture_name(labelled), **shape, **more})
        of_image = {"id": number, "image_id": number, "category_id": categories[labelled.label]}
        annotations.append(of_image | box)
    content = {
        "images": images,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    return _encoded(content)


def label_studio_of(known: Iterable[Known]) -> bytes:
    """One task a frame: its label is an annotation, what the model said a prediction, both choices of an image."""
    tasks = [
        {
            "data": {
                "image": _LOCAL + picture_name(labelled),
                "frame": str(labelled.frame),
                "source": labelled.source,
                "propensity": labelled.propensity,
            },
            "annotations": [{"result": [_choice(labelled.label)], "was_cancelled": False}],
            "predictions": [{"result": [_choice(predicted)]}],
        }
        for labelled, predicted, _ in known
    ]
    return _encoded(tasks)


def picture_name(labelled: Labelled) -> str:
    """Path of a frame's picture, from the folder of all."""
    return f"{labelled.frame}.jpg"


READERS: Final[dict[str, Callable[[Path], list[Labelled]]]] = {"coco": read_coco, "label-studio": read_label_studio}
WRITERS: Final[dict[str, Callable[[Sequence[Known]], bytes]]] = {"coco": coco_of, "label-studio": label_studio_of}


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": "class", "to_name": "image", "type": "choices", "value": {"choices": [label]}}


def _labelled(path: Path, name: str, labels: set[str], source: str | None, propensity: float | None) -> Labelled:
    """Raises `Misconfigured`."""
    named = name.removeprefix(_LOCAL)
    suffix = next((each for each in _SUFFIXES if named.lower().endswith(each)), "")
    if len(labels) != 1:
        said = f"{len(labels)} classes ({', '.join(sorted(labels))})" if labels else "no class"
        raise Misconfigured(
            f"{path}: {name or 'a picture without a name'} has {said}, and a frame has one; nothing was sent"
        )
    try:
        return checked(named[: len(named) - len(suffix)], next(iter(labels)), source, propensity)
    except BadRecord as fault:
        raise Misconfigured(
            f"{path}: {fault.detail}; a picture is called camera/boot/sequence.jpg; nothing was sent"
        ) from fault


def _decoded(path: Path, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as fault:
        raise Misconfigured(f"{path} cannot be read: {fault}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Misconfigured(f"{path} is no {what}: {fault}; nothing was sent") from fault


def _encoded(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def lines(known: Iterable[Known]) -> Iterator[tuple[str, str, str, str]]:
    """Rows of a CSV file that `catseye label --from-csv` reads."""
    for labelled, *_ in known:
        yield str(labelled.frame), labelled.label, labelled.source or "", str(labelled.propensity or "")
