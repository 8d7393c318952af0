"""`catseye label`: true classes by hand, one or all of a file."""

from pathlib import Path

import click

from catseye.cli.common import CAMERA, Name, json_option, settings_with_broker, write_json
from catseye.client import FrameId, Publisher
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.names import boot_of, camera_of

_FORM = "CAMERA BOOT/SEQUENCE CLASS, for example gate-7 b7/42 truck"
IN_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("camera", type=CAMERA, required=False)
@click.argument("frame", metavar="[BOOT/SEQUENCE]", required=False)
@click.argument("class_", metavar="[CLASS]", type=Name("label"), required=False)
@click.option("--withdraw", is_flag=True, help="Withdraw the label given before, instead of a CLASS.")
@click.option(
    "--source",
    type=Name("source"),
    default="person",
    show_default=True,
    help="Who labelled: person, sensor, audit or other.",
)
@click.option(
    "--propensity", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Chance that this frame was chosen."
)
@click.option(
    "--from-csv",
    "csv_file",
    type=IN_FILE,
    help="Give all labels of this file instead; its first line names its columns: frame (camera/boot/sequence), label.",
)
@click.option(
    "--from-coco", "coco_file", type=IN_FILE, help="The same of COCO JSON; pictures CAMERA/BOOT/SEQUENCE.jpg."
)
@click.option("--from-label-studio", "studio_file", type=IN_FILE, help="The same of tasks that Label Studio exported.")
@click.option("--strict", is_flag=True, help="Refuse what would be warned of: no such frame, no such class.")
@json_option
def label(
    camera: str | None,
    frame: str | None,
    class_: str | None,
    withdraw: bool,
    source: str,
    propensity: float,
    csv_file: Path | None,
    coco_file: Path | None,
    studio_file: Path | None,
    strict: bool,
    json_file: Path | None,
) -> None:
    """Say that frame BOOT/SEQUENCE of CAMERA showed a CLASS; or give all labels of a file.

    In place of BOOT/SEQUENCE the whole CAMERA/BOOT/SEQUENCE may stand, as `publish` prints it. A frame of which no
    prediction is kept, and a class that its model does not know, are warned of on standard error: the label is sent all
    the same, since it may be there before its frame, or teach the next model.
    """
    files = {"csv": csv_file, "coco": coco_file, "label-studio": studio_file}
    given = [(form, file) for form, file in files.items() if file is not None]
    if given:
        if camera is not None or withdraw or len(given) > 1:
            raise click.UsageError(f"give either one file or {_FORM}")
        _from_file(*given[0], source, propensity, strict, json_file)
        return
    if camera is None or frame is None:
        raise click.UsageError(f"give {_FORM}, or --from-csv FILE")
    if "/" not in frame:
        raise click.UsageError(f"{frame} is no BOOT/SEQUENCE: give {_FORM}")
    if withdraw == (class_ is not None):
        raise click.UsageError("give either a CLASS or --withdraw")
    name = FrameId.parse(frame if frame.count("/") > 1 else f"{camera}/{frame}")
    if camera_of(name.camera) != camera:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{frame} is a frame of {name.camera}, not of {camera}")
    name = FrameId(camera, boot_of(name.boot), name.sequence)
    settings = settings_with_broker()
    from catseye.cli.doubts import doubts_of  # noqa: PLC0415 - it reads a topic: help needs none of that

    for doubt in doubts_of(settings, name, class_):
        if strict:
            raise click.ClickException(f"not sent: {doubt}")
        click.echo(f"warning: {doubt}", err=True)
    with Publisher(settings) as publisher:
        publisher.label(*name, class_, source=source, propensity=propensity)
    if not write_json(json_file, {"frame": str(name), "label": class_}):
        click.echo(f"{name}\t{'withdrawn' if class_ is None else class_}")


def _from_file(form: str, path: Path, source: str, propensity: float, strict: bool, json_file: Path | None) -> None:
    """Give all labels of a file, or none. Raises as its reader, `settings_with_broker` and `Publisher.flush`."""
    from catseye.cli.doubts import unknown_to_the_model  # noqa: PLC0415 - as in `label`
    from catseye.cli.label_file import read_labels  # noqa: PLC0415
    from catseye.cli.label_formats import READERS  # noqa: PLC0415

    labels = (read_labels if form == "csv" else READERS[form])(path)
    settings = settings_with_broker()
    if labels and (doubt := unknown_to_the_model(settings, labels[0].frame, {each.label for each in labels})):
        if strict:
            raise click.ClickException(f"not sent: {doubt}")
        click.echo(f"warning: {doubt}", err=True)
    with Publisher(settings) as publisher:
        for each in labels:
            chance = propensity if each.propensity is None else each.propensity
            publisher.label(*each.frame, each.label, source=each.source or source, propensity=chance)
    if not write_json(json_file, {"labels": len(labels)}):
        sent = "1 label" if len(labels) == 1 else f"{len(labels)} labels"
        click.echo(f"{sent} sent; `catseye watch outcomes --from beginning` shows what came of it")
