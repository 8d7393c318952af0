"""`catseye models describe`: an ONNX file that was made elsewhere gets what a model file must say of itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catseye.cli.common import OutFile, json_option, packages_missing, write_file, write_json
from catseye.cli.score import JPEGS, crop_of, naming
from catseye.contract.errors import BadRecord, Misconfigured

if TYPE_CHECKING:
    from catseye.models.describe import Described
    from catseye.models.describing import Wanted
    from catseye.models.spec import Resize

_GOLDEN_CROPS = 12
_GOLDEN_BYTES = 2 * 2**20  # of all golden crops: they are loaded at each swap


def three(text: str) -> tuple[float, ...]:
    """Three numbers with commas between them; one stands for all three."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"{text} is not three numbers with commas between them")
    return tuple(numbers * (3 // len(numbers)))


def size(text: str) -> tuple[int, int]:
    """224x224, height first; 224 stands for both."""
    sides = text.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
        raise click.BadParameter(f"{text} is not a height and a width, as in 224x224")
    return int(sides[0]), int(sides[-1])


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--classes", "class_names", metavar="A,B,…", help="In the order of the output; or a file with one a line."
)
@click.option("--preset", "preset_name", metavar="NAME", help="torchvision/WEIGHTS, timm/MODEL, or timm's config.json.")
@click.option("--size", type=size, metavar="HxW", help="Of the input, pixels [default: as the graph says].")
@click.option("--mean", type=three, metavar="R,G,B", help="In the order of --channels, on the scale 0 to 1.")
@click.option(
    "--std", type=three, metavar="R,G,B", help="Likewise; mean 0 and std 0.00392157 for a net that wants 0 to 255."
)
@click.option("--resize", type=click.Choice(["stretch", "center_crop", "letterbox"]), help="[default: stretch]")
@click.option(
    "--short-side", type=click.IntRange(1), help="Of center_crop: what the shorter side becomes first, pixels."
)
@click.option("--fill", type=click.IntRange(0, 255), help="Of letterbox: grey level of the bars [default: 0].")
@click.option("--channels", type=click.Choice(["RGB", "BGR"]), default="RGB", show_default=True)
@click.option("--layout", type=click.Choice(["NCHW", "NHWC"]), help="Axes of the input [default: as the graph says].")
@click.option("--output", metavar="NAME", help="The output with the classes, where there are several.")
@click.option(
    "--gives", "kind", type=click.Choice(["logits", "probabilities"]), help="[default: what golden crops tell]"
)
@click.option("--batch", type=click.IntRange(0, 1024), help="Crops of each run; 0 is any [default: as the graph says].")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--golden", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of real crops, JPEG."
)
@click.option("--name", help="Of the model; all its versions have the same [default: the file's].")
@click.option("--attribution", default="", help="Whom to name for the training data, and its licence.")
@click.option("-o", "--out", type=OutFile(), help="What is written [default: FILE.described.onnx, beside it].")
@json_option
def describe(file: Path, golden: Path | None, out: Path | None, json_file: Path | None, **given: Any) -> None:
    """Write into a copy of any ONNX classifier FILE what a model file must say of itself.

    The graph stays as it is. Names of its input and output, its axes and its batch are read off it; whether it gives
    logits or probabilities is seen by running the golden crops, up to twelve of the folder, taken evenly. They go into
    the file with what the net says of them, so that it can be checked wherever it is loaded. Where the folder holds one
    folder a class, the answers are compared with it: a wrong mean, colour order or resize mode shows there.
    """
    out = out or file.with_name(f"{file.stem}.described.onnx").absolute()
    try:
        # Not at the top: the other commands do without these packages.
        from catseye.models.describe import described  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise packages_missing(missing, "described") from missing
    crops = golden_crops(golden) if golden else []
    with naming(file, out):
        found = described(file.read_bytes(), _wanted(file, **given), [jpeg for _, jpeg in crops])
    write_file(out, found.onnx)
    right = _right([name for name, _ in crops], found)
    if not write_json(json_file, _row(out, found, right)):
        for line in _lines(out, found, right, golden):
            click.echo(line)


def golden_crops(folder: Path) -> list[tuple[str, bytes]]:
    """Up to twelve JPEGs that ingest would let in, evenly from *folder*; each with the name of the folder it lies in.

    Raises:
        Misconfigured: there is none.
    """
    pictures = sorted(each for each in folder.rglob("*") if each.suffix.lower() in JPEGS)
    found: list[tuple[str, bytes]] = []
    refused = ""
    total = 0
    for picture in _evenly(pictures, _GOLDEN_CROPS):
        try:
            jpeg = picture.read_bytes()
            crop_of(jpeg)
        except BadRecord as fault:
            refused = f"; ingest would refuse {picture}: {fault}"
            continue
        except OSError as fault:
            refused = f"; {picture} cannot be read: {fault.strerror}"
            continue
        if found and total + len(jpeg) > _GOLDEN_BYTES:
            continue
        total += len(jpeg)
        found.append((picture.parent.name, jpeg))
    if not found:
        raise Misconfigured(f"--golden: there is no JPEG to be used in {folder}{refused}")
    return found


def class_list(text: str | None) -> tuple[str, ...]:
    """Names with commas between them, or one a line in the file of that name."""
    if not text:
        return ()
    path = Path(text)
    if "," not in text and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(name.strip() for name in text.split(","))


def _wanted(
    file: Path,
    *,
    class_names: str | None,
    preset_name: str | None,
    resize: Resize | None,
    short_side: int | None,
    fill: int | None,
    name: str | None,
    **others: Any,
) -> Wanted:
    """What the options say; a preset says what they leave open."""
    from catseye.models.describing import Wanted  # noqa: PLC0415 - as in `describe`
    from catseye.models.presets import preset  # noqa: PLC0415

    if preset_name:
        known = preset(preset_name)
        others |= {key: getattr(known, key) for key in ("size", "mean", "std") if others[key] is None}
        if resize is None:
            resize, short_side = known.resize, short_side or known.short_side
    if short_side and resize != "center_crop":
        raise Misconfigured("--short-side belongs to --resize center_crop")
    if fill is not None and resize != "letterbox":
        raise Misconfigured("--fill belongs to --resize letterbox")
    return Wanted(
        name=name or file.stem,
        classes=class_list(class_names),
        resize=resize or "stretch",
        short_side=short_side or 0,
        fill=fill or 0,
        **others,
    )


def _evenly(pictures: Sequence[Path], count: int) -> list[Path]:
    """*count* of *pictures*, or all where they are fewer."""
    return (
        [pictures[place * len(pictures) // count] for place in range(count)] if len(pictures) > count else [*pictures]
    )


def _right(folders: Sequence[str], found: Described) -> int | None:
    """How many golden crops are what the folder that they lie in is called; None where folders are no classes."""
    if not set(folders) <= set(found.spec.classes):
        return None
    return sum(folder == predicted for folder, predicted in zip(folders, found.predicted, strict=True))


def _row(out: Path, found: Described, right: int | None) -> dict[str, Any]:
    spec = found.spec
    return {
        "file": str(out),
        "model": spec.name,
        "classes": spec.classes,
        "input": spec.input_name,
        "size": [spec.height, spec.width],
        "layout": spec.layout,
        "channels": spec.channels,
        "mean": spec.mean,
        "std": spec.std,
        "resize": spec.resize,
        "short_side": spec.short_side,
        "fill": spec.fill,
        "batch": spec.batch,
        "output": spec.output_name,
        "gives": spec.output_kind,
        "golden": len(spec.golden),
        "golden_right": right,
    }


def _lines(out: Path, found: Described, right: int | None, golden: Path | None) -> Iterator[str]:
    spec = found.spec
    batch = f", {spec.batch} a run" if spec.batch else ""
    resize = f"{spec.resize} from {spec.short_side}" if spec.short_side else spec.resize
    yield f"input {spec.input_name}: {spec.layout} {spec.channels} {spec.height}x{spec.width}{batch}, {resize}"
    yield f"output {spec.output_name}: {spec.output_kind} of {len(spec.classes)} classes"
    if right is None:
        yield f"golden crops: {len(spec.golden)}; predicted {', '.join(found.predicted)}"
    else:
        yield f"golden crops: {len(spec.golden)}; {right} are what their folder is called"
        if right < len(spec.golden) / 2:
            yield "  Fewer than half: is the order of --classes right, are --mean, --std, --channels and --resize?"
    yield f"{spec.name}, described, is {out}"
    shown = shlex.quote(str(out))
    if right is not None:
        yield f"next: catseye models score {shown} --frames {shlex.quote(str(golden))}"
    yield f"next: catseye models register {shown} --stage champion"
