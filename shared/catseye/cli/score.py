"""`catseye models score`: what a model file has right of frames whose class is known. Needs no broker."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catseye.cli.common import json_option, packages_missing, table, write_json
from catseye.cli.lineage import Progress
from catseye.contract.errors import BadModel, BadRecord, Misconfigured
from catseye.contract.names import class_of_folder
from catseye.ops.classes import unknown_classes
from catseye.ops.score import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from catseye.models.net import Crop, Net

JPEGS = frozenset({".jpg", ".jpeg"})


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--frames",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds one folder of JPEGs a class.",
)
@json_option
def score(file: Path, frames: Path, json_file: Path | None) -> None:
    """Say what the model FILE has right of frames whose class is known, with 95 % intervals after Wilson.

    Frames are checked, decoded and resized as the services do it. Those that ingest would refuse are listed and left
    out; the exit status is 1 then. Of 80 frames or more it also says how far the views differ: clusters of angle and
    background, found without the classes. A model that knows the place and not the object shows there. No broker is
    needed.
    """
    pictures = pictures_by_class(frames)
    net = loaded(file)
    if unknown := unknown_classes(pictures, net.spec.classes):
        raise Misconfigured(f"--frames: {file.name} {unknown}: name the folders so, or leave them out")
    odd: list[str] = []
    seen: list[NDArray[np.float32]] = []
    pairs = list(_pairs(net, [(name, each) for name, found in pictures.items() for each in found], odd, seen))
    if pairs:
        from catseye.models.views import views_of  # noqa: PLC0415 - as in `loaded`

        found = Score(pairs, views_of(seen).tolist())
        if not write_json(json_file, found.as_json()):
            click.echo(found.sentence())
            table(found.rows())
            if len(found.by_view) > 1:
                click.echo(f"\n{found.views_sentence()}")
                table(found.view_rows())
    if odd:
        for line in odd:
            click.echo(f"left out: {line}", err=True)
        click.echo(
            f"{len(odd)} of {len(pairs) + len(odd)} frames cannot be read or would be refused by ingest, and are left "
            "out",
            err=True,
        )
        sys.exit(1)


def pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    """Class to its JPEGs in the order of their names, of a *folder* with one folder a class.

    Raises:
        Misconfigured: there is none.
    """
    by_class: dict[str, list[Path]] = {}
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.name.startswith("."):
            found = sorted(picture for picture in each.rglob("*") if picture.suffix.lower() in JPEGS)
            if found:
                by_class.setdefault(class_of_folder(each.name), []).extend(found)
    if not by_class:
        raise Misconfigured(
            f"{folder} holds no folder with JPEGs in it: one folder a class is expected, named as it is"
        )
    return by_class


def loaded(file: Path) -> Net:
    """The model in *file*. Raises `BadModel`, and `Misconfigured` where packages are missing."""
    try:
        # Not at the top: the other commands do without these packages.
        from catseye.models.check import check_file  # noqa: PLC0415
        from catseye.models.net import Net  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise packages_missing(missing, "used") from missing
    onnx = file.read_bytes()
    with naming(file):
        check_file(onnx)
        return Net(onnx)


@contextmanager
def naming(file: Path, out: Path | None = None) -> Iterator[None]:
    """What is wrong with *file* names it in the command that mends it, so that the command can be run as it stands."""
    try:
        yield
    except BadModel as fault:
        shown = shlex.quote(str(file)), shlex.quote(str(out or f"{file.stem}.described.onnx"))
        text = str(fault).replace("models describe FILE ", f"models describe {shown[0]} ")
        raise BadModel(text.replace(" -o OUT`", f" -o {shown[1]}`")) from fault


def crop_of(jpeg: bytes) -> Crop:
    """A frame's pixels, as ingest lets it in and inference decodes it. Raises `BadRecord`."""
    from catseye.models.jpeg import decode_rgb, inspect  # noqa: PLC0415 - as in `loaded`

    inspect(jpeg)
    return decode_rgb(jpeg)


def _pairs(
    net: Net, pictures: Sequence[tuple[str, Path]], odd: list[str], seen: list[NDArray[np.float32]]
) -> Iterator[tuple[str, str]]:
    """True and predicted class of each picture, what tells its view in *seen*; what cannot be decoded is in *odd*."""
    from catseye.models.net import MICRO_BATCH  # noqa: PLC0415 - as in `loaded`
    from catseye.models.views import view_features  # noqa: PLC0415

    with Progress("classifying") as progress:
        for start in range(0, len(pictures), MICRO_BATCH):
            names: list[str] = []
            crops: list[Crop] = []
            for name, picture in pictures[start : start + MICRO_BATCH]:
                try:
                    crops.append(crop_of(picture.read_bytes()))
                    names.append(name)
                except BadRecord as fault:
                    odd.append(f"{picture}: {fault}")
                except OSError as fault:  # a link that leads nowhere, a folder of that name, a right that is missing
                    odd.append(f"{picture}: {fault.strerror}")
            if crops:
                seen.extend(map(view_features, crops))
                best = net.predict(crops).probabilities.argmax(axis=1).tolist()
                yield from zip(names, (net.spec.classes[place] for place in best), strict=True)
            progress.show(min(start + MICRO_BATCH, len(pictures)), len(pictures))
